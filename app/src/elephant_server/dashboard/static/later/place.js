// The planes through a place that a person looks at, as large as nuclei need, and with what was found around it.

import { fit } from '../canvas.js';
import { make } from '../dom.js';
import { cut, drawCuts, PLANES } from '../viewer/ellipses.js';
import { paint } from '../viewer/paint.js';
import { loadPlane } from '../viewer/source.js';

const AXES = ['xy', 'xz', 'yz'];
const NAMES = ['Z', 'Y', 'X'];
const RADII = 4.5, LEAST_VOXELS = 8; // that are seen around a place
const MOST = 2048;
const MOST_SAMPLED = 20000; // values of a plane that its contrast is chosen by
const LEAST_CONTRAST = 0.25; // of that of the whole planes, so that mere noise stays dark

export class PlaceView {
  #drawn = 0;

  constructor() {
    this.canvases = AXES.map((axis) => make('canvas', { class: axis, role: 'img', 'aria-label': `${axis.toUpperCase()} plane` }));
    this.element = make('div', { class: 'planes' }, ...this.canvases.map((canvas, i) => make('figure', {}, canvas, make('figcaption', {}, AXES[i].toUpperCase()))));
  }

  /** Draw the planes of a dataset through a place, with those `beside` it; of what is asked for meanwhile only the last counts. */
  async draw({ name, version, shape, voxel_size: size }, place, beside) {
    const drawn = this.#drawn += 1;
    const n = shape.length, extent = n === 2 ? [1, ...shape] : shape;
    const own = { ...inVoxels(place, size), kind: place.kind === 'spot' ? 'wrong' : 'missed' }; // colours of what is suspected
    const others = beside.map((other) => inVoxels(other, size));
    const radius = Math.sqrt(Math.max(...[0, 4, 8].map((i) => place.covariance[i]).slice(0, n))); // X, Y, Z
    const seen = seenEdge(radius, extent.slice(-n).map((voxels, i) => voxels * size[3 - n + i]), Math.max(...size.slice(-2)));
    const shown = this.canvases.filter((canvas, i) => !(canvas.parentElement.hidden = n === 2 && AXES[i] !== 'xy'));
    this.element.classList.toggle('flat', n === 2);
    const planes = await Promise.all(shown.map(async (canvas, i) => {
      const { across, row, column } = PLANES[AXES[i]];
      const index = n === 2 ? 0 : Math.min(extent[across] - 1, Math.max(0, Math.round(own.pos[across])));
      const plane = await loadPlane(name, version, 'image', place.t, AXES[i], index, MOST);
      const columns = seenVoxels(own.pos[column], extent[column], seen / size[column]);
      const rows = seenVoxels(own.pos[row], extent[row], seen / size[row]);
      return { canvas, axis: AXES[i], index, plane, columns, rows, across };
    }));
    if (drawn !== this.#drawn) return;
    const limits = contrast(planes);
    for (const one of planes) drawPlane(one, limits, [...others, own], n);
  }
}

/** Return the edge of what is seen, physical: some radii, but no more than the image has. */
function seenEdge(radius, edges, voxel) {
  return Math.min(2 * Math.max(RADII * radius, LEAST_VOXELS * voxel), Math.max(...edges));
}

/** Return where `seen` voxels around a place begin and how many they are: within the image, where it is as large as they. */
function seenVoxels(at, length, seen) {
  return { seen, first: seen >= length ? (length - seen) / 2 : Math.min(Math.max(0, at + 0.5 - seen / 2), length - seen) };
}

function drawPlane({ canvas, axis, index, plane, columns, rows, across }, limits, spots, n) {
  const buffer = make('canvas', { width: plane.columns, height: plane.rows });
  buffer.getContext('2d').putImageData(paint(plane, null, null, limits), 0, 0);
  const { context, width, height } = fit(canvas);
  const sx = width / columns.seen, sy = height / rows.seen;
  context.imageSmoothingEnabled = false;
  context.drawImage(buffer, -columns.first * sx, -rows.first * sy, plane.columns * plane.step * sx, plane.rows * plane.step * sy);
  const cuts = spots.map((spot) => cut(spot, axis, index, n)).filter(Boolean);
  drawCuts(context, cuts, { left: columns.first, top: rows.first, sx, sy });
  canvas.dataset.cuts = cuts.length;
  canvas.setAttribute('aria-label', `${axis.toUpperCase()} plane around the place${n === 3 ? `, ${NAMES[across]} ${index}` : ''}`);
}

/** Return limits that show well what is seen of all planes: a hot pixel does not count, nor does what lies far away. */
function contrast(planes) {
  const sorted = (values) => values.flat().sort((a, b) => a - b);
  const at = (values, part) => values[Math.min(values.length - 1, Math.floor(part * values.length))];
  const near = sorted(planes.map(({ plane, columns, rows }) => sample(plane, rows, columns)));
  const all = sorted(planes.map(({ plane }) => sample(plane, { first: 0, seen: Infinity }, { first: 0, seen: Infinity })));
  const low = at(near, 0.02);
  return [low, Math.max(at(near, 0.995), low + LEAST_CONTRAST * (at(all, 0.995) - at(all, 0.02)), low + 1)];
}

/** Return some values of a part of a plane. */
function sample(plane, rows, columns) {
  const [top, bottom] = range(rows, plane.rows, plane.step), [left, right] = range(columns, plane.columns, plane.step);
  const stride = Math.max(1, Math.ceil(Math.sqrt(((bottom - top) * (right - left)) / MOST_SAMPLED)));
  const found = [];
  for (let y = top; y < bottom; y += stride) for (let x = left; x < right; x += stride) found.push(plane.values[y * plane.columns + x]);
  return found;
}

function range({ first, seen }, length, step) {
  return [Math.max(0, Math.floor(first / step)), Math.min(length, Math.ceil((first + seen) / step))];
}

/** Return a place in voxels, Z, Y, X; the answer has it physical, X, Y, Z. */
function inVoxels(place, size) {
  const pos = [...place.pos].reverse(), covariance = [...place.covariance].reverse();
  return {
    pos: pos.map((x, i) => x / size[i]),
    covariance: covariance.map((c, k) => c / (size[Math.floor(k / 3)] * size[k % 3])),
  };
}
