// The dialog with the lineages of a dataset: the tree, the planes beside it, and what is doubtful, to be corrected.

import { checked, post } from '../api.js';
import { make, setText } from '../dom.js';
import { Corrections } from './corrections.js';
import { Doubts, judged, title } from './doubts.js';
import { Planes } from './planes.js';
import { colourOfProbability, coloursOf, NO_NUCLEUS, STEPS } from './tracks.js';
import { Tree } from './tree.js';
import { describe, percent } from './words.js';

const MOST_KEPT = 40; // timepoints whose spots are kept
const CLOSER = 1.5;
const LONGEST_LINK = 6; // timepoints that the other end of a link is looked for

document.head.append(make('link', { rel: 'stylesheet', href: new URL('lineage.css', import.meta.url) }));

let dialog = null;

/** Open the lineages of a dataset. */
export async function open({ name, datasets }) {
  dialog ??= new LineageDialog();
  await dialog.open(datasets.entries.find((entry) => entry.name === name));
}

class LineageDialog {
  #lineage = null;
  #tracks = new Map(); // by id
  #daughters = new Map(); // of tracks that divide
  #colours = new Map(); // of tracks
  #spots = new Map(); // by timepoint
  #selected = null; // { track, t, spot, doubt, ends }
  #corrected = []; // places that were corrected since the lineage was loaded, the last one last
  #loads = 0;
  #asking = null;

