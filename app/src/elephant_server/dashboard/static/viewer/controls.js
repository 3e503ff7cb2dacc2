// What one turns and types beside the planes.

import { make, number } from '../dom.js';

/** A slider with its name and its value; `change` is called with the value. */
export class Slider {
  constructor(id, name, change) {
    this.input = make('input', { id, type: 'range', min: 0, max: 0, value: 0, step: 1 });
    this.output = make('output', { for: id, class: 'number soft' });
    this.element = make('div', { class: 'slider' }, make('div', { class: 'head' }, make('label', { for: id }, name), this.output), this.input);
    this.input.addEventListener('input', () => { this.#write(); change(this.value); });
  }

  get value() { return Number(this.input.value); }

  set(value, max = Number(this.input.max)) {
    this.input.max = max;
    this.input.value = value;
    this.element.hidden = max === 0;
    this.#write();
  }

  step(by) {
    this.input.value = this.value + by;
    this.input.dispatchEvent(new Event('input'));
  }

  #write() { this.output.textContent = `${this.input.value} / ${this.input.max}`; }
}

/** A number to type; `change` is called when it makes sense. */
export class NumberField {
  constructor(id, name, change, attributes = {}) {
    this.input = make('input', { id, type: 'number', step: 'any', ...attributes });
    this.element = make('label', { class: 'field', for: id }, name, this.input);
    this.input.addEventListener('change', () => { if (this.input.checkValidity() && this.input.value !== '') change(); });
  }

  get value() { return Number(this.input.value); }

  set value(value) { this.input.value = number(value); }
}

/** A box to tick, with the key that ticks it. */
export class Toggle {
  constructor(id, name, key, isOn, change) {
    this.input = make('input', { id, type: 'checkbox', 'aria-keyshortcuts': key });
    this.input.checked = isOn;
    this.element = make('label', { class: 'check', for: id }, this.input, name);
    this.input.addEventListener('change', change);
  }

  get isOn() { return this.input.checked; }

  flip() { this.input.click(); }
}
