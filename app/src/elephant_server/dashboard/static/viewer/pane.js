// One plane on the page. Of what is asked for while it loads only the last counts.

import { fit } from '../canvas.js';
import { counted, make, setText } from '../dom.js';
import { cut, drawCuts, PLANES } from './ellipses.js';
import { listen } from './gestures.js';
import { drawOutlines } from './outlines.js';
import { paint } from './paint.js';
import { loadPlane } from './source.js';

const NAMES = ['Z', 'Y', 'X'];
const CAPTIONS = { xy: 'XY', xz: 'XZ', yz: 'YZ' };

export class Pane {
  #isLoading = false;
  #wanted = null;
  #buffer = document.createElement('canvas');
  planes = {};
  position = [0, 0, 0];
  pixels = [1, 1];

  /**
   * `camera` says which part is shown. `act` has the functions move(voxels by axis), step(axis, by) for slices, look() when
   * the camera has moved, and fail(error).
   */
  constructor(axis, camera, act) {
    this.axis = axis;
    this.camera = camera;
    this.fail = act.fail;
    this.canvas = make('canvas', { role: 'img', 'aria-label': `${CAPTIONS[axis]} plane, not loaded yet` });
    this.caption = make('figcaption', {}, CAPTIONS[axis]);
    this.element = make('figure', { class: `plane ${axis}` }, this.caption, this.canvas);
    const { row, column, across } = PLANES[axis];
    listen(this.canvas, {
      point: (x, y) => {
        const at = this.#voxels(x, y);
        act.move({ [column]: Math.floor(at[column]), [row]: Math.floor(at[row]) });
      },
      step: (by) => act.step(across, by),
      pan: (dx, dy) => {
        const { sx, sy } = this.frame;
        camera.moveBy({ [column]: -dx / sx, [row]: -dy / sy });
        act.look();
      },
      zoom: (factor, x, y) => {
        camera.zoomBy(factor, this.#voxels(x, y));
        act.look();
      },
    });
  }

  /** Set the size on the page, CSS pixels for each voxel along Z, Y, X. */
  resize(shape, pixels) {
    const { row, column } = PLANES[this.axis];
    this.pixels = [pixels[column], pixels[row]];
    this.canvas.style.width = `${Math.max(1, Math.round(shape[column] * pixels[column]))}px`;
    this.canvas.style.height = `${Math.max(1, Math.round(shape[row] * pixels[row]))}px`;
  }

  get frame() { return this.camera.frame(this.axis, this.pixels); }

  /** Pixels that the longest edge of the whole plane has at the moment. */
  get longestEdge() {
    return Math.max(this.canvas.clientWidth, this.canvas.clientHeight) * Math.min(2, window.devicePixelRatio || 1) * this.camera.zoom;
  }

  /** Load what `view` says, then draw it. */
  async show(view) {
    this.#wanted = view;
    this.position = view.position;
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
    const most = Math.min(4096, Math.max(256, 256 * Math.ceil(this.longestEdge / 256)));
    const load = (layer, isWanted) => (isWanted ? loadPlane(dataset.name, dataset.version, layer, t, this.axis, index, most) : null);
    const [image, labels, probabilities] = await Promise.all([
      load('image', true),
      load('labels', view.layers.labels !== 'off' && dataset.labelled.includes(t)),
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
    const isFilled = view.layers.labels === 'filled';
    this.#buffer.getContext('2d').putImageData(paint(image, isFilled ? labels : null, probabilities, view.limits), 0, 0);
    const { context } = fit(this.canvas);
    const frame = this.frame, { left, top, sx, sy } = frame;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.#buffer, -left * sx, -top * sy, image.columns * image.step * sx, image.rows * image.step * sy);
    if (labels && !isFilled) drawOutlines(context, labels, frame);
    const { across, row, column } = PLANES[this.axis];
    const cuts = view.spots.map((spot) => cut(spot, this.axis, view.position[across], view.n)).filter(Boolean);
    drawCuts(context, cuts, frame);
    if (view.n === 3) this.#drawCross(context, frame, view.position[column], view.position[row]);
    const missed = cuts.filter((one) => one.kind === 'missed').length, wrong = cuts.filter((one) => one.kind === 'wrong').length;
    Object.assign(this.canvas.dataset, { cuts: cuts.length - missed, missed, wrong });
    this.canvas.dataset.labelled = labels ? labels.values.reduce((n, v) => n + (v > 0), 0) : 0;
    const where = view.n === 3 ? `, ${NAMES[across]} ${view.position[across]}` : '';
    setText(this.caption, view.n === 3 ? `${CAPTIONS[this.axis]}, ${NAMES[across]} ${view.position[across]}` : CAPTIONS[this.axis]);
    this.canvas.setAttribute('aria-label', `${CAPTIONS[this.axis]} plane of ${view.dataset.name}, timepoint ${view.t}${where}; ${counted(cuts.length - missed)} drawn${missed + wrong ? `, ${wrong} of them wrong; ${missed} missed` : ''}`);
  }

  #drawCross(context, { left, top, sx, sy }, column, row) {
    const x = (column + 0.5 - left) * sx, y = (row + 0.5 - top) * sy;
    context.strokeStyle = 'rgb(255 255 255 / 45%)';
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, this.canvas.clientHeight);
    context.moveTo(0, y);
    context.lineTo(this.canvas.clientWidth, y);
    context.stroke();
  }

  /** Return the place, Z, Y, X in voxels, of a point of the canvas. */
  #voxels(x, y) {
    const { left, top, sx, sy } = this.frame, { row, column } = PLANES[this.axis];
    const found = this.position.map((voxel) => voxel + 0.5);
    found[column] = left + x / sx;
    found[row] = top + y / sy;
    return found;
  }
}
