// The planes of a dataset through a place, with the spots of its timepoint over them.

import { make } from '../dom.js';
import { Camera } from '../viewer/camera.js';
import { goodLimits } from '../viewer/paint.js';
import { cut, PLANES } from '../viewer/ellipses.js';
import { Pane } from '../viewer/pane.js';

const GAP = 8;
const SHARPER_AFTER_MS = 200;
const AXES = ['xy', 'yz', 'xz'];
const MARK = '#ffffff';
const UNKNOWN_RADIUS = 4; // voxels
const LEAST_SEEN = 9, SEEN = 14; // pixels: spots of smaller radius are brought nearer at first

/** A plane that marks other ends of links, wherever they lie across it. */
class MarkedPane extends Pane {
  draw(view) {
    super.draw(view);
    if (!this.planes.image || !this.canvas.clientWidth) return;
    const context = this.canvas.getContext('2d'), { left, top, sx, sy } = this.frame, { across } = PLANES[this.axis];
    Object.assign(context, { strokeStyle: MARK, fillStyle: MARK, lineWidth: 1.5, font: '600 12px system-ui, sans-serif' });
    context.setLineDash([2, 3]);
    for (const [i, mark] of view.marks.entries()) {
      const { x, y, xx, yy } = cut(mark, this.axis, mark.pos[across], view.n);
      const [column, row, wide, tall] = [(x + 0.5 - left) * sx, (y + 0.5 - top) * sy, Math.sqrt(xx) * sx + 2, Math.sqrt(yy) * sy + 2];
      context.beginPath();
      context.ellipse(column, row, wide, tall, 0, 0, 2 * Math.PI);
      context.stroke();
      // Words of one mark stand above it, those of the other below, and those at the right edge on the left.
      const side = column + 0.7 * wide + 2 + context.measureText(mark.words).width > this.canvas.clientWidth ? -1 : 1, up = i % 2 ? -1 : 1;
      Object.assign(context, { textAlign: side > 0 ? 'left' : 'right', textBaseline: up > 0 ? 'bottom' : 'top' });
      context.fillText(mark.words, column + side * (0.7 * wide + 2), row - up * 0.7 * tall);
    }
    context.setLineDash([]);
    this.canvas.dataset.marks = view.marks.length;
  }
}

export class Planes {
  #camera = new Camera();
  #entry = null;
  #at = { t: 0, position: [0, 0, 0] };
  #spots = [];
  #marks = [];
  #isNew = false;
  #limits = null;
  #sharper = null;

