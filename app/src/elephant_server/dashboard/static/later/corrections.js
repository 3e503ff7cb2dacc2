// What a person says of a place of a lineage: it is so, it is not, it is no nucleus, or this one becomes that one.

import { make, setText } from '../dom.js';

// Why a key does nothing at some places.
const NOT_HERE = {
  confirm: 'There is nothing to confirm here.', undivided: 'It does not divide here.', cut: 'There is no link to cut here.', other: 'Only a division has a second daughter.',
  wrong: 'There is no spot here.', join: 'What is no nucleus cannot be joined.',
};

export class Corrections {
  #at = null; // { track, t, spot, doubt, known, divides }
  #from = null; // the first of two tracks to join
  #isWaiting = false;

  /** `correct` is called with changes and words for them, `spotBefore` returns a track's last spot up to a timepoint, `fail` says why not. */
  constructor(correct, spotBefore, fail) {
    Object.assign(this, { correct, spotBefore, fail });
    const button = (name, words, key) => make('button', { type: 'button', 'data-do': name, 'aria-keyshortcuts': key.toUpperCase(), onclick: () => this.#act(name) }, make('span', {}, words), ' ', make('kbd', {}, key.toUpperCase()));
    this.buttons = {
      confirm: button('confirm', 'Confirm', 'y'), undivided: button('undivided', 'No division', 'd'), cut: button('cut', 'Cut', 'x'), other: button('other', 'Cut the second', '2'),
      wrong: button('wrong', 'No nucleus', 'w'), join: button('join', 'Join', 'j'), undo: button('undo', 'Undo', 'z'),
    };
    this.hint = make('p', { class: 'soft', role: 'status', 'aria-live': 'polite' });
    this.element = make('div', { class: 'correct' }, make('div', { class: 'actions' }, ...Object.values(this.buttons)), this.hint);
  }

  /** Take what is looked at. */
  show(at) {
    this.#at = at;
    const { doubt, spot } = at, isSuspected = doubt?.is_chosen === false, isDivision = doubt?.kind === 'division' && !isSuspected;
    const isOpen = ['start', 'end'].includes(doubt?.kind);
    const labels = { confirm: confirming(at), cut: isDivision ? 'Cut the first' : 'Cut', join: this.#from ? 'Join to this' : 'Join' };
    for (const [name, words] of Object.entries(labels)) setText(this.buttons[name].firstChild, words);
    const undivided = isSuspected || isDivision || Boolean(at.divides && spot);
    Object.entries({ cut: !isSuspected, other: isDivision, undivided }).forEach(([name, isThere]) => { this.buttons[name].hidden = !isThere; });
    if (!this.#from) setText(this.hint, isOpen ? `If it ${doubt.kind === 'end' ? 'goes on' : 'comes from another track'}, press J, choose the other track and press J again.` : '');
    this.usable = { confirm: Boolean(spot || doubt), undivided, cut: doubt ? !isOpen && !isSuspected : spot?.parent !== null && Boolean(spot), other: isDivision, wrong: Boolean(spot), join: Boolean(at.known), undo: true };
    this.#enable();
  }

  wait(isWaiting) {
    this.#isWaiting = isWaiting;
    this.#enable();
  }

  /** Give up joining; returns whether there was something to give up. */
  forget() {
    const was = this.#from !== null;
    this.#from = null;
    setText(this.hint, '');
    if (this.#at) this.show(this.#at);
    return was;
  }

  /** Return what a key does; undefined where nothing. */
  actOf(key) {
    const name = { y: 'confirm', x: 'cut', 1: 'cut', 2: 'other', d: 'undivided', w: 'wrong', j: 'join', z: 'undo' }[key];
    return name && (() => this.#act(name));
  }

  #enable() {
    for (const [name, button] of Object.entries(this.buttons)) button.disabled = this.#isWaiting || !this.usable?.[name];
  }

  #act(name) {
    if (this.#isWaiting || !this.usable) return;
    if (!this.usable[name]) { if (!this.#from) setText(this.hint, NOT_HERE[name]); return; }
    if (name === 'join') { this.#join(); return; }
    this.forget();
    const acts = {
      confirm: () => confirmed(this.#at), undivided: () => ({ words: 'It does not divide.', undivided: [this.#at.doubt?.kind === 'division' ? this.#at.doubt.spots[0] : this.#at.spot.id] }), cut: () => ({ words: 'Cut.', cut: [this.#link(0)] }), other: () => ({ words: 'Cut.', cut: [this.#link(1)] }),
      wrong: () => ({ words: 'Taken out: it is no nucleus.', wrong: [this.#at.spot.id] }), undo: () => ({ words: 'Taken back.', undo: true }),
    };
    this.correct(acts[name]());
  }

  /** Return parent and child of the link that is looked at, or of one to a daughter. */
  #link(daughter) {
    const { doubt, spot } = this.#at;
    return doubt ? [doubt.spots[0], doubt.spots[1 + daughter]] : [spot.parent, spot.id];
  }

  /** Join two tracks: the later one begins in the earlier one, at its end or where it goes on, as a division. */
  async #join() {
    const { known } = this.#at;
    if (!this.#from || this.#from.id === known.id) {
      this.#from = known;
      setText(this.hint, `Join track ${known.id} (timepoints ${known.start}–${known.end}): choose the other track and press J. Esc gives up.`);
      this.show(this.#at);
      return;
    }
    const [earlier, later] = [this.#from, known].sort((a, b) => a.start - b.start);
    this.forget();
    if (earlier.start === later.start) {
      this.fail(`Tracks ${earlier.id} and ${later.id} both start at timepoint ${later.start}, so neither can come from the other.`);
      return;
    }
    const parent = later.start > earlier.end ? earlier.last : await this.spotBefore({ track: earlier.id, t: later.start - 1 });
    const how = later.start > earlier.end ? 'goes on as' : 'divides into itself and';
    this.correct({ words: `Joined: track ${earlier.id} ${how} track ${later.id}.`, join: [[parent, later.spot]] });
  }
}

function confirming({ doubt, spot }) {
  if (doubt) return { division: 'Divides', start: 'Starts here', end: 'Ends here' }[doubt.kind] ?? 'Confirm';
  return spot && spot.parent === null ? 'Starts here' : 'Confirm';
}

function confirmed({ doubt, spot }) {
  if (!doubt) return spot.parent === null ? { words: 'Confirmed: it starts here.', starts: [spot.id] } : { words: 'Confirmed.', confirm: [[spot.parent, spot.id]] };
  const [first, ...others] = doubt.spots;
  if (doubt.kind === 'start') return { words: 'Confirmed: it starts here.', starts: [first] };
  if (doubt.kind === 'end') return { words: 'Confirmed: it ends here.', ends: [first] };
  const links = others.map((child) => [first, child]);
  return doubt.is_chosen ? { words: 'Confirmed.', confirm: links } : { words: 'Joined.', join: links };
}
