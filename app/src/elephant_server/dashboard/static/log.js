// The log: the last lines, the newest at the end, which stays in sight unless somebody reads further up.

import { byId, make } from './dom.js';

const MOST = 500;

export class LogView {
  #box = byId('log');

  constructor() {
    byId('log-level').addEventListener('change', () => this.#filter());
  }

  add(lines) {
    const isAtEnd = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < 24;
    this.#box.append(...lines.map((line) => this.#line(line)));
    while (this.#box.children.length > MOST) this.#box.firstChild.remove();
    if (isAtEnd) this.#box.scrollTop = this.#box.scrollHeight;
  }

  #line(line) {
    const date = new Date(line.at * 1000);
    const time = make('time', { datetime: date.toISOString(), title: date.toLocaleString() }, date.toLocaleTimeString());
    const word = line.level === 'INFO' || line.level === 'DEBUG' ? '' : `${line.level}: `;
    const element = make('div', { class: `line ${line.level}` }, time, make('span', { class: 'text' }, word + line.text));
    element.hidden = this.#isHidden(line.level);
    return element;
  }

  #isHidden(level) {
    return byId('log-level').value === 'WARNING' && !['WARNING', 'ERROR', 'CRITICAL'].includes(level);
  }

  #filter() {
    for (const line of this.#box.children) line.hidden = this.#isHidden(line.classList[1]);
    this.#box.scrollTop = this.#box.scrollHeight;
  }
}
