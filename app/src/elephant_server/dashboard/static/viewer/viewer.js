// The viewer: a dataset's timepoints as three planes that cross in one voxel, with what was labelled and found over it.

import { onLookChange } from '../canvas.js';
import { byId, make, setOptions, setText } from '../dom.js';
import { NumberField, Slider, Toggle } from './controls.js';
import { goodLimits } from './paint.js';
import { Pane } from './pane.js';
import { loadSpots } from './source.js';

const GAP = 8;
const SPOTS_AFTER_MS = 250;
const TALLEST = 0.8; // of the window

export class Viewer {
  #datasets = new Map();
  #dataset = null;
  #position = [0, 0, 0];
  #limits = null;
  #spots = { key: '', found: [] };
  #isSeen = false;
  #timer = null;

  constructor() {
    this.#makeParts();
    byId('viewer-dataset').addEventListener('change', () => this.#open(byId('viewer-dataset').value));
    byId('viewer').addEventListener('keydown', (event) => this.#key(event));
    onLookChange(() => this.#layOut());
    new IntersectionObserver((entries) => {
      this.#isSeen = entries.some((entry) => entry.isIntersecting);
      if (this.#isSeen) this.#layOut();
    }, { rootMargin: '100px' }).observe(byId('viewer'));
  }

  /** Take what is known of the datasets now; labels and predictions may be other ones. */
  update(datasets) {
    this.#datasets = new Map(datasets.map((entry) => [entry.name, entry]));
    const names = [...this.#datasets.keys()];
    const isThere = setOptions(byId('viewer-dataset'), names);
    byId('viewer').hidden = byId('viewer-dataset').parentElement.hidden = names.length === 0;
    if (!names.length) { this.#dataset = null; this.#note('There is nothing to see yet.'); return; }
    if (!isThere || !this.#dataset) { this.#open(byId('viewer-dataset').value); return; }
    const before = this.#dataset;
    this.#dataset = this.#datasets.get(before.name);
    this.#spots.key = '';
    if (before.version !== this.#dataset.version) this.#open(before.name);
    else this.#refresh();
  }

  /** Show a dataset that was chosen elsewhere on the page. */
  choose(name) {
    byId('viewer-dataset').value = name;
    this.#open(name);
    byId('viewer-title').scrollIntoView({ block: 'start' });
    this.time.input.focus({ preventScroll: true });
  }

  #makeParts() {
    const again = () => this.#refresh();
    const redraw = () => this.#draw();
    this.panes = ['xy', 'yz', 'xz'].map((axis) => new Pane(axis, (voxels) => this.#move(voxels), (error) => this.#note(error.message)));
    this.time = new Slider('time', 'Timepoint', again);
    this.slices = ['Z', 'Y', 'X'].map((name, i) => new Slider(`slice-${name.toLowerCase()}`, `${name} slice`, (value) => { this.#position[i] = value; again(); }));
    this.low = new Slider('low', 'Black at', () => this.#setLimits());
    this.high = new Slider('high', 'White at', () => this.#setLimits());
    this.layers = {
      labels: new Toggle('show-labels', 'Labels', 'l', true, again),
      probabilities: new Toggle('show-probabilities', 'Probabilities', 'p', false, again),
      ellipses: new Toggle('show-ellipses', 'Found nuclei', 'e', true, again),
    };
    this.voxel = ['X', 'Y', 'Z'].map((name) => new NumberField(`voxel-${name.toLowerCase()}`, name, () => { this.#layOut(); }, { min: '0.000001' }));
    this.spotFields = {
      p_thresh: new NumberField('p-thresh', 'Threshold', again, { min: 0, max: 1, step: 0.05 }),
      c_ratio: new NumberField('c-ratio', 'Centre ratio', again, { min: 0.01, max: 1, step: 0.05 }),
      r_min: new NumberField('r-min', 'Smallest radius', again, { min: 0, max: 1e6 }),
      r_max: new NumberField('r-max', 'Largest radius', again, { min: 1e-6, max: 1e6 }),
    };
    const auto = make('button', { type: 'button', onclick: () => { this.#limits = null; redraw(); } }, 'Set contrast by itself');
    const colours = [['background', 'background'], ['border', 'border'], ['centre', 'centre'], ['spot', 'found']];
    const key = make('p', { class: 'key' }, ...colours.map(([name, text]) => make('span', {}, make('i', { class: name, 'aria-hidden': 'true' }), text)));
    byId('viewer').append(make('div', { class: 'stage' },
      this.box = make('div', { class: 'planes' }, ...this.panes.map((pane) => pane.element)),
      make('div', { class: 'controls' }, this.time.element, ...this.slices.map((slider) => slider.element),
        group('Over the image', ...Object.values(this.layers).map((toggle) => toggle.element), key),
        group('Contrast', this.low.element, this.high.element, auto),
        group('Finding nuclei in kept probabilities', make('div', { class: 'pair' }, ...Object.values(this.spotFields).map((field) => field.element))),
        group('Voxel size', make('div', { class: 'triple' }, ...this.voxel.map((field) => field.element))),
        make('p', { class: 'soft' }, 'Keys: , and . timepoint, [ and ] Z slice, l p e layers.'))));
  }

  #open(name) {
    const dataset = this.#datasets.get(name);
    if (!dataset) return;
    this.#dataset = dataset;
    this.#limits = null;
    this.#spots = { key: '', found: [] };
    const shape = this.#shape();
    this.#position = shape.map((size) => Math.floor(size / 2));
    const first = dataset.labelled[0] ?? dataset.predicted[0] ?? 0;
    this.time.set(first, dataset.n_timepoints - 1);
    this.slices.forEach((slider, i) => slider.set(this.#position[i], this.#is2D() ? 0 : shape[i] - 1));
    const voxel = dataset.voxel_size ?? [1, 1, 1];
    this.voxel.forEach((field, i) => { field.value = voxel[2 - i]; });
    this.voxel[2].element.hidden = this.#is2D();
    const asked = { p_thresh: 0.5, c_ratio: 0.4, r_min: 0, r_max: 1e6, ...dataset.spots };
    for (const [field, input] of Object.entries(this.spotFields)) input.input.value = asked[field];
    for (const pane of this.panes) { pane.planes = {}; pane.element.hidden = this.#is2D() && pane.axis !== 'xy'; }
    this.#layOut();
  }

  /** Give each plane its size: voxels in their proportions, all of them as large as there is room. */
  #layOut() {
    if (!this.#dataset || !this.#isSeen) return;
    const shape = this.#shape();
    const voxel = this.voxel.map((field) => field.value).reverse().map((edge) => (edge > 0 ? edge : 1));
    const [z, y, x] = shape.map((size, i) => size * voxel[i]);
    const room = this.box.parentElement.clientWidth < 700 ? this.box.parentElement.clientWidth : this.box.clientWidth;
    const across = this.#is2D() ? room / x : (room - GAP) / (x + z);
    const down = (TALLEST * window.innerHeight) / (this.#is2D() ? y : y + z);
    const scale = Math.max(Math.min(across, Math.max(down, (0.45 * room) / x)), 1e-6);
    for (const pane of this.panes) pane.resize(shape, voxel.map((edge) => edge * scale));
    this.#refresh();
  }

  /** Load and draw what the controls say. */
  #refresh() {
    if (!this.#dataset || !this.#isSeen) return;
    this.#findSpots();
    const view = this.#view();
    for (const pane of this.panes) if (!pane.element.hidden) pane.show(view);
    this.#tell();
  }

  #draw() {
    if (this.#dataset) for (const pane of this.panes) if (!pane.element.hidden) pane.draw(this.#view());
  }

  #view() {
    const isOn = (name) => this.layers[name].isOn;
    const viewer = this;
    return {
      dataset: this.#dataset, t: this.time.value, n: this.#is2D() ? 2 : 3, position: [...this.#position],
      layers: { labels: isOn('labels'), probabilities: isOn('probabilities') },
      get spots() { return isOn('ellipses') && viewer.#spots.t === viewer.time.value ? viewer.#spots.found : []; },
      get limits() { return viewer.#limits ?? [0, 255]; },
      limitsFor: (plane) => this.#chooseLimits(plane),
    };
  }

  /** Find the nuclei once nobody has turned anything for a moment. */
  #findSpots() {
    const t = this.time.value, dataset = this.#dataset;
    if (!this.layers.ellipses.isOn || !dataset.predicted.includes(t)) return;
    const limits = Object.fromEntries(Object.entries(this.spotFields).map(([name, field]) => [name, field.value]));
    const voxel = this.voxel.map((field) => field.value).reverse();
    const index = this.#is2D() ? 0 : this.#position[0];
    const key = JSON.stringify([dataset.name, t, limits, voxel]);
    const { found, first, end, whole } = this.#spots;
    const isNear = whole || (index >= first && index < end);
    if (this.#spots.key === key && found && isNear) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      try {
        const answer = await loadSpots(dataset.name, t, 'xy', index, voxel, limits);
        if (dataset !== this.#dataset) return;
        this.#spots = { key, t, found: answer.spots, first: answer.first, end: answer.end, whole: answer.is_whole };
        this.#draw();
        this.#tell();
      } catch (error) {
        this.#note(error.message);
      }
    }, SPOTS_AFTER_MS);
  }

  #chooseLimits(plane) {
    if (this.#limits) return;
    const most = this.#dataset.dtype === 'uint8' ? 255 : plane.values.reduce((a, b) => Math.max(a, b), 255);
    this.#limits = goodLimits(plane);
    this.low.set(this.#limits[0], most);
    this.high.set(this.#limits[1], most);
  }

  #setLimits() {
    this.#limits = [Math.min(this.low.value, this.high.value - 1), Math.max(this.high.value, this.low.value + 1)];
    this.#draw();
  }

  #move(voxels) {
    const shape = this.#shape();
    for (const [axis, value] of Object.entries(voxels)) {
      this.#position[axis] = Math.max(0, Math.min(shape[axis] - 1, value));
      if (!this.#is2D()) this.slices[axis].set(this.#position[axis]);
    }
    this.#refresh();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.type === 'number') return;
    const actions = {
      ',': () => this.time.step(-1), '.': () => this.time.step(1),
      '[': () => this.slices[0].step(-1), ']': () => this.slices[0].step(1),
      l: () => this.layers.labels.flip(), p: () => this.layers.probabilities.flip(), e: () => this.layers.ellipses.flip(),
    };
    const action = actions[event.key];
    if (action) { event.preventDefault(); action(); }
  }

  #tell() {
    const t = this.time.value, has = [];
    if (this.#dataset.labelled.includes(t)) has.push('labels');
    if (this.#dataset.predicted.includes(t)) has.push(this.#spots.t === t && this.layers.ellipses.isOn ? `prediction, ${this.#spots.found.length} nuclei` : 'prediction');
    this.#note(`Timepoint ${t}: ${has.join(' and ') || 'neither labels nor prediction'}`);
  }

  #note(text) { setText(byId('viewer-note'), text); }

  #is2D() { return this.#dataset.shape.length === 2; }

  /** Return the sizes of Z, Y, X; Z is 1 where there is none. */
  #shape() { return this.#is2D() ? [1, ...this.#dataset.shape] : this.#dataset.shape; }
}

function group(name, ...children) {
  return make('fieldset', {}, make('legend', {}, name), ...children);
}
