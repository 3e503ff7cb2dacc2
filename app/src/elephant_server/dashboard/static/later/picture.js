// The picture of a lineage tree: only what is in sight is drawn.

import { describe } from './words.js';

export const LEFT = 44, TOP = 12, BOTTOM = 14; // room for the timepoints' numbers
const LANES_OF_DOTS = 9, LANES_OF_NAMES = 30; // pixels between lines from which on there is room for them
const INK = '#e7ebee', SOFT = '#a3b0ba', LINE = '#2b343a', DOUBT = '#ffd23f', GROUND = '#101417';

export const xOf = (view, lane) => LEFT + (lane - view.lane) * view.perLane;
export const yOf = (view, t) => TOP + (t - view.t) * view.perTimepoint;

/**
 * Draw a tree into a context of `size` pixels, and return how many tracks are in sight. The `scene` has what `layOut` returns
 * (`laid`), the `view` (`lane` and `t` that are seen first, pixels `perLane` and `perTimepoint`), the `last` timepoint, `doubts`,
 * `selected` (null: none), and `colourOf`, which returns the colour of a track.
 */
export function drawTree(context, size, scene) {
  drawTimes(context, size, scene);
  context.save();
  context.beginPath();
  context.rect(LEFT, 0, size.width - LEFT, size.height);
  context.clip();
  const drawn = drawTracks(context, size, scene);
  drawDoubts(context, size, scene);
  context.restore();
  if (scene.selected) drawSelected(context, size, scene);
  return drawn;
}

function drawTimes(context, { width, height }, { view, last }) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((n) => n * view.perTimepoint >= 28) ?? 5000;
  write(context, 11, 'right', 'middle');
  for (let t = Math.ceil(view.t / step) * step; t <= last && yOf(view, t) <= height; t += step) {
    const y = Math.round(yOf(view, t)) + 0.5;
    context.fillStyle = LINE;
    context.fillRect(LEFT, y, width, 1);
    context.fillStyle = SOFT;
    context.fillText(t, LEFT - 8, y);
  }
}

/** Lines of one look are drawn as one path: thousands of strokes would take long. */
function drawTracks(context, { width, height }, { laid: { order, parent, lane, top }, view, colourOf }) {
  const looks = new Map(), named = [];
  let drawn = 0;
  for (let i = 0; i < order.length; i += 1) {
    const x = xOf(view, lane[i]), from = parent[i] < 0 ? x : xOf(view, lane[parent[i]]);
    if (Math.max(x, from) < LEFT || Math.min(x, from) > width) continue;
    const y = yOf(view, top[i]), end = yOf(view, order[i].end);
    if (end < 0 || y > height) continue;
    drawn += 1;
    const track = order[i], isConfirmed = track.is_confirmed, hasGaps = track.n_spots < track.end - track.start + 1;
    const key = `${colourOf(track)} ${isConfirmed} ${hasGaps}`;
    if (!looks.has(key)) looks.set(key, { colour: colourOf(track), isConfirmed, hasGaps, lines: [] });
    looks.get(key).lines.push({ from, x, y, end: Math.max(end, y + 1.5), track });
    if (view.perLane >= LANES_OF_NAMES && x > LEFT) named.push([track.id, x, Math.max(y, 0)]);
  }
  for (const look of looks.values()) strokeLook(context, height, view, look);
  context.fillStyle = SOFT;
  write(context, 11, 'left', 'top');
  for (const [id, x, y] of named) context.fillText(id, x + 4, y + 2);
  return drawn;
}

function strokeLook(context, height, view, { colour, isConfirmed, hasGaps, lines }) {
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = Math.min(isConfirmed ? 4 : 2, Math.max(1, view.perLane / 3));
  context.setLineDash(hasGaps && view.perLane > 3 ? [5, 3] : []);
  context.beginPath();
  for (const { from, x, y, end } of lines) {
    context.moveTo(from, y);
    if (from !== x) context.lineTo(x, y);
    context.lineTo(x, end);
  }
  context.stroke();
  context.setLineDash([]);
  // Where a spot is missing is not known here.
  if (!hasGaps && Math.min(view.perLane, view.perTimepoint) >= LANES_OF_DOTS) for (const { x, track } of lines) drawDots(context, height, view, x, track);
}

function drawDots(context, height, view, x, { start, end }) {
  const last = Math.min(end, Math.ceil(view.t + height / view.perTimepoint));
  for (let t = Math.max(start, Math.floor(view.t)); t <= last; t += 1) context.fillRect(x - 2.5, yOf(view, t) - 2.5, 5, 5);
}

function drawDoubts(context, { width }, { laid: { lane, places }, view, doubts }) {
  const radius = Math.min(5, Math.max(2, view.perLane / 3));
  context.strokeStyle = DOUBT;
  context.lineWidth = 1.5;
  context.beginPath();
  for (const { track, t } of doubts) {
    const x = xOf(view, lane[places.get(track)]), y = yOf(view, t);
    if (!(x >= LEFT && x <= width)) continue; // nor where its track is none of the tree's
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
  context.stroke();
}

/** Draw lines beside that of the track, whose colour stays, and a ring at the timepoint. */
function drawSelected(context, { width }, { laid: { order, lane, places }, view, selected: { id, t } }) {
  const i = places.get(id);
  if (i === undefined) return;
  const x = xOf(view, lane[i]);
  if (x < LEFT || x > width) return;
  context.strokeStyle = INK;
  context.lineWidth = 1;
  context.beginPath();
  for (const side of [-4, 4]) {
    context.moveTo(x + side, yOf(view, order[i].start));
    context.lineTo(x + side, yOf(view, order[i].end));
  }
  context.stroke();
  context.lineWidth = 3;
  context.beginPath();
  context.arc(x, yOf(view, t), 8, 0, 2 * Math.PI);
  context.stroke();
}

/** Draw what is known of the track that is pointed at. */
export function drawHovered(context, { width, height }, { track, x, y }) {
  const words = describe(track);
  write(context, 12, 'left', 'middle');
  const wide = context.measureText(words).width + 16;
  const left = Math.max(0, Math.min(width - wide, x + 12)), top = y + 44 > height ? y - 34 : y + 16;
  context.fillStyle = INK;
  context.fillRect(left, top, wide, 24);
  context.fillStyle = GROUND;
  context.fillText(words, left + 8, top + 12);
}

function write(context, size, align, baseline) {
  context.font = `${size}px system-ui, sans-serif`;
  context.textAlign = align;
  context.textBaseline = baseline;
}