  constructor() {
    this.tree = new Tree((track, t) => this.#choose({ track: track.id, t }), (track) => this.#colourOf(track));
    this.planes = new Planes((spot) => this.#choose({ track: spot.track, t: this.#selected.t, spot: spot.id, isHere: true }), (error) => this.#complain(error.message));
    this.doubts = new Doubts((doubt) => this.#chooseDoubt(doubt), () => this.tree.draw());
    this.corrections = new Corrections((changes) => this.#correct(changes), (spot) => this.#spotBefore(spot), (words) => this.#complain(words));
    this.heading = make('h2', { id: 'lineage-title' });
    this.about = make('p', { class: 'soft' });
    this.note = make('p', { class: 'soft note', role: 'status', 'aria-live': 'polite' });
    this.problem = make('p', { class: 'problem', role: 'alert' });
    this.facts = make('p', { id: 'lineage-facts', class: 'facts', role: 'status', 'aria-live': 'polite' });
    this.again = make('button', { type: 'button', onclick: () => this.#trackAgain() });
    this.element = make('dialog', { id: 'lineage', 'aria-labelledby': 'lineage-title' },
      make('div', { class: 'row' }, this.heading, this.again, make('button', { type: 'button', onclick: () => this.element.close() }, 'Close')),
      this.about, this.note, this.problem, this.body = this.#makeBody());
    this.element.addEventListener('keydown', (event) => this.#key(event));
    this.element.addEventListener('cancel', (event) => { if (this.corrections.forget()) event.preventDefault(); });
    this.element.addEventListener('close', () => {
      this.#asking?.abort();
      // The list of datasets may have been made anew since, and what was pressed with it.
      document.querySelector(`[data-later=lineage][data-name="${CSS.escape(this.entry.name)}"]`)?.focus();
    });
    document.body.append(this.element);
  }

  async open(entry) {
    if (!this.element.open) this.element.showModal();
    if (this.entry?.name !== entry.name) this.#forget();
    this.entry = entry;
    setText(this.heading, `Lineages of ${entry.name}`);
    this.#complain('');
    if (!this.#asking) await this.#load();
  }

  #makeBody() {
    const button = (words, label, onclick) => make('button', { type: 'button', 'aria-label': label, onclick }, words);
    this.colours = make('select', { id: 'lineage-colours', onchange: () => this.#recolour() }, make('option', { value: 'track' }, 'track'), make('option', { value: 'probability' }, 'probability'));
    const steps = STEPS.map(([least, colour], i) => {
      const mark = make('i');
      mark.style.background = colour;
      return make('span', {}, mark, i === STEPS.length - 1 ? `< ${100 * STEPS[i - 1][0]}%` : `≥ ${100 * least}%`);
    });
    this.legend = make('p', { class: 'key', hidden: true }, ...steps);
    const tools = make('div', { class: 'tools' }, make('label', { for: 'lineage-colours' }, 'Colour by', this.colours), this.legend, make('p', { class: 'key' }, make('span', {}, make('i', { class: 'ring' }), 'doubtful')),
      make('span', { class: 'zooms' }, button('−', 'Zoom out', () => this.tree.zoomBy(1 / CLOSER, 1)), button('+', 'Zoom in', () => this.tree.zoomBy(CLOSER, 1)), button('Fit', 'Show the whole tree', () => this.tree.fit())));
    const rows = {
      'N P': 'next, previous doubtful place', ', .': 'along the track', 'arrow keys': 'in the tree: along and between tracks',
      '+ − 0': 'spread the tracks, whole tree', 'Y X W': 'confirm, cut, no nucleus', D: 'no division: one daughter stays', 'J': 'join: press it at each of two tracks', Z: 'undo',
      'Dashed, thick': 'spots are missing, confirmed',
      'In the tree': 'the wheel spreads tracks; with Shift timepoints; with Ctrl both; dragging moves it',
      'In a plane': 'a click chooses a spot, the wheel goes through the planes; with Ctrl it zooms; dragging with Shift moves it',
      'Rings of dots': 'where the spot was before, and where both daughters are',
    };
    const help = make('details', { class: 'help', ontoggle: () => { if (help.open) help.scrollIntoView({ block: 'nearest' }); } }, make('summary', {}, 'Keys and mouse'), make('dl', {}, ...Object.entries(rows).flatMap(([name, text]) => [make('dt', {}, name), make('dd', {}, text)])));
    return make('div', { class: 'lineages', hidden: true }, make('div', { class: 'grown' }, tools, this.tree.canvas),
      make('div', { class: 'place' }, this.planes.element, this.facts, this.corrections.element, this.doubts.element, help));
  }

  #forget() {
    this.#asking?.abort();
    this.#asking = this.#lineage = this.#selected = null;
    this.body.hidden = true;
    setText(this.note, '');
  }

  #complain(words) { setText(this.problem, words); }

  /** Load the lineage anew, and show it; say so where there is none yet. */
  async #load() {
    const { entry } = this;
    try {
      const found = await read('movie/lineage', { dataset_name: entry.name });
      this.#corrected = [];
      if (this.entry === entry) this.#show(found);
    } catch (error) {
      if (this.entry !== entry) return;
      this.#forget();
      setText(this.again, 'Track the newest predictions');
      setText(this.about, error.status === 404 ? 'Nothing was tracked yet. Tracking joins the newest predictions of the whole dataset to lineages; predict its timepoints first, in Mastodon or as a whole (movie/predict, elephant predict).' : '');
      if (error.status !== 404) this.#complain(error.message);
    }
  }

  #show(lineage) {
    const isNew = lineage.version !== this.#lineage?.version;
    this.#lineage = lineage;
    this.#tracks = new Map(lineage.tracks.map((track) => [track.id, track]));
    this.#daughters = new Map();
    for (const track of lineage.tracks) if (track.parent !== null) this.#daughters.set(track.parent, [...this.#daughters.get(track.parent) ?? [], track]);
    this.#colours = coloursOf(lineage.tracks);
    if (isNew) this.#spots.clear();
    setText(this.again, 'Track again');
    const count = (n, one) => `${n.toLocaleString('en')} ${one}${n === 1 ? '' : 's'}`;
    const [start, end] = lineage.timepoints;
    const parts = [`${count(lineage.n_spots, 'spot')} in ${count(lineage.tracks.length, 'track')}, timepoints ${start}–${end}`, lineage.made_from];
    setText(this.about, `${parts.filter(Boolean).join('; ')}.${lineage.dropped ? ` ${lineage.dropped}.` : ''}${doubtOfSize(lineage, this.entry)}`);
    this.body.hidden = false;
    this.planes.open({ ...this.entry, voxel_size: sizeOf(lineage) ?? this.entry.voxel_size });
    this.doubts.show(lineage);
    this.tree.show(lineage);
    if (this.#selected || !lineage.tracks.length) return;
    const first = lineage.tracks.reduce((a, b) => (b.start < a.start ? b : a));
    this.#choose({ track: first.id, t: first.start });
    this.tree.canvas.focus(); // where all keys count
  }

  #colourOf(track) { return this.colours.value === 'track' ? this.#colours.get(track.id) : colourOfProbability(track); }

  #recolour() {
    this.legend.hidden = this.colours.value === 'track';
    this.tree.draw();
    if (this.#selected) this.#showSpots(null);
  }

  /** Return the spots of a timepoint of the lineage that is shown. */
  async #spotsAt(t) {
    if (!this.#spots.has(t)) {
      const { version } = this.#lineage;
      const found = await read('movie/lineage/spots', { dataset_name: this.entry.name, timepoint: t });
      if (found.version !== version && version === this.#lineage.version) { await this.#reload(); return this.#spotsAt(t); }
      this.#spots.set(t, found.spots);
      if (this.#spots.size > MOST_KEPT) this.#spots.delete(this.#spots.keys().next().value);
    }
    return this.#spots.get(t);
  }

  async #reload() {
    await this.#load();
    setText(this.note, 'Somebody else has corrected the lineage: this is how it is now.');
  }

  /** Return the last spot of a track at or before a timepoint. */
  async #spotBefore({ track, t }) {
    for (let at = t; at >= this.#tracks.get(track).start; at -= 1) {
      const found = (await this.#spotsAt(at)).find((spot) => spot.track === track);
      if (found) return found.id;
    }
    return this.#tracks.get(track).spot;
  }

  #chooseDoubt(doubt) {
    const spot = ['gap', 'link'].includes(doubt.kind) ? doubt.spots[1] : doubt.spots[0];
    this.#choose({ track: doubt.track, t: doubt.t, spot, doubt });
  }

  /** Look at a place of the tree, or at a spot that is in sight (`isHere`: the planes stay). */
  async #choose({ track, t, spot = null, doubt = null, isHere = false }) {
    const load = this.#loads += 1;
    this.#selected = { track, t, spot, doubt };
    if (!doubt) this.doubts.leave();
    this.tree.select(track, t);
    try {
      const spots = await this.#spotsAt(t);
      if (load !== this.#loads) return;
      const found = spots.find((one) => (spot === null ? one.track === track : one.id === spot)) ?? null;
      this.#selected = { ...this.#selected, spot: found };
      this.#showSpots(isHere ? null : found?.pos ?? doubt?.pos ?? null);
      this.#tell();
      const ends = await this.#endsOf(this.#selected);
      if (load !== this.#loads) return;
      this.#selected.ends = ends;
      this.#showSpots(null);
    } catch (error) {
      if (load === this.#loads) this.#complain(error.message);
    }
  }

  /** Return the other ends of the links that are looked at, with words for them: where it was before, or both daughters. */
  async #endsOf({ track, t, spot, doubt }) {
    const daughters = doubt?.kind === 'division' ? doubt.spots.slice(1) : this.#divides({ track, t }).map((one) => one.spot);
    const asked = daughters.map((id, i) => [id, 1, String(i + 1)]);
    if (!asked.length && spot && spot.parent !== null) asked.push([spot.parent, -1, 'before']);
    const found = await Promise.all(asked.map(async ([id, by, words]) => ({ ...await this.#find(id, t, by), words })));
    return found.filter(({ pos }) => pos);
  }

  /** Return a spot by its id, at the next timepoints in a direction. */
  async #find(id, t, by) {
    const [first, last] = this.#lineage.timepoints;
    for (let at = t + by; at >= first && at <= last && Math.abs(at - t) <= LONGEST_LINK; at += by) {
      const found = (await this.#spotsAt(at)).find((spot) => spot.id === id);
      if (found) return found;
    }
    return null;
  }

  /** Return the daughters of a track where it divides after a timepoint. */
  #divides({ track, t }) {
    return this.#tracks.get(track)?.end === t ? this.#daughters.get(track) ?? [] : [];
  }

  #showSpots(position) {
    const { t, track, spot, ends = [] } = this.#selected;
    const coloured = (this.#spots.get(t) ?? []).map((one) => {
      const known = this.#tracks.get(one.track), isChosen = one.id === spot?.id || (!spot && one.track === track);
      return { ...one, colour: known ? this.#colourOf(known) : NO_NUCLEUS, kind: isChosen ? 'chosen' : undefined };
    });
    this.planes.show(t, position, coloured, ends);
  }

  /** Say what is looked at. */
  #tell() {
    const { track, t, spot, doubt } = this.#selected, known = this.#tracks.get(track);
    const here = spot ? `Timepoint ${t}${spot.parent === null ? '' : `, link from the spot before ${percent(spot.probability)}`}` : `Timepoint ${t}: no spot here`;
    const place = doubt ? `${title(doubt)}: ${judged(doubt)}.` : `${here}.`;
    setText(this.facts, `${place} ${known ? `${describe(known)}.` : 'It is no nucleus.'}`);
    this.corrections.show({ ...this.#selected, known, divides: this.#divides(this.#selected).length > 0 });
  }

  /** Send a correction; the tree is drawn from what is solved again. */
  async #correct({ words, ...changes }) {
    this.#complain('');
    setText(this.note, 'Solving …');
    this.corrections.wait(true);
    const isDoubt = Boolean(this.#selected?.doubt) && !changes.undo;
    const seen = this.#lineage, place = this.#selected;
    let said = '';
    try {
      const found = await post('movie/lineage/corrections', { dataset_name: this.entry.name, version: seen.version, ...changes });
      if (found.error) throw new Error(found.error);
      this.#show(changed(seen, found));
      if (changes.undo) await this.#stay(this.#corrected.pop() ?? place);
      else if (isDoubt && this.doubts.shown.length) this.doubts.next();
      else await this.#stay();
      if (!changes.undo) this.#corrected.push(place);
      said = `${words} ${replaced(found.n_replaced)}${found.n_solved === 1 ? '1 window' : `${found.n_solved} windows`} solved again in ${found.seconds.toFixed(1)} s.`;
    } catch (error) {
      const { version } = this.#lineage;
      await this.#load(); // what takes long can say only in its words that somebody else was first
      const isOther = this.#lineage && this.#lineage.version !== version;
      if (isOther) await this.#stay();
      this.#complain(isOther ? `Somebody else has corrected the lineage first, so yours was not taken. It is loaded again: look, and correct it once more. (${error.message})` : error.message);
    }
    this.corrections.wait(false);
    setText(this.note, said); // the next key counts
  }

  /** Tracks may have other numbers now: look at the same spot, or at that of another place. */
  async #stay(place = this.#selected) {
    if (!place) return;
    const { t, spot, track } = place, isHere = place === this.#selected;
    const found = spot && (await this.#spotsAt(t)).find(({ id }) => id === spot.id);
    const [kept] = this.#lineage.tracks;
    const now = found?.track ?? (this.#tracks.has(track) ? track : kept?.id);
    if (now !== undefined) await this.#choose({ track: now, t, spot: found ? spot.id : null, isHere });
  }

  async #trackAgain() {
    const isThere = this.#lineage !== null;
    if (isThere && !window.confirm(`Track the newest predictions? They take the place of these lineages (${this.#lineage.made_from}). Corrections are kept where their spots are still there.`)) return;
    const { entry } = this;
    this.#asking = new AbortController();
    this.again.disabled = true;
    this.#complain('');
    setText(this.note, 'Tracking …');
    try {
      const scales = entry.voxel_size ? { scales: [...entry.voxel_size].reverse() } : {};
      const heard = (line) => { if (line.of) setText(this.note, line.timepoint ? `Asking the flow model: timepoint ${line.timepoint} of ${line.of}` : `Tracking: window ${line.window} of ${line.of}`); };
      await track({ dataset_name: entry.name, is_3d: entry.shape.length === 3, ...scales }, heard, this.#asking.signal);
      setText(this.note, '');
      this.#selected = null;
      await this.#load();
    } catch (error) {
      setText(this.note, '');
      if (error.name !== 'AbortError') this.#complain(error.message);
    }
    this.#asking = null;
    this.again.disabled = false;
  }

  #key(event) {
    if (event.target.matches('input, select') || event.ctrlKey || event.metaKey || event.altKey || this.body.hidden) return;
    const acts = {
      n: () => this.doubts.step(1), p: () => this.doubts.step(-1), ',': () => this.tree.along(-1), '.': () => this.tree.along(1),
      '+': () => this.tree.zoomBy(CLOSER, 1), '=': () => this.tree.zoomBy(CLOSER, 1), '-': () => this.tree.zoomBy(1 / CLOSER, 1), 0: () => this.tree.fit(),
    };
    const act = acts[event.key.toLowerCase()] ?? this.corrections.actOf(event.key.toLowerCase());
    if (!act) return;
    event.preventDefault();
    act();
  }
}

/** Return the voxel size with which the spots of a lineage were found, Z, Y, X; null where it is not known. */
function sizeOf({ scales }) { return scales ? [...scales].reverse() : null; }

/** Say where the voxel size may be wrong. */
function doubtOfSize(lineage, { voxel_size: size, shape }) {
  const found = sizeOf(lineage), words = (edges) => [...edges].slice(-shape.length).reverse().join(' × ');
  if (!found && !size) return ' The voxel size is unknown: edges of 1 are assumed, so spots may be drawn in the wrong place.';
  const isOther = found && size && size.slice(-shape.length).some((edge, i) => Math.abs(edge / found.slice(-shape.length)[i] - 1) > 0.01);
  return isOther ? ` The spots were found with voxels of ${words(found)} (X, Y${shape.length > 2 ? ', Z' : ''}), those of the dataset are ${words(size)}: if these are right, predict and track again.` : '';
}

/** Return a lineage with what a correction has changed of it. */
function changed(lineage, { tracks, gone, ...rest }) {
  const all = new Map(lineage.tracks.map((track) => [track.id, track]));
  gone.forEach((id) => all.delete(id));
  tracks.forEach((track) => all.set(track.id, track));
  return { ...lineage, ...rest, tracks: [...all.values()].sort((a, b) => a.id - b.id) };
}

/** Say of how many earlier decisions a correction took the place. */
function replaced(n) {
  return n ? `It takes the place of ${n === 1 ? 'an earlier correction' : `${n} earlier corrections`}. ` : '';
}

/** Return the JSON of an address. */
async function read(path, query) {
  const url = new URL(path, document.baseURI);
  url.search = new URLSearchParams(query);
  return (await checked(await fetch(url))).json();
}

/** Track a movie; `heard` is called with each line of the answer. */
async function track(body, heard, signal) {
  const headers = { 'Content-Type': 'application/json' };
  const response = await checked(await fetch(new URL('movie/track', document.baseURI), { method: 'POST', headers, body: JSON.stringify(body), signal }));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = [], last = null; // of a line: the last one is long
  const take = (line) => { if (line.trim()) heard(last = JSON.parse(line)); };
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const [end, ...lines] = part.value.split('\n');
    parts.push(end);
    for (const begin of lines) {
      take(parts.join(''));
      parts = [begin];
    }
  }
  take(parts.join(''));
  if (!last?.completed) throw new Error(last?.error ?? 'The answer ended early: track again.');
}
