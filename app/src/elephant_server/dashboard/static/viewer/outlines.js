// The edges of labelled regions, as lines that stay thin however large a voxel is.

import { LABELS } from './paint.js';

const FALSE_DASH = [3, 3];
const kept = new WeakMap();

/** Draw the outlines of a plane of labels, in which `step` voxels of the image are one. */
export function drawOutlines(context, labels, { left, top, sx, sy }) {
  if (!kept.has(labels)) kept.set(labels, trace(labels));
  const place = new DOMMatrix([labels.step * sx, 0, 0, labels.step * sy, -left * sx, -top * sy]);
  context.lineWidth = 1.5;
  for (const [value, path] of kept.get(labels)) {
    const placed = new Path2D();
    placed.addPath(path, place);
    context.strokeStyle = `rgb(${LABELS[kindOf(value)].join(' ')})`;
    context.setLineDash(value > 3 ? FALSE_DASH : []);
    context.stroke(placed);
  }
  context.setLineDash([]);
}

function kindOf(value) { return value === 0 ? 0 : ((value - 1) % 3) + 1; }

/** Return by label a path around its voxels, in voxels of the plane; an edge belongs to the inner of two labels. */
function trace({ values, rows, columns }) {
  const paths = new Map();
  const owner = (a, b) => (kindOf(a) === kindOf(b) ? 0 : kindOf(a) > kindOf(b) ? a : b);
  const follow = (n, of, draw) => {
    let first = 0, value = 0;
    for (let i = 0; i <= n; i += 1) {
      const now = i < n ? of(i) : 0;
      if (now === value) continue;
      if (value) {
        if (!paths.has(value)) paths.set(value, new Path2D());
        draw(paths.get(value), first, i);
      }
      [first, value] = [i, now];
    }
  };
  for (let y = 1; y < rows; y += 1) {
    follow(columns, (x) => owner(values[(y - 1) * columns + x], values[y * columns + x]), (path, a, b) => { path.moveTo(a, y); path.lineTo(b, y); });
  }
  for (let x = 1; x < columns; x += 1) {
    follow(rows, (y) => owner(values[y * columns + x - 1], values[y * columns + x]), (path, a, b) => { path.moveTo(x, a); path.lineTo(x, b); });
  }
  return paths;
}
