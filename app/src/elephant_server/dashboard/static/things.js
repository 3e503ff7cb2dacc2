// Lists of what lies in the workspace: datasets and models.

import { ask } from './api.js';
import { colour, fit, onLookChange } from './canvas.js';
import { ago, byId, bytes, counted, make, ranges, when } from './dom.js';

/** The datasets; `choose` is called with a name when somebody wants to see one. */
export class DatasetsView {
  #known = new Map();

  constructor(choose) {
    this.choose = choose;
    onLookChange(() => this.#drawStrips());
  }

  /** Ask anew, one dataset after the other; returns what is known of all. */
  async refresh() {
    try {
      const { names } = await ask('datasets');
      for (const name of this.#known.keys()) if (!names.includes(name)) this.#known.delete(name);
      for (const name of names) this.#known.set(name, await ask('dataset', { dataset: name }).catch((error) => ({ name, error: error.message })));
      this.#show();
    } catch { /* the pill at the top tells when the server is away */ }
    return this.entries;
  }

  get entries() {
    return [...this.#known.values()].filter((entry) => !entry.error);
  }

  #show() {
    const focused = document.activeElement?.dataset?.dataset;
    const entries = [...this.#known.values()];
    const rows = entries.map((entry) => (entry.error ? broken(entry) : this.#row(entry)));
    byId('datasets').replaceChildren(...(rows.length ? rows : [make('li', { class: 'quiet' }, 'No datasets yet. Make one from a movie here, in Mastodon, or with elephant convert.')]));
    if (focused) byId('datasets').querySelector(`[data-dataset="${CSS.escape(focused)}"]`)?.focus();
    this.#drawStrips();
  }

  #row(entry) {
    const open = make('button', { type: 'button', class: 'link', 'data-dataset': entry.name, onclick: () => this.choose(entry.name) }, entry.name);
    const strip = make('canvas', { class: 'strip', role: 'img', 'aria-label': `Timepoints with labels: ${ranges(entry.labelled)}; with predictions: ${ranges(entry.predicted)}` });
    strip.entry = entry;
    const later = (what, words) => make('button', { type: 'button', class: 'link', 'data-later': what, 'data-name': entry.name }, words);
    return make('li', { class: 'thing' },
      make('div', { class: 'head' }, make('h3', {}, open), make('span', { class: 'tag' }, `${entry.shape.length}D`), make('span', { class: 'tag' }, entry.dtype), entry.in_place ? make('span', { class: 'tag' }, 'in place') : null),
      facts({
        Size: `${entry.n_timepoints} timepoints of ${[...entry.shape].reverse().join(' × ')} (X × Y${entry.shape.length === 3 ? ' × Z' : ''})`,
        ...(entry.blank_timepoints.length ? { Blank: `timepoints ${ranges(entry.blank_timepoints)}: the movie has no image there` } : {}),
        'On disk': `${bytes(entry.array_bytes)}, and ${bytes(entry.other_bytes)} of other files${entry.in_place ? '; images are read from the movie' : ', such as the movie'}`,
        Labels: held(entry.labelled, entry.flow_labelled),
        'Kept predictions': held(entry.predicted, entry.flow_predicted),
        'Voxel size': entry.voxel_size ? voxelSize(entry) : 'unknown',
        ...(entry.made_from ? { 'Made from': entry.made_from } : {}),
      }), later('growth', 'How it grew'), ' · ', later('lineage', 'Lineages'), entry.notice ? make('p', { class: 'notice', role: 'alert' }, entry.notice) : null, strip);
  }

  #drawStrips() {
    for (const strip of byId('datasets').querySelectorAll('canvas')) drawStrip(strip, strip.entry);
  }
}

/** Draw a dataset's timepoints from left to right: above which have labels, below which have predictions. */
function drawStrip(canvas, entry) {
  if (!canvas.clientWidth) return;
  const { context, width, height } = fit(canvas);
  context.fillStyle = colour('line');
  context.fillRect(0, 0, width, height);
  const one = width / entry.n_timepoints;
  const fill = (list, name, top) => {
    context.fillStyle = colour(name);
    for (const t of list) context.fillRect(t * one, top, Math.max(1.5, one - (one > 4 ? 1 : 0)), height / 2 - 0.5);
  };
  fill(entry.labelled, 'c1', 0);
  fill(entry.predicted, 'c2', height / 2 + 0.5);
}

/** The last predictions; `choose` is called with one that somebody wants to see. */
export function showResults(results, choose) {
  const focused = document.activeElement?.dataset?.result;
  const newest = new Set(results.filter((result) => result.is_current && !result.box).map((result) => result.dataset));
  const rows = results.map((result) => resultRow(result, choose, newest.delete(result.dataset)));
  byId('results').replaceChildren(...(rows.length ? rows : [make('li', { class: 'quiet' }, 'No predictions yet. The latest ones appear here.')]));
  if (focused) byId('results').querySelector(`[data-result="${CSS.escape(focused)}"]`)?.focus();
}

const FORMATS = { geff: 'GEFF', trackmate: 'TrackMate', napari: 'napari', json: 'JSON' };

/** Links to files with what the last predictions found in a dataset, at all timepoints. */
function downloads(dataset) {
  const links = Object.entries(FORMATS).map(([format, name]) => {
    const url = new URL('download/tracks', document.baseURI);
    url.search = new URLSearchParams({ dataset_name: dataset, format });
    return make('a', { href: url.href, download: '' }, name);
  });
  return make('p', { class: 'soft' }, 'All of ', dataset, ' as ', ...links.flatMap((link, i) => (i ? [', ', link] : [link])));
}

function resultRow(result, choose, hasDownloads) {
  const name = `${result.dataset}, timepoint ${result.timepoint}`;
  const open = result.is_current ? make('button', { type: 'button', class: 'link', 'data-result': result.id, onclick: () => choose(result) }, name) : name;
  const about = [result.model, result.box ? 'part of the image' : '', ago(result.at), result.is_current ? '' : 'the dataset has changed since'];
  return make('li', { class: 'thing' },
    make('div', { class: 'head' }, make('h3', {}, open), make('span', { class: 'tag' }, counted(result.n_found))),
    make('p', { class: 'soft' }, about.filter(Boolean).join(' · ')),
    hasDownloads ? downloads(result.dataset) : null);
}

export async function showModels() {
  const models = await ask('models').catch(() => null);
  if (!models) return;
  const list = byId('models');
  const open = new Set([...list.querySelectorAll('details[open]')].map((element) => element.dataset.model));
  const focused = document.activeElement?.closest('details')?.dataset?.model;
  const rows = models.map((model) => modelRow(model, open.has(model.name)));
  list.replaceChildren(...(rows.length ? rows : [make('li', { class: 'quiet' }, 'No models yet. The first training or prediction makes one.')]));
  if (focused) list.querySelector(`[data-model="${CSS.escape(focused)}"] summary`)?.focus();
}

function modelRow(model, isOpen) {
  const kind = model.kind ? `${model.kind}, ${model.n_dims}D` : 'unknown kind';
  return make('li', { class: 'thing' },
    make('div', { class: 'head' }, make('h3', {}, model.name), make('span', { class: 'tag' }, kind), model.n_members > 1 ? make('span', { class: 'tag' }, `${model.n_members} networks`) : null),
    facts({ Saved: `${when(model.saved)}, ${bytes(model.n_bytes)}` }),
    model.history.length || model.generations.length ? past(model, isOpen) : null);
}

/** A line that says what a model was trained on, and all that is known once it is opened. */
function past(model, isOpen) {
  const unknown = model.history.length ? 'Replaced by a file from elsewhere: what it was trained on is unknown' : 'What it was trained on is unknown';
  const line = model.held ? `${model.held.text} · ${ago(model.held.saved)}` : unknown;
  const all = make('div');
  const fill = async () => all.replaceChildren(...(await import('./later/past.js')).past(model));
  return make('details', { class: 'past', 'data-model': model.name, open: isOpen, ontoggle: fill }, make('summary', {}, line), all);
}

/** The voxel size as a person reads it: X × Y × Z and its unit. */
function voxelSize(entry) {
  const edges = entry.voxel_size.slice(3 - entry.shape.length).reverse().map((edge) => Number(edge.toPrecision(6)));
  return `${edges.join(' × ')}${entry.unit ? ` ${entry.unit}` : ''}`;
}

function broken(entry) {
  return make('li', { class: 'thing' }, make('h3', {}, entry.name), make('p', { class: 'soft' }, entry.error));
}

function held(timepoints, flow) {
  const counted = (list) => `${list.length === 1 ? 'timepoint' : 'timepoints'} ${ranges(list)}`;
  const found = [timepoints.length ? counted(timepoints) : '', flow.length ? `flow at ${counted(flow)}` : ''].filter(Boolean);
  return found.join('; ') || 'none';
}

function facts(entries) {
  return make('dl', {}, ...Object.entries(entries).flatMap(([name, text]) => [make('dt', {}, name), make('dd', {}, text)]));
}
