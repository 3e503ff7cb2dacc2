// The viewer: a dataset's timepoints as three planes that cross in one voxel, with what was labelled and found over it.

import { asked, keep, onChange } from '../address.js';
import { onLookChange } from '../canvas.js';
import { byId, make, setOptions, setText } from '../dom.js';
import { Camera } from './camera.js';
import { Choice, group, NumberField, Slider, Toggle } from './controls.js';
import { Found } from './found.js';
import { listenToKeys } from './keys.js';
import { goodLimits } from './paint.js';
import { Pane } from './pane.js';

const GAP = 8;
const SHARPER_AFTER_MS = 200;
const TALLEST = 0.8; // of the window
const CLOSER = 1.5;

export class Viewer {
  #datasets = new Map();
  #dataset = null;
  #position = [0, 0, 0];
  #limits = null;
  #isSeen = false;
  #warning = '';
  #sharper = null;
  #camera = new Camera();

  constructor() {
    this.#makeParts();
    byId('viewer-dataset').addEventListener('change', () => this.#open(byId('viewer-dataset').value));
    onChange(() => { if (asked()) this.#openAsked(); });
    onLookChange(() => this.#layOut());
    new IntersectionObserver((entries) => {
      this.#isSeen = entries.some((entry) => entry.isIntersecting);
      if (this.#isSeen) this.#layOut();
    }, { rootMargin: '100px' }).observe(byId('viewer'));
  }

  /** Take what is known of the datasets, and what the last predictions found; labels may be other ones. */
  update(datasets, results) {
    this.#datasets = new Map(datasets.map((entry) => [entry.name, entry]));
    this.found.update(results);
    const names = [...this.#datasets.keys()];
    const isThere = setOptions(byId('viewer-dataset'), names);
    byId('viewer').hidden = byId('viewer-dataset').parentElement.hidden = names.length === 0;
    if (!names.length) { this.#dataset = null; this.#note('Nothing to show yet.'); return; }
    if (!this.#dataset) { this.#openAsked(); return; }
    const before = this.#dataset;
    if (!isThere) { this.#open(byId('viewer-dataset').value, {}, `The dataset ${before.name} is gone.`); return; }
    this.#dataset = this.#datasets.get(before.name);
    this.found.forget();
    if (before.version !== this.#dataset.version) this.#open(before.name);
    else this.#refresh();
  }

  /** Show a dataset that was chosen elsewhere on the page, or what was found in it. */
  choose(name, result = null) {
    byId('viewer-dataset').value = name;
    if (result) {
      this.found.choose(result);
      this.layers.ellipses.input.checked = true;
    }
    this.#open(name, result ? { t: result.timepoint } : {});
    byId('viewer-title').scrollIntoView({ block: 'start' });
    this.time.input.focus({ preventScroll: true });
  }

  #makeParts() {
    const again = () => this.#changed();
    const redraw = () => this.#draw();
    const act = {
      move: (voxels) => this.#move(voxels), step: (axis, by) => this.#step(axis, by),
      look: () => this.#look(), fail: (error) => this.#note(error.message),
    };
    this.panes = ['xy', 'yz', 'xz'].map((axis) => new Pane(axis, this.#camera, act));
    this.time = new Slider('time', 'Timepoint', again);
    this.slices = ['Z', 'Y', 'X'].map((name, i) => new Slider(`slice-${name.toLowerCase()}`, `${name} slice`, (value) => { this.#position[i] = value; again(); }));
    this.low = new Slider('low', 'Minimum', () => this.#setLimits());
    this.high = new Slider('high', 'Maximum', () => this.#setLimits());
    this.found = new Found(() => this.#refresh(), () => { this.#draw(); this.#tell(); }, act.fail);
    this.layers = {
      labels: new Choice('show-labels', 'Labels', [['outlines', 'Outlines'], ['filled', 'Filled'], ['off', 'Off']], again, 'l'),
      probabilities: new Toggle('show-probabilities', 'Probabilities', 'p', false, again),
      ellipses: new Toggle('show-ellipses', 'Detected nuclei', 'e', true, again),
    };
    this.voxel = ['X', 'Y', 'Z'].map((name) => new NumberField(`voxel-${name.toLowerCase()}`, name, () => this.#layOut(), { above: 0 }));
    this.voxelNote = make('p', { id: 'voxel-note', class: 'quiet' });
    const button = (text, label, onclick) => make('button', { type: 'button', 'aria-label': label, onclick }, text);
    this.zoom = make('output', { class: 'number soft' }, '100%');
    const zooming = make('div', { class: 'zoom' },
      button('−', 'Zoom out', () => this.#zoomBy(1 / CLOSER)), button('+', 'Zoom in', () => this.#zoomBy(CLOSER)),
      button('Fit', 'Show the whole image', () => this.#fit()), this.zoom);
    const auto = make('button', { type: 'button', onclick: () => { this.#limits = null; redraw(); } }, 'Auto contrast');
    const colours = [['background', 'background'], ['border', 'border'], ['centre', 'centre'], ['spot', 'detected']];
    const key = make('p', { class: 'key' }, ...colours.map(([name, text]) => make('span', {}, make('i', { class: name, 'aria-hidden': 'true' }), text)));
    byId('viewer').append(make('div', { class: 'stage' },
      make('div', {}, this.box = make('div', { class: 'planes' }, ...this.panes.map((pane) => pane.element)), zooming),
      make('div', { class: 'controls' }, this.time.element, ...this.slices.map((slider) => slider.element),
        group('Overlays', ...Object.values(this.layers).map((layer) => layer.element), this.found.from.element, key),
        group('Contrast', this.low.element, this.high.element, auto),
        make('details', { class: 'help' }, make('summary', {}, 'Keys and mouse'), this.#help())),
      make('div', { class: 'settings' }, this.found.settings, this.found.truth.element, group('Voxel size', make('div', { class: 'triple' }, ...this.voxel.map((field) => field.element)), this.voxelNote))));
  }

  #help() {
    const keys = listenToKeys({
      ',': () => this.time.step(-1), '.': () => this.time.step(1), '[': () => this.#step(0, -1), ']': () => this.#step(0, 1),
      '+': () => this.#zoomBy(CLOSER), '=': () => this.#zoomBy(CLOSER), '-': () => this.#zoomBy(1 / CLOSER), 0: () => this.#fit(),
      l: () => this.layers.labels.next(), p: () => this.layers.probabilities.flip(), e: () => this.layers.ellipses.flip(),
    });
    const rows = {
      ', .': 'previous, next timepoint', '[ ]': 'previous, next Z slice', '+ − 0': 'zoom in, zoom out, whole image',
      'l p e': 'labels, probabilities, detected nuclei', Wheel: 'through the slices of a plane', Drag: 'move the cross',
      'Ctrl + wheel, pinch': 'zoom', 'Shift + drag': 'move a zoomed image',
    };
    return make('div', {}, make('dl', {}, ...Object.entries(rows).flatMap(([name, text]) => [make('dt', {}, name), make('dd', {}, text)])), keys);
  }

  /** Show what the address asks for; say what of it is not there. */
  #openAsked() {
    const wanted = asked();
    if (wanted && this.#datasets.has(wanted.dataset)) {
      byId('viewer-dataset').value = wanted.dataset;
      this.#open(wanted.dataset, wanted);
    } else {
      this.#open(byId('viewer-dataset').value, {}, wanted ? `There is no dataset ${wanted.dataset}: it was renamed or deleted.` : '');
    }
  }

  /** Show a dataset at a timepoint and a position, Z, Y, X; what is null, or not in it, is chosen here. */
  #open(name, { t = null, position = [] } = {}, warning = '') {
    const dataset = this.#datasets.get(name);
    if (!dataset) return;
    this.#dataset = dataset;
    this.#limits = null;
    const shape = this.#shape(), last = dataset.n_timepoints - 1;
    this.#camera.reset(shape);
    const first = dataset.labelled[0] ?? dataset.predicted[0] ?? this.found.firstOf(dataset) ?? 0;
    const isIn = (t ?? 0) <= last && shape.every((size, i) => (position[i] ?? 0) < size);
    this.#warning = warning || (isIn ? '' : 'The address leads outside of this dataset: here is the nearest place.');
    this.time.set(t === null ? first : Math.min(t, last), last);
    this.#position = shape.map((size, i) => Math.min(position[i] ?? Math.floor(size / 2), size - 1));
    this.slices.forEach((slider, i) => slider.set(this.#position[i], this.#is2D() ? 0 : shape[i] - 1));
    const voxel = dataset.voxel_size ?? [1, 1, 1];
    this.voxel.forEach((field, i) => { field.value = voxel[2 - i]; });
    this.voxel[2].element.hidden = this.#is2D();
    setText(this.voxelNote, dataset.voxel_size ? '' : 'The voxel size is unknown: edges of equal length are assumed. Radii are right with the true size only.');
    this.found.open(dataset);
    for (const pane of this.panes) { pane.planes = {}; pane.element.hidden = this.#is2D() && pane.axis !== 'xy'; }
    this.#layOut();
  }

  /** Give each plane its size: voxels in their proportions, all of them as large as there is room. */
  #layOut() {
    if (!this.#dataset || !this.#isSeen) return;
    const shape = this.#shape();
    const voxel = this.voxel.map((field) => field.value).reverse().map((edge) => (edge > 0 ? edge : 1));
    const [z, y, x] = shape.map((size, i) => size * voxel[i]);
    const room = this.box.clientWidth;
    const across = this.#is2D() ? room / x : (room - GAP) / (x + z);
    const down = (TALLEST * window.innerHeight) / (this.#is2D() ? y : y + z);
    const scale = Math.max(Math.min(across, Math.max(down, (0.45 * room) / x)), 1e-6);
    for (const pane of this.panes) pane.resize(shape, voxel.map((edge) => edge * scale));
    this.#refresh();
  }

  /** Somebody has turned something: what was said of the address is no longer so. */
  #changed() {
    this.#warning = '';
    this.#camera.follow(this.#position);
    this.#refresh();
  }

  /** Load and draw what the controls say. */
  #refresh() {
    if (!this.#dataset) return;
    keep({ dataset: this.#dataset.name, t: this.time.value, position: this.#position });
    if (!this.#isSeen) return;
    this.found.offer(this.#dataset, this.time.value);
    if (this.layers.ellipses.isOn) this.found.load(this.#dataset, this.time.value, this.#is2D() ? 0 : this.#position[0], this.voxel.map((field) => field.value).reverse());
    const view = this.#view();
    for (const pane of this.panes) if (!pane.element.hidden) pane.show(view);
    this.#tell();
  }

  #draw() {
    if (this.#dataset) for (const pane of this.panes) if (!pane.element.hidden) pane.draw(this.#view());
  }

  #view() {
    const viewer = this, dataset = this.#dataset, t = this.time.value;
    return {
      dataset, t, n: this.#is2D() ? 2 : 3, position: [...this.#position],
      layers: { labels: this.layers.labels.value, probabilities: this.layers.probabilities.isOn },
      get spots() { return viewer.layers.ellipses.isOn && t === viewer.time.value ? viewer.found.marked(dataset, t) : []; },
      get limits() { return viewer.#limits ?? [0, 255]; },
      limitsFor: (plane) => this.#chooseLimits(plane),
    };
  }

  /** The camera has moved: draw what is there, then load what is missing of it. */
  #look() {
    setText(this.zoom, `${Math.round(100 * this.#camera.zoom)}%`);
    this.#draw();
    clearTimeout(this.#sharper);
    this.#sharper = setTimeout(() => this.#refresh(), SHARPER_AFTER_MS);
  }

  #zoomBy(factor) {
    this.#camera.zoomBy(factor, this.#position.map((voxel) => voxel + 0.5));
    this.#look();
  }

  #fit() {
    this.#camera.reset();
    this.#look();
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
    if (!this.#dataset) return;
    const shape = this.#shape();
    for (const [axis, value] of Object.entries(voxels)) {
      this.#position[axis] = Math.max(0, Math.min(shape[axis] - 1, value));
      if (!this.#is2D()) this.slices[axis].set(this.#position[axis]);
    }
    this.#changed();
  }

  /** Go on by slices along an axis; of planes that stand alone, by timepoints. */
  #step(axis, by) {
    if (!this.#dataset) return;
    if (this.#is2D()) this.time.step(by);
    else this.#move({ [axis]: this.#position[axis] + by });
  }

  #tell() {
    const t = this.time.value;
    const labels = this.#dataset.labelled.includes(t) ? 'labelled' : 'no labels';
    this.#note(`${this.#warning} Timepoint ${t}: ${labels}, ${this.found.words(this.#dataset, t)}`.trim());
  }

  #note(text) { setText(byId('viewer-note'), text); }

  #is2D() { return this.#dataset.shape.length === 2; }

  /** Return the sizes of Z, Y, X; Z is 1 where there is none. */
  #shape() { return this.#is2D() ? [1, ...this.#dataset.shape] : this.#dataset.shape; }
}
