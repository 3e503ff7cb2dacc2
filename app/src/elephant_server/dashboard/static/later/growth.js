// How the annotations of a dataset grew, and with them the F1 of the models that were trained on it.

import { ask } from '../api.js';
import { make, number, when } from '../dom.js';
import { key, svg, text } from './chart.js';
import { openDialog } from './dialog.js';

const HEIGHT = 260, LEFT = 48, RIGHT = 40, TOP = 14, BOTTOM = 28;
const METHODS = { detection: 'nuclei', flow: 'links' };
const FIGURES = { detection: 'F1', flow: 'distance left' };

/** Show how a dataset grew. */
export async function open({ name }) {
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
  const labels = found[method], what = METHODS[method];
  const trainings = found.trainings.filter((one) => one.method === method);
  if (!labels.length && !trainings.length) return [];
  const judged = trainings.filter((one) => score(one) !== null);
  const note = trainings.length && !judged.length ? make('p', { class: 'soft' }, `No ${what} were held out of a training yet, so there is no ${FIGURES[method]} to draw.`) : null;
  const parts = [make('h3', {}, method === 'flow' ? 'Linking' : 'Detection'), labels.length || judged.length ? chart(labels, judged, method) : null, legend(labels, judged, method), note, table(trainings, method)];
  return parts.filter(Boolean);
}

/** How good a training was on what was held out of it; null where nothing was. */
function score(training) { return training.distance_left ?? training.f1; }

function chart(labels, judged, method) {
  const WIDTH = Math.max(280, Math.min(640, window.innerWidth - 60)); // its texts stay as large as others
  const what = METHODS[method], name = FIGURES[method];
  const times = [...labels.map((one) => one.at), ...judged.map((one) => one.saved)];
  const first = Math.min(...times), last = Math.max(...times, first + 60);
  const most = Math.max(1, ...labels.map((one) => one.n_annotations));
  const x = (at) => LEFT + ((at - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (share) => HEIGHT - BOTTOM - Math.min(1, share) * (HEIGHT - TOP - BOTTOM);
  const at = (seconds) => (WIDTH < 480 ? new Date(seconds * 1000).toLocaleDateString() : when(seconds));
  const steps = labels.map((one, i) => `${i ? `H${x(one.at)}V` : `M${x(one.at)} `}${y(one.n_annotations / most)}`).join('');
  const line = judged.map((one, i) => `${i ? 'L' : 'M'}${x(one.saved)} ${y(score(one))}`).join('');
  const said = [labels.length ? `${labels.at(-1).n_annotations} annotated ${what}` : '', judged.length ? `${name} ${judged.map((one) => number(score(one))).join(', ')}` : ''];
  return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'chart growth', role: 'img', 'aria-label': said.filter(Boolean).join('; ') },
    svg('path', { class: 'axis', d: `${labels.length ? `M${LEFT} ${TOP}` : `M${LEFT} ${HEIGHT - BOTTOM}`}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}${judged.length ? `V${TOP}` : ''}` }),
    ...(labels.length ? [0, 1] : []).map((share) => text(LEFT - 6, y(share) + 4, Math.round(share * most), 'end')),
    ...(judged.length ? [0, 0.5, 1] : []).map((share) => text(WIDTH - RIGHT + 6, y(share) + 4, share, 'start')),
    text(LEFT, HEIGHT - 8, at(first), 'start'), text(WIDTH - RIGHT, HEIGHT - 8, at(last), 'end'),
    labels.length ? svg('path', { class: 'annotations', d: `${steps}H${x(last)}` }) : null,
    judged.length ? svg('path', { class: 'f1', d: line }) : null,
    ...judged.map((one) => svg('circle', { cx: x(one.saved), cy: y(score(one)), r: 4 }, svg('title', {}, `${one.model}, ${when(one.saved)}: ${name} ${number(score(one))} on ${one.n_held_out} held-out ${what}`))));
}

function legend(labels, judged, method) {
  const what = METHODS[method];
  const better = method === 'flow' ? ', lower is better' : '';
  const parts = [
    labels.length ? key(`annotated ${what} (left)`, svg('path', { class: 'annotations', d: 'M0 5H22' })) : null,
    judged.length ? key(`${FIGURES[method]} on held-out ${what} after a training (right${better})`, svg('path', { class: 'f1', d: 'M0 5H22' }), svg('circle', { cx: 11, cy: 5, r: 4 })) : null,
  ].filter(Boolean);
  return parts.length ? make('p', { class: 'legend' }, ...parts) : null;
}

function table(trainings, method) {
  const rows = trainings.slice(-10).reverse().map((one) => make('li', {}, make('p', {}, make('strong', {}, one.model), ` ${when(one.saved)}`),
    make('div', { class: 'figures soft' }, ...[
      score(one) === null ? ['nothing held out', ''] : [FIGURES[method], `${number(score(one))} on ${one.n_held_out}`],
      ['annotations', one.n_annotations], ['epochs', one.epochs], ['loss', number(one.loss)],
    ].map(([label, value]) => make('span', {}, `${label} `, make('b', {}, String(value)))))));
  return rows.length ? make('ol', {}, ...rows) : make('p', { class: 'soft' }, 'No training on it is known.');
}
