// The dialog in which a person looks at the places where errors are expected; loaded when it is opened for the first time.

import { ask, post } from '../api.js';
import { make, setText } from '../dom.js';
import { PlaceView } from './place.js';

const KEYS = { y: 'yes', n: 'no', s: 'skip', z: 'undo' };
const DEFAULTS = { c_ratio: 0.4, p_thresh: 0.5, r_min: 0, r_max: 1e6 };

document.head.append(make('link', { rel: 'stylesheet', href: new URL('review.css', import.meta.url) }));

let dialog = null;

/** Open the dialog for the datasets that there are. */
export async function open({ datasets }) {
  dialog ??= new ReviewDialog();
  await dialog.open(datasets.entries);
}

class ReviewDialog {
  #places = [];
  #answers = new Map(); // by the number of the place
  #at = 0;
  #asking = null;

  constructor() {
    this.dataset = make('select', { id: 'review-dataset', onchange: () => this.#chooseDataset() });
    this.model = make('select', { id: 'review-model' });
    this.first = make('input', { id: 'review-first', type: 'number', min: 0, required: true });
    this.last = make('input', { id: 'review-last', type: 'number', min: 0, required: true });
    this.start = make('button', { type: 'submit', class: 'main' }, 'List the places');
    this.note = make('p', { class: 'soft', role: 'status', 'aria-live': 'polite' });
    this.problem = make('p', { class: 'problem', role: 'alert' });
    this.view = new PlaceView();
    this.facts = make('p', { class: 'facts', role: 'status', 'aria-live': 'polite' });
    const button = (name, words, key) => make('button', { type: 'button', 'data-do': name, onclick: () => this.#act(name) }, words, ' ', make('kbd', {}, key));
    this.buttons = make('div', { class: 'actions' }, button('undo', 'Back', 'Z'), button('skip', 'Skip', 'S'), button('no', 'No nucleus', 'N'), button('yes', 'Nucleus', 'Y'));
    this.keep = make('button', { type: 'button', class: 'main', onclick: () => this.#keep() }, 'Keep the answers');
    this.look = make('div', { class: 'look', tabindex: -1, hidden: true }, this.view.element, this.facts, this.buttons);
    const label = (words, field) => make('label', { for: field.id }, words, field);
    this.form = make('form', { onsubmit: (event) => { event.preventDefault(); this.#list(); } },
      label('Dataset', this.dataset), label('Model', this.model), label('Timepoints from', this.first), label('to', this.last), this.start);
    this.element = make('dialog', { id: 'review', 'aria-labelledby': 'review-title' },
      make('h2', { id: 'review-title' }, 'Look here next'), this.form, this.note, this.problem, this.look,
      make('div', { class: 'actions' }, make('button', { type: 'button', onclick: () => this.element.close() }, 'Close'), this.keep));
    this.element.addEventListener('keydown', (event) => this.#key(event));
    this.element.addEventListener('close', () => this.#asking?.abort());
    window.addEventListener('resize', () => { if (this.element.open) this.#draw(); });
    document.body.append(this.element);
  }

  async open(datasets) {
    this.datasets = datasets.filter((entry) => entry.voxel_size);
    const chosen = this.dataset.value;
    this.dataset.replaceChildren(...this.datasets.map(({ name }) => make('option', { value: name, selected: name === chosen }, name)));
    this.start.disabled = !this.datasets.length;
    setText(this.problem, this.datasets.length ? '' : 'There is no dataset whose voxel size is known: make one, or predict in the client first.');
    if (!this.element.open) this.element.showModal();
    const models = await ask('models').catch(() => []);
    const wanted = this.model.value;
    this.model.replaceChildren(...models.filter(({ kind }) => kind === 'detection').map(({ name }) => make('option', { value: name, selected: name === wanted }, name)));
    if (this.datasets.length && !this.model.options.length) setText(this.problem, 'There is no detection model yet: train one first.');
    this.start.disabled ||= !this.model.options.length;
    if (!this.#places.length) this.#chooseDataset();
    this.#show();
  }

  get #entry() { return this.datasets.find(({ name }) => name === this.dataset.value); }

  #chooseDataset() {
    const entry = this.#entry;
    if (!entry) return;
    this.first.value = 0;
    this.first.max = this.last.max = entry.n_timepoints - 1;
    this.last.value = Math.min(entry.n_timepoints - 1, 9); // a start: some timepoints are soon reviewed
  }

  /** What requests about the dataset have in common. */
  #about({ name, shape, voxel_size: size, spots }, model) {
    const known = Object.fromEntries(Object.entries(DEFAULTS).map(([key, value]) => [key, spots?.[key] ?? value]));
    return { dataset_name: name, model_name: model, is_3d: shape.length === 3, scales: [...size].reverse(), ...known };
  }

  async #list() {
    if (this.#unkept && !window.confirm(`${this.#unkept} answers are not kept yet. Drop them?`)) return;
    const entry = this.#entry, model = this.model.value, about = this.#about(entry, model);
    this.#asking = new AbortController();
    this.start.disabled = this.look.hidden = this.keep.hidden = true; // an answer given now would be dropped
    setText(this.problem, '');
    setText(this.note, 'The model looks at the timepoints …');
    try {
      const found = await done('review', { ...about, t_start: Number(this.first.value), t_end: Number(this.last.value) }, this.#asking.signal);
      Object.assign(this, { reviewed: entry, reviewedModel: model });
      this.#places = found.places;
      this.#answers.clear();
      this.#at = 0;
      setText(this.note, expected(found));
    } catch (error) {
      setText(this.note, '');
      if (error.name !== 'AbortError') setText(this.problem, error.message);
    }
    this.start.disabled = false;
    this.#show();
    this.look.focus(); // where the keys count
  }

  get #unkept() { return this.#answers.size; }

  #key(event) {
    if (event.target.matches('input, select') || event.ctrlKey || event.metaKey || event.altKey || this.look.hidden) return;
    const name = KEYS[event.key.toLowerCase()];
    if (!name) return;
    event.preventDefault();
    this.#act(name);
  }

  #act(name) {
    if (name === 'undo') this.#at = Math.max(0, this.#at - 1);
    else if (this.#at < this.#places.length) {
      if (name === 'skip') this.#answers.delete(this.#at);
      else this.#answers.set(this.#at, name === 'yes');
      this.#at += 1;
    }
    this.#show();
  }

  #show() {
    const place = this.#places[this.#at];
    this.look.hidden = !this.#places.length;
    this.keep.hidden = !this.#unkept;
    setText(this.keep, `Keep ${this.#unkept} ${this.#unkept === 1 ? 'answer' : 'answers'}`);
    for (const button of this.buttons.children) button.disabled = button.dataset.do === 'undo' ? !this.#at : !place;
    if (!place) {
      setText(this.facts, this.#places.length ? 'That was the last place. Z goes back.' : '');
      return;
    }
    const said = this.#answers.has(this.#at) ? ` You said: ${this.#answers.get(this.#at) ? 'nucleus' : 'no nucleus'}.` : '';
    setText(this.facts, `${this.#at + 1} of ${this.#places.length}, timepoint ${place.t}. ${words(place)}${said}`);
    this.#draw();
  }

  async #draw() {
    const place = this.#places[this.#at];
    if (!place || !this.reviewed) return;
    const beside = this.#places.filter((other) => other.t === place.t && other !== place && other.kind === 'spot');
    await this.view.draw(this.reviewed, place, beside).catch((error) => setText(this.problem, error.message));
  }

  /** Send the answers: they are written into the labels, and joined to the next trainings. */
  async #keep() {
    const entry = this.reviewed, places = this.#places, sent = new Map(this.#answers);
    const answered = [...sent].map(([i, isNucleus]) => ({ ...places[i], is_nucleus: isNucleus }));
    this.keep.disabled = true;
    setText(this.problem, '');
    try {
      await done('review/answers', { ...this.#about(entry, this.reviewedModel), spots: answered });
      if (this.#places === places) this.#drop(sent); // or others were listed meanwhile
      setText(this.note, `${answered.length === 1 ? '1 answer is' : `${answered.length} answers are`} in the labels of ${entry.name}; the next trainings on these timepoints use them.`);
    } catch (error) {
      setText(this.problem, error.message);
    }
    this.keep.disabled = false;
    this.#show();
  }

  /** Take the places away whose answers are kept; what was answered, or changed, while they were sent stays. */
  #drop(sent) {
    const left = this.#places.map((_, i) => i).filter((i) => !sent.has(i) || sent.get(i) !== this.#answers.get(i));
    this.#at = left.filter((i) => i < this.#at).length;
    this.#answers = new Map(left.flatMap((i, at) => (this.#answers.has(i) ? [[at, this.#answers.get(i)]] : [])));
    this.#places = left.map((i) => this.#places[i]);
  }
}

/** Send JSON; fail where the work was not done, which what takes long can say only in its answer. */
async function done(path, body, signal) {
  const found = await post(path, body, signal);
  if (found.error || !found.completed) throw new Error(found.error ?? 'It was aborted: try again.');
  return found;
}

/** Return what is known of a place in words. */
function words(place) {
  const found = place.kind === 'spot' ? 'Found by the model' : 'Not found by the model';
  const percent = 100 * place.probability;
  const shown = percent < 1 ? 'under 1' : percent > 99 ? 'over 99' : Math.round(percent);
  return `${found}, but ${place.why}. Probability of a nucleus: ${shown}%.`;
}

function expected({ places, timepoints, n_places: n }) {
  const sum = (name) => Math.round(timepoints.reduce((total, one) => total + one[name], 0));
  const [spots, wrong, missed] = [sum('n_spots'), sum('wrong'), sum('missed')];
  const listed = places.length < n ? `The worst ${places.length} of ${n} places are listed.` : 'The places are listed, worst first.';
  return `${spots} ${spots === 1 ? 'spot' : 'spots'}; expect about ${wrong} wrong and ${missed} missed ${missed === 1 ? 'nucleus' : 'nuclei'}. ${n ? listed : 'There is no place to look at.'}`;
}