  /** `choose` is called with the nearest spot that somebody points at, `fail` with what went wrong. */
  constructor(choose, fail) {
    this.choose = choose;
    const act = { move: (voxels) => this.#point(voxels), step: (axis, by) => this.#move({ [axis]: this.#at.position[axis] + by }), look: () => this.#look(), fail };
    this.panes = AXES.map((axis) => new MarkedPane(axis, this.#camera, act));
    this.element = make('div', { class: 'planes' }, ...this.panes.map((pane) => pane.element));
    new ResizeObserver(() => this.#layOut()).observe(this.element);
  }

  open(entry) {
    const isSame = ['name', 'version'].every((fact) => this.#entry?.[fact] === entry[fact]);
    if (isSame && String(this.#entry.voxel_size) === String(entry.voxel_size)) return;
    this.#entry = entry;
    this.#limits = null;
    this.#isNew = true;
    this.#camera.reset(this.#shape());
    this.#at = { t: -1, position: this.#shape().map((n) => Math.floor(n / 2)) };
    for (const pane of this.panes) { pane.planes = {}; pane.element.hidden = this.#isFlat && pane.axis !== 'xy'; }
    this.#layOut();
  }

  /**
   * Show a timepoint at a position, X, Y, Z in physical units, or where it is. `spots` have `pos`, `radius` and `colour`; `ends`
   * are spots of other timepoints, with `words`.
   */
  show(t, position, spots, ends) {
    [this.#spots, this.#marks] = [spots, ends].map((some) => some.map((spot) => ({ ...spot, ...this.#inVoxels(spot) })));
    if (position) this.#at.position = this.#inside(this.#voxelsOf(position).map(Math.round));
    this.#at.t = t;
    if (this.#isNew && position) this.#comeNear();
    this.#camera.follow(this.#at.position);
    this.#refresh();
  }

  get #isFlat() { return this.#entry.shape.length === 2; }

  get #size() { return this.#entry.voxel_size ?? [1, 1, 1]; }

  #shape() { return this.#isFlat ? [1, ...this.#entry.shape] : this.#entry.shape; }

  #inside(voxels) { return this.#shape().map((n, i) => Math.max(0, Math.min(n - 1, voxels[i]))); }

  /** Return a position, X, Y, Z, in voxels Z, Y, X. */
  #voxelsOf([x, y, z]) { return [z, y, x].map((at, i) => (i || !this.#isFlat ? at / this.#size[i] : 0)); }

  #inVoxels({ pos, radius }) {
    const covariance = Array(9).fill(0);
    this.#size.forEach((edge, i) => { covariance[4 * i] = ((radius ?? UNKNOWN_RADIUS * this.#size[2]) / edge) ** 2; });
    return { pos: this.#voxelsOf(pos), covariance };
  }

  /** Give each plane its size: voxels in their proportions, as large as there is room. */
  #layOut() {
    if (!this.#entry || !this.element.clientWidth) return;
    const shape = this.#shape(), [z, y, x] = shape.map((n, i) => n * this.#size[i]);
    const across = this.#isFlat ? this.element.clientWidth / x : (this.element.clientWidth - GAP) / (x + z);
    const scale = Math.min(across, (0.45 * window.innerHeight) / (this.#isFlat ? y : y + z));
    for (const pane of this.panes) pane.resize(shape, this.#size.map((edge) => edge * scale));
    this.#refresh();
  }

  /** Bring spots that would be mere dots nearer. */
  #comeNear() {
    this.#isNew = false;
    const radii = this.#spots.map(({ covariance }) => Math.sqrt(covariance[8])).sort((a, b) => a - b);
    const seen = (radii[Math.floor(radii.length / 2)] ?? UNKNOWN_RADIUS) * this.panes[0].pixels[0];
    if (seen < LEAST_SEEN) this.#camera.zoomBy(SEEN / seen, this.#at.position);
  }

  #refresh() {
    if (!this.#entry || this.#at.t < 0 || !this.element.clientWidth) return;
    for (const pane of this.panes) if (!pane.element.hidden) pane.show(this.#view());
  }

  #look() {
    for (const pane of this.panes) if (!pane.element.hidden) pane.draw(this.#view());
    clearTimeout(this.#sharper);
    this.#sharper = setTimeout(() => this.#refresh(), SHARPER_AFTER_MS);
  }

  #view() {
    const planes = this;
    return {
      dataset: this.#entry, t: this.#at.t, n: this.#isFlat ? 2 : 3, position: [...this.#at.position], spots: this.#spots, marks: this.#marks,
      layers: { labels: 'off', probabilities: false },
      get limits() { return planes.#limits ?? [0, 255]; },
      limitsFor: (plane) => { planes.#limits ??= goodLimits(plane); },
    };
  }

  #move(voxels) {
    this.#at.position = this.#inside(Object.assign([...this.#at.position], voxels));
    this.#refresh();
  }

  /** Move the cross; a spot in which it comes to lie is chosen. */
  #point(voxels) {
    this.#move(voxels);
    const away = ({ pos, covariance }) => pos.reduce((sum, at, i) => sum + (at - this.#at.position[i]) ** 2 / covariance[4 * i], 0);
    const found = this.#spots.reduce((best, spot) => (away(spot) < best.away ? { spot, away: away(spot) } : best), { spot: null, away: 1 });
    if (found.spot) this.choose(found.spot);
  }
}
