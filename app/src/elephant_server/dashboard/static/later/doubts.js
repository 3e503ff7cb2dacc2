// The list of places where a lineage is doubtful, the most doubtful first.

import { make, setOptions, setText } from '../dom.js';
import { percent } from './words.js';

const KINDS = { division: 'Divisions', start: 'Starts', end: 'Ends', gap: 'Gaps', link: 'Links' };
const NAMES = { division: 'Division', start: 'Start', end: 'End', gap: 'Gap', link: 'Link' };

export class Doubts {
  #all = [];
  #shown = [];
  #at = -1;

  /** `choose` is called with a doubt, `filtered` when others are shown. */
  constructor(choose, filtered) {
    this.choose = choose;
    this.filtered = filtered;
    this.kind = make('select', { id: 'lineage-kind', onchange: () => { this.#at = -1; this.#fill(); this.filtered(); } });
    this.count = make('span', { class: 'soft number' });
    this.list = make('ol', { class: 'doubts', tabindex: 0, 'aria-label': 'Doubtful places, the most doubtful first' });
    this.element = make('div', { class: 'doubtful' }, make('div', { class: 'row' }, make('label', { for: 'lineage-kind' }, 'Doubtful', this.kind), this.count), this.list);
    this.list.addEventListener('click', ({ target }) => {
      const button = target.closest('button');
      if (button) this.#go(Number(button.dataset.at));
    });
  }

  get shown() { return this.#shown; }

  /** Take the doubts of a lineage; where somebody was in the list stays, with what comes there now. */
  show({ doubtful, n_doubtful: n }) {
    this.#all = doubtful;
    const counts = Object.keys(KINDS).map((kind) => doubtful.filter((doubt) => doubt.kind === kind).length);
    const kinds = Object.keys(KINDS).filter((_, i) => counts[i]);
    const [chosen, total] = [this.kind.value, n ?? doubtful.length];
    setOptions(this.kind, ['', ...kinds], ['all', ...kinds.map((kind) => KINDS[kind])]);
    if (!kinds.includes(chosen)) this.kind.value = '';
    this.note = total > doubtful.length ? ` (${total.toLocaleString('en')} in all)` : '';
    this.#fill();
  }

  /** Go on in the list; returns whether there is a place. */
  step(by) {
    if (!this.#shown.length) return;
    this.#go(Math.max(0, Math.min(this.#shown.length - 1, this.#at + by)));
  }

  /** What was chosen has been corrected: the next one stands in its place. */
  next() {
    if (this.#shown.length) this.#go(Math.max(0, Math.min(this.#shown.length - 1, this.#at)));
  }

  /** Nothing of the list is looked at any more; the next step goes on from there. */
  leave() { this.#mark(null); }

  #fill() {
    this.#shown = this.#all.filter(({ kind }) => !this.kind.value || kind === this.kind.value);
    this.list.replaceChildren(...(this.#shown.length
      ? this.#shown.map((doubt, i) => make('li', {}, make('button', { type: 'button', 'data-at': i }, title(doubt), make('span', { class: 'number' }, percent(doubt.probability)))))
      : [make('li', { class: 'quiet' }, 'Nothing is doubtful.')]));
    this.#say(-1);
  }

  #say(at) {
    const n = this.#shown.length;
    setText(this.count, `${at < 0 ? '' : `${at + 1} of `}${n.toLocaleString('en')}${this.note}`);
  }

  #mark(at) {
    this.list.querySelector('[aria-current]')?.removeAttribute('aria-current');
    const button = at === null ? null : this.list.children[at].firstChild;
    button?.setAttribute('aria-current', 'true');
    button?.scrollIntoView({ block: 'nearest' });
  }

  #go(at) {
    this.#at = at;
    this.#mark(at);
    this.#say(at);
    this.choose(this.#shown[at]);
  }
}

/** Return what a doubt is about, in words. */
export function title({ kind, t, track, is_chosen: isChosen }) {
  const name = isChosen ? NAMES[kind] : `Possible ${NAMES[kind].toLowerCase()}`;
  return `${name} at ${t}, track ${track}`;
}

/** Return how probable a doubt is, in words, and why it is not in the tree where it is not. */
export function judged({ probability: p, is_chosen: isChosen }) {
  const why = p < 0.5 ? ', so it is not in the tree' : ', but not in the tree: it excludes others that are more probable together';
  return `${percent(p)} probable${isChosen ? '' : why}`;
}
