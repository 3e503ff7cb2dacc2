// The lineage tree on a canvas: time runs down, each track is a line, and daughters lie beside each other.

import { fit } from '../canvas.js';
import { make } from '../dom.js';
import { layOut } from './layout.js';
import { BOTTOM, drawHovered, drawTree, LEFT, TOP, xOf, yOf } from './picture.js';

const MOST_PER_LANE = 60, MOST_PER_TIMEPOINT = 60;
const FAR = 3, NEAR = 8; // pixels between lines: nearer than `FAR` they are spread to `NEAR` once a place is looked at
const CLICK = 4; // a pointer that moved further than this has dragged

export class Tree {
  #laid = layOut([]);
  #span = [0, 0];
  #doubts = [];
  #view = null; // null: the whole
  #hovered = null;
  #selected = null;
  #isAsked = false;
  #still = make('canvas'); // the picture without what is hovered
  #isStill = false;

  /** `choose` is called with a track and a timepoint, `colourOf` with a track. */
  constructor(choose, colourOf) {
    this.choose = choose;
    this.colourOf = colourOf;
    this.canvas = make('canvas', { class: 'tree', tabindex: 0, role: 'application', 'aria-describedby': 'lineage-facts', 'aria-label': 'Lineage tree' });
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  /** Show the tracks of a lineage, and where they are doubtful; what is looked at stays in sight. */
  show({ version, tracks, timepoints: [first, last], doubtful: doubts }) {
    const kept = this.#view && !this.#view.hasAllTracks && this.#selected ? xOf(this.#now(), this.#laneOf(this.#selected.id)) : null;
    if (this.#span[0] !== first || this.#span[1] !== last || !tracks.length) this.#view = null;
    this.#laid = layOut(tracks);
    this.#span = [first, last];
    this.#doubts = doubts;
    this.#hovered = null;
    this.canvas.dataset.version = version;
    this.canvas.setAttribute('aria-label', `Lineage tree of ${tracks.length.toLocaleString('en')} tracks, timepoints ${first} to ${last}: arrow keys go along and between tracks`);
    const lane = this.#selected && this.#laneOf(this.#selected.id);
    if (kept !== null && lane !== undefined) this.#view.lane += (xOf(this.#now(), lane) - kept) / this.#view.perLane;
    this.draw();
  }

  /** Mark a track at a timepoint, and bring it in sight, so near that lines stand apart. */
  select(id, t) {
    this.#selected = { id, t };
    const lane = this.#laneOf(id);
    if (lane === undefined) { this.draw(); return; }
    const view = this.#now(), { width, height } = this.#size();
    if (view.perLane < FAR) {
      view.perLane = NEAR;
      view.lane = lane - width / 2 / NEAR;
    }
    const x = (lane - view.lane) * view.perLane, y = (t - view.t) * view.perTimepoint;
    if (x < 0 || x > width) view.lane = lane - width / 2 / view.perLane;
    if (y < 0 || y > height) view.t = t - height / 2 / view.perTimepoint;
    this.#look(view);
  }

  /** Zoom by factors; what lies at a point, by default what is marked or else in the middle, stays there. */
  zoomBy(lanes, times, ...at) {
    const [x, y] = at.length ? at : this.#middle();
    const view = this.#now(), whole = this.#whole();
    const lane = view.lane + (x - LEFT) / view.perLane, t = view.t + (y - TOP) / view.perTimepoint;
    view.perLane = Math.min(Math.max(MOST_PER_LANE, whole.perLane), Math.max(whole.perLane, view.perLane * lanes));
    view.perTimepoint = Math.min(Math.max(MOST_PER_TIMEPOINT, whole.perTimepoint), Math.max(whole.perTimepoint, view.perTimepoint * times));
    view.lane = lane - (x - LEFT) / view.perLane;
    view.t = t - (y - TOP) / view.perTimepoint;
    this.#look(view);
  }

  fit() {
    this.#view = null;
    this.draw();
  }

  /** Draw once, before the browser shows the next picture; `isStill`: only what is hovered has changed. */
  draw(isStill = false) {
    this.#isStill &&= isStill;
    if (this.#isAsked) return;
    this.#isAsked = true;
    requestAnimationFrame(() => {
      this.#isAsked = false;
      if (this.canvas.clientWidth) this.drawNow();
    });
  }

  /** Draw what is in sight; returns how many tracks that are. */
  drawNow() {
    const { context, ...size } = fit(this.canvas), { canvas } = this;
    if (!this.#isStill || this.#still.width !== canvas.width || this.#still.height !== canvas.height) {
      const scene = { laid: this.#laid, view: this.#now(), last: this.#span[1], doubts: this.#doubts, selected: this.#selected, colourOf: this.colourOf };
      canvas.dataset.drawn = drawTree(context, size, scene);
      [this.#still.width, this.#still.height] = [canvas.width, canvas.height];
      this.#still.getContext('2d').drawImage(canvas, 0, 0);
    } else context.drawImage(this.#still, 0, 0, size.width, size.height);
    this.#isStill = true;
    if (this.#hovered) drawHovered(context, size, this.#hovered);
    return Number(canvas.dataset.drawn);
  }

  /** Return where the marked place is, if it is in sight, or the middle. */
  #middle() {
    const { clientWidth: width, clientHeight: height } = this.canvas, view = this.#now(), marked = this.#selected;
    const x = marked ? xOf(view, this.#laneOf(marked.id)) : NaN, y = marked ? yOf(view, marked.t) : NaN;
    return x >= LEFT && x <= width && y >= 0 && y <= height ? [x, y] : [width / 2, height / 2];
  }

  #size() {
    return { width: Math.max(1, this.canvas.clientWidth - LEFT), height: Math.max(1, this.canvas.clientHeight - TOP - BOTTOM) };
  }

  #whole() {
    const { width, height } = this.#size(), [first, last] = this.#span;
    return { lane: 0, t: first, perLane: width / Math.max(1, this.#laid.nLanes), perTimepoint: height / Math.max(1, last - first) };
  }

  /** Return the view: whoever saw all tracks, or all timepoints, still does, however many there are now. */
  #now() {
    const whole = this.#whole(), view = this.#view ?? whole;
    return {
      ...view,
      ...(view.hasAllTracks ? { lane: whole.lane, perLane: whole.perLane } : {}),
      ...(view.hasAllTimes ? { t: whole.t, perTimepoint: whole.perTimepoint } : {}),
    };
  }

  /** Take a view, kept within the tree. */
  #look(view) {
    const { width, height } = this.#size(), [first, last] = this.#span;
    const keep = (from, least, most) => Math.min(Math.max(least, from), Math.max(least, most));
    view.lane = keep(view.lane, 0, this.#laid.nLanes - width / view.perLane);
    view.t = keep(view.t, first, last - height / view.perTimepoint);
    const whole = this.#whole();
    Object.assign(view, { hasAllTracks: view.perLane <= whole.perLane, hasAllTimes: view.perTimepoint <= whole.perTimepoint });
    this.#view = view;
    this.draw();
  }

  #laneOf(id) { return this.#laid.lane[this.#laid.places.get(id)]; }

  /** Return the track at a point, and the timepoint; null where there is none. */
  #at(x, y) {
    const view = this.#now(), { order, lane, top } = this.#laid;
    let found = -1, nearest = Math.max(6, view.perLane / 2);
    for (let i = 0; i < order.length; i += 1) {
      const away = Math.abs(xOf(view, lane[i]) - x);
      if (away >= nearest || y < yOf(view, top[i]) - 5 || y > yOf(view, order[i].end) + 5) continue;
      nearest = away;
      found = i;
    }
    if (found < 0) return null;
    const track = order[found], t = Math.round(view.t + (y - TOP) / view.perTimepoint);
    return { track, t: Math.min(track.end, Math.max(track.start, t)) };
  }

  #listen() {
    const { canvas } = this;
    let pressed = null, moved = 0;
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button > 1) return;
      canvas.setPointerCapture(event.pointerId);
      pressed = [event.offsetX, event.offsetY];
      moved = 0;
    });
    canvas.addEventListener('pointermove', (event) => {
      const { offsetX: x, offsetY: y } = event;
      if (!pressed) { this.#hover(x, y); return; }
      moved += Math.abs(x - pressed[0]) + Math.abs(y - pressed[1]);
      if (moved > CLICK) this.#pan(pressed[0] - x, pressed[1] - y);
      pressed = [x, y];
    });
    canvas.addEventListener('pointerup', (event) => {
      const found = pressed && moved <= CLICK && this.#at(event.offsetX, event.offsetY);
      pressed = null;
      if (found) this.choose(found.track, found.t);
    });
    canvas.addEventListener('pointercancel', () => { pressed = null; });
    canvas.addEventListener('pointerleave', () => { this.#hovered = null; this.draw(true); });
    canvas.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener('keydown', (event) => this.#key(event));
  }

  #hover(x, y) {
    const found = this.#at(x, y);
    if (!found && !this.#hovered) return;
    this.#hovered = found && { track: found.track, x, y };
    this.draw(true);
  }

  #pan(dx, dy) {
    const view = this.#now();
    this.#look({ ...view, lane: view.lane + dx / view.perLane, t: view.t + dy / view.perTimepoint });
  }

  /** The wheel spreads the tracks, with Shift the timepoints, with Ctrl (a pinch) both; sideways it moves. */
  #wheel(event) {
    event.preventDefault();
    if (!event.shiftKey && Math.abs(event.deltaX) > Math.abs(event.deltaY)) { this.#pan(event.deltaX, 0); return; }
    const by = (event.deltaY || event.deltaX) * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1);
    const factor = Math.exp(-Math.max(-100, Math.min(100, by)) / 250);
    const isBoth = event.ctrlKey || event.metaKey;
    this.zoomBy(event.shiftKey ? 1 : factor, event.shiftKey || isBoth ? factor : 1, event.offsetX, event.offsetY);
  }

  #key(event) {
    const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (step[0]) this.#beside(step[0]);
    else this.along(step[1]);
  }

  /** Go on by a timepoint along the track, into its mother or its first daughter where it ends. */
  along(by) {
    const { order, places, parent } = this.#laid;
    const i = this.#selected ? places.get(this.#selected.id) : undefined;
    if (i === undefined) { if (order.length) this.choose(order[0], order[0].start); return; }
    const t = this.#selected.t + by;
    if (t >= order[i].start && t <= order[i].end) { this.choose(order[i], t); return; }
    const next = by < 0 ? parent[i] : parent.indexOf(i);
    if (next >= 0) this.choose(order[next], by < 0 ? order[next].end : order[next].start);
  }

  /** Go to the nearest track to the left or the right at the same timepoint. */
  #beside(by) {
    const { order, places, lane } = this.#laid;
    const i = this.#selected ? places.get(this.#selected.id) : undefined;
    if (i === undefined) { this.along(1); return; }
    const { t } = this.#selected;
    let found = -1;
    order.forEach((track, k) => {
      const isThere = track.start <= t && track.end >= t && (lane[k] - lane[i]) * by > 0;
      if (isThere && (found < 0 || (lane[k] - lane[found]) * by < 0)) found = k;
    });
    if (found >= 0) this.choose(order[found], t);
  }
}
