// One plane on the page. Of what is asked for while it loads only the last counts.

import { fit } from '../canvas.js';
import { make } from '../dom.js';
import { cut, drawCuts, PLANES } from './ellipses.js';
import { paint } from './paint.js';
import { loadPlane } from './source.js';

const NAMES = ['Z', 'Y', 'X'];
const CAPTIONS = { xy: 'XY', xz: 'XZ', yz: 'YZ' };

export class Pane {
  #isLoading = false;
  #wanted = null;
  #buffer = document.createElement('canvas');
  planes = {};

  /** `move` is called with voxels by axis when somebody points at a place; `fail` with what went wrong. */
  constructor(axis, move, fail) {
    this.axis = axis;
    this.fail = fail;
    this.canvas = make('canvas', { role: 'img', 'aria-label': `${CAPTIONS[axis]} plane, not loaded yet` });
    this.element = make('figure', { class: `plane ${axis}` }, make('figcaption', {}, CAPTIONS[axis]), this.canvas);
    const point = (event) => { if (event.buttons & 1) move(this.#voxels(event)); };
    this.canvas.addEventListener('pointerdown', point);
    this.canvas.addEventListener('pointermove', point);
  }

  /** Set the size on the page, CSS pixels for each voxel along Z, Y, X. */
  resize(shape, pixels) {
    const { row, column } = PLANES[this.axis];
    this.pixels = [pixels[column], pixels[row]];
    this.canvas.style.width = `${Math.max(1, Math.round(shape[column] * pixels[column]))}px`;
    this.canvas.style.height = `${Math.max(1, Math.round(shape[row] * pixels[row]))}px`;
  }

  get longestEdge() {
    return Math.max(this.canvas.clientWidth, this.canvas.clientHeight) * Math.min(2, window.devicePixelRatio || 1);
  }

  /** Load what `view` says, then draw it. */
  async show(view) {
    this.#wanted = view;
    if (this.#isLoading) return;
    this.#isLoading = true;
    while (this.#wanted) {
      const now = this.#wanted;
      this.#wanted = null;
      try {
        this.planes = await this.#load(now);
        this.draw(now);
      } catch (error) {
        this.fail(error);
      }
    }
    this.#isLoading = false;
  }

  async #load(view) {
    const { dataset, t, position } = view;
    const index = view.n === 2 ? 0 : position[PLANES[this.axis].across];
    const most = Math.min(2048, Math.max(256, 256 * Math.ceil(this.longestEdge / 256)));
    const load = (layer, isWanted) => (isWanted ? loadPlane(dataset.name, dataset.version, layer, t, this.axis, index, most) : null);
    const [image, labels, probabilities] = await Promise.all([
      load('image', true),
      load('labels', view.layers.labels && dataset.labelled.includes(t)),
      load('probabilities', view.layers.probabilities && dataset.predicted.includes(t)),
    ]);
    return { image, labels, probabilities };
  }

  /** Draw again what is loaded. */
  draw(view) {
    const { image, labels, probabilities } = this.planes;
    if (!image || !this.canvas.clientWidth) return;
    view.limitsFor(image);
    this.#buffer.width = image.columns;
    this.#buffer.height = image.rows;
    this.#buffer.getContext('2d').putImageData(paint(image, labels, probabilities, view.limits), 0, 0);
    const { context } = fit(this.canvas);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.#buffer, 0, 0, image.columns * image.step * this.pixels[0], image.rows * image.step * this.pixels[1]);
    const { across, row, column } = PLANES[this.axis];
    const cuts = view.spots.map((spot) => cut(spot, this.axis, view.position[across], view.n)).filter(Boolean);
    drawCuts(context, cuts, ...this.pixels);
    if (view.n === 3) this.#drawCross(context, view.position[column], view.position[row]);
    this.canvas.dataset.cuts = cuts.length;
    this.canvas.dataset.labelled = labels ? labels.values.reduce((n, v) => n + (v > 0), 0) : 0;
    const where = view.n === 3 ? `, ${NAMES[across]} ${view.position[across]}` : '';
    this.canvas.setAttribute('aria-label', `${CAPTIONS[this.axis]} plane of ${view.dataset.name}, timepoint ${view.t}${where}; ${cuts.length} nuclei drawn`);
  }

  #drawCross(context, column, row) {
    const x = (column + 0.5) * this.pixels[0], y = (row + 0.5) * this.pixels[1];
    context.strokeStyle = 'rgb(255 255 255 / 45%)';
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, this.canvas.clientHeight);
    context.moveTo(0, y);
    context.lineTo(this.canvas.clientWidth, y);
    context.stroke();
  }

  #voxels(event) {
    const { row, column } = PLANES[this.axis];
    return { [column]: Math.floor(event.offsetX / this.pixels[0]), [row]: Math.floor(event.offsetY / this.pixels[1]) };
  }
}
