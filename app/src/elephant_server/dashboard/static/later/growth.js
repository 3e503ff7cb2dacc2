// How the annotations of a dataset grew, and with them the F1 of the models that were trained on it.

import { ask } from '../api.js';
import { make, number, when } from '../dom.js';
import { openDialog } from './dialog.js';

const HEIGHT = 260, LEFT = 48, RIGHT = 40, TOP = 14, BOTTOM = 28;
const METHODS = { detection: 'nuclei', flow: 'links' };

/** Show how a dataset grew. */
export async function open(name) {
  const content = openDialog(`How ${name} grew`);
  const found = await ask('growth', { dataset: name }).catch((error) => error);
  if (found instanceof Error) {
    content.replaceChildren(make('p', { class: 'problem', role: 'alert' }, found.message));
    return;
  }
  const parts = Object.keys(METHODS).flatMap((method) => figure(found, method));
  if (found.note) parts.push(make('p', { class: 'problem' }, found.note));
  const people = Object.entries(found.people).map(([who, n]) => `${who} ${n}`);
  if (people.length) parts.push(make('p', { class: 'soft' }, `Updates of labels: ${people.join(', ')}`));
  content.replaceChildren(...(parts.length ? parts : [make('p', { class: 'soft' }, 'Nothing is recorded yet. The first labels that are written begin the record.')]));
}

function figure(found, method) {
  const labels = found[method];
  const trainings = found.trainings.filter((one) => one.method === method);
  if (!labels.length && !trainings.length) return [];
  return [make('h3', {}, method === 'flow' ? 'Linking' : 'Detection'), chart(labels, trainings, METHODS[method]), legend(METHODS[method]), table(trainings)];
}

function chart(labels, trainings, what) {
  const WIDTH = Math.max(280, Math.min(640, window.innerWidth - 60)); // its texts stay as large as others
  const times = [...labels.map((one) => one.at), ...trainings.map((one) => one.saved)];
  const first = Math.min(...times), last = Math.max(...times, first + 60);
  const most = Math.max(1, ...labels.map((one) => one.n_annotations));
  const x = (at) => LEFT + ((at - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (share) => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  const at = (seconds) => (WIDTH < 480 ? new Date(seconds * 1000).toLocaleDateString() : when(seconds));
  const steps = labels.map((one, i) => `${i ? `H${x(one.at)}V` : `M${x(one.at)} `}${y(one.n_annotations / most)}`).join('');
  const judged = trainings.filter((one) => one.f1 !== null);
  const line = judged.map((one, i) => `${i ? 'L' : 'M'}${x(one.saved)} ${y(one.f1)}`).join('');
  const said = `${labels.at(-1)?.n_annotations ?? 0} annotated ${what}${judged.length ? `; F1 ${judged.map((one) => number(one.f1)).join(', ')}` : ''}`;
  return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'growth', role: 'img', 'aria-label': said },
    svg('path', { class: 'axis', d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}V${TOP}` }),
    ...[0, 1].map((share) => text(LEFT - 6, y(share) + 4, Math.round(share * most), 'end')),
    ...[0, 0.5, 1].map((share) => text(WIDTH - RIGHT + 6, y(share) + 4, share, 'start')),
    text(LEFT, HEIGHT - 8, at(first), 'start'), text(WIDTH - RIGHT, HEIGHT - 8, at(last), 'end'),
    labels.length ? svg('path', { class: 'annotations', d: `${steps}H${x(last)}` }) : null,
    svg('path', { class: 'f1', d: line || 'M0 0' }),
    ...judged.map((one) => svg('circle', { cx: x(one.saved), cy: y(one.f1), r: 4 }, svg('title', {}, `${one.model}, ${when(one.saved)}: F1 ${number(one.f1)} on ${one.n_held_out} held-out nuclei`))));
}

function legend(what) {
  const key = (drawn) => svg('svg', { width: 22, height: 10, class: 'mark', 'aria-hidden': 'true' }, ...drawn);
  return make('p', { class: 'legend' },
    make('span', {}, key([svg('path', { class: 'annotations', d: 'M0 5H22' })]), `annotated ${what} (left)`),
    make('span', {}, key([svg('path', { class: 'f1', d: 'M0 5H22' }), svg('circle', { cx: 11, cy: 5, r: 4 })]), 'F1 on held-out nuclei after a training (right)'));
}

function table(trainings) {
  const rows = trainings.slice(-10).reverse().map((one) => make('li', {}, make('p', {}, make('strong', {}, one.model), ` ${when(one.saved)}`),
    make('div', { class: 'figures soft' }, ...[
      one.distance_left === null ? ['F1', one.f1 === null ? 'nothing held out' : `${number(one.f1)} on ${one.n_held_out}`] : ['distance left', `${number(one.distance_left)} on ${one.n_held_out}`], ['annotations', one.n_annotations], ['epochs', one.epochs], ['loss', number(one.loss)],
    ].map(([label, value]) => make('span', {}, `${label} `, make('b', {}, String(value)))))));
  return rows.length ? make('ol', {}, ...rows) : make('p', { class: 'soft' }, 'No training on it is known.');
}

function text(x, y, words, anchor) {
  return svg('text', { x, y, 'text-anchor': anchor }, String(words));
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}
