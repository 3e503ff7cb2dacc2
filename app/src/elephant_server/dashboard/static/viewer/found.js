// Which nuclei lie over the image: those of one of the last predictions, or those in the probabilities that were kept.

import { counted, make, setOptions, setText, when } from '../dom.js';
import { Choice, group, NumberField } from './controls.js';
import { loadResult, loadSpots } from './source.js';
import { Truth } from './truth.js';

const AFTER_MS = 250;
const KEPT = 'kept';
const NOTHING = { key: '', spots: [], n: 0 };

export class Found {
  #results = [];
  #chosen = new Map(); // by dataset and timepoint
  #now = NOTHING;
  #timer = null;

  /** `change` is called when other nuclei are wanted, `arrive` when they are there, `fail` with what went wrong. */
  constructor(change, arrive, fail) {
    this.arrive = arrive;
    this.fail = fail;
    this.from = new Choice('found-from', 'From', [], () => { this.#chosen.set(this.#place, this.from.value); change(); });
    this.fields = {
      p_thresh: new NumberField('p-thresh', 'Threshold', () => this.#checked(change), { min: 0, max: 1 }, 0.05),
      c_ratio: new NumberField('c-ratio', 'Centre ratio', () => this.#checked(change), { above: 0, max: 1 }, 0.05),
      r_min: new NumberField('r-min', 'Smallest radius', () => this.#checked(change), { min: 0, max: 1e6 }),
      r_max: new NumberField('r-max', 'Largest radius', () => this.#checked(change), { above: 0, max: 1e6 }),
    };
    this.truth = new Truth(change, arrive);
    this.hint = make('p', { class: 'soft', id: 'found-hint' });
    this.settings = group('Detection settings', make('div', { class: 'pair' }, ...Object.values(this.fields).map((field) => field.element)), this.hint);
  }

  /** Take what the last predictions found; a new one is shown in place of what was chosen before. */
  update(results) {
    const known = new Set(this.#results.map((result) => result.id));
    for (const result of results) if (!known.has(result.id)) this.#chosen.delete(placeOf(result.dataset, result.timepoint));
    this.#results = results.filter((result) => result.is_current);
  }

  /** Show a result from now on. */
  choose(result) { this.#chosen.set(placeOf(result.dataset, result.timepoint), result.id); }

  /** Start from how spots were last asked for. */
  open(dataset) {
    const asked = { p_thresh: 0.5, c_ratio: 0.4, r_min: 0, r_max: 1e6, ...dataset.spots };
    for (const [name, field] of Object.entries(this.fields)) field.value = asked[name];
    this.forget();
    this.truth.open(dataset.name);
  }

  /** Labels and probabilities may be other ones now. */
  forget() { this.#now = NOTHING; }

  /** Return the first timepoint of a dataset with a result; undefined where there is none. */
  firstOf(dataset) {
    return this.#results.filter((result) => result.dataset === dataset.name).map((result) => result.timepoint).sort((a, b) => a - b)[0];
  }

  /** Say what there is at a timepoint, and offer it; return which is shown, null where there is nothing. */
  offer(dataset, t) {
    this.#place = placeOf(dataset.name, t);
    const here = this.#results.filter((result) => result.dataset === dataset.name && result.timepoint === t);
    const options = here.map((result) => [result.id, `${result.model}, ${when(result.at)}: ${counted(result.n_found)}`]);
    if (dataset.predicted.includes(t)) options.push([KEPT, 'Kept probabilities']);
    setOptions(this.from.input, options.map(([value]) => value), options.map(([, text]) => text));
    const usual = here.length && !here[0].is_kept ? here[0].id : options[options.length - 1]?.[0];
    const chosen = this.#chosen.get(this.#place);
    const now = options.some(([value]) => value === chosen) ? chosen : usual;
    this.from.element.hidden = options.length === 0;
    if (now) this.from.input.value = now;
    for (const field of Object.values(this.fields)) field.input.disabled = now !== KEPT;
    const why = now ? 'These nuclei are as predicted. The settings apply to kept probabilities.' : 'Nothing was predicted at this timepoint.';
    setText(this.hint, now === KEPT ? '' : why);
    return now ?? null;
  }

  /** Return what is there of a timepoint by now. */
  at(dataset, t) {
    return this.#now.dataset === dataset.name && this.#now.t === t ? this.#now : NOTHING;
  }

  /** Return what is drawn of it: with a truth, marked by what is wrong. */
  marked(dataset, t) {
    const { id, spots } = this.at(dataset, t);
    return this.truth.marked(id, spots);
  }

  /** Load the nuclei of a timepoint, around a plane of a large volume, once nobody has turned anything for a moment. */
  load(dataset, t, index, voxel) {
    const from = this.offer(dataset, t);
    this.truth.compare(from === KEPT ? null : from, voxel);
    if (!from) return;
    const limits = Object.fromEntries(Object.entries(this.fields).map(([name, field]) => [name, field.value]));
    const key = JSON.stringify([dataset.name, t, from, ...(from === KEPT ? [limits, voxel] : [])]);
    const isNear = this.#now.isWhole || (index >= this.#now.first && index < this.#now.end);
    if (this.#now.key === key && isNear) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      try {
        const answer = from === KEPT ? await loadSpots(dataset.name, t, 'xy', index, voxel, limits) : await loadResult(from);
        const { spots, n_found: n, first, end, is_whole: isWhole = true } = answer;
        this.#now = { key, id: from, dataset: dataset.name, t, spots, n, first, end, isWhole };
        this.arrive();
      } catch (error) {
        this.fail(error);
      }
    }, from === KEPT ? AFTER_MS : 0);
  }

  /** Say how many there are. */
  words(dataset, t) {
    const { key, n, spots, isWhole } = this.at(dataset, t);
    if (!key) return this.offer(dataset, t) ? 'nuclei found' : 'no prediction';
    const where = isWhole ? '' : ' near this slice';
    return `${counted(n)} found${where}${n > spots.length ? `, the best ${spots.length.toLocaleString('en')} shown` : ''}`;
  }

  #place = '';

  #checked(change) {
    const { r_min: least, r_max: most } = this.fields;
    const isCrossed = least.value > most.value;
    most.complain(isCrossed ? 'Smaller than the smallest radius.' : '');
    if (!isCrossed) change();
  }
}

function placeOf(dataset, t) { return `${dataset}\n${t}`; }
