// How good a model was, by epoch, on what was held out of its trainings.

import { ask } from '../api.js';
import { make, number, when } from '../dom.js';
import { svg, text } from './chart.js';

const WIDTH = 320, HEIGHT = 170, LEFT = 34, RIGHT = 12, TOP = 24, BOTTOM = 32;
const FIGURES = { f1: ['F1', 'nuclei', 'nucleus'], distance_left: ['Distance left', 'links', 'link'] };
const known = new Map(); // what was shown last: the list of models is made anew whenever something changes

/** Return what shows the learning curves of a model; null where it was never trained. */
export function learning(model) {
  const newest = model.history.find(({ what }) => what === 'training' || what === 'live session');
  if (!newest) return null;
  const box = make('div', { class: 'learning' }, make('h4', {}, 'Learning curve'), ...(known.get(model.name) ?? []));
  ask('learning', { model: model.name }).then(({ curves }) => {
    const found = shown(curves, newest);
    known.set(model.name, found);
    box.replaceChildren(box.firstChild, ...found);
  }, (error) => box.replaceChildren(box.firstChild, make('p', { class: 'problem', role: 'alert' }, error.message)));
  return box;
}

function shown(curves, newest) {
  const [first, ...others] = curves;
  const isNewest = first && first.began === newest.began;
  const found = isNewest ? figure(first) : [make('p', { class: 'soft' }, nothing(newest))];
  const earlier = isNewest ? others : curves;
  const all = earlier.map((curve) => make('details', {}, make('summary', {}, `${when(curve.saved)}: ${title(curve)}`), ...figure(curve)));
  return [...found, ...all];
}

function nothing({ annotated, n_annotations: n }) {
  const few = n < 8 ? ` Some ${annotated === 'links' ? 'links' : 'nuclei'} are held out where there are at least 8.` : '';
  return `Nothing was held out of the last training, so it has no learning curve.${few}`;
}

function title({ figure: name, n_held_out: n, dataset }) {
  const [label, many, one] = FIGURES[name];
  return `${label} on ${n ? `${n} ` : ''}held-out ${n === 1 ? one : many}${dataset ? ` of ${dataset}` : ''}`;
}

function figure(curve) {
  const parts = [make('p', { class: 'soft' }, `${title(curve)}${curve.figure === 'f1' ? '' : '; lower is better'}`), chart(curve), make('p', {}, outcome(curve))];
  for (const sentence of curve.said) parts.push(make('p', { class: 'said' }, sentence));
  parts.push(make('details', {}, make('summary', {}, 'As a table'), table(curve)));
  return parts;
}

function outcome({ figure: name, kept, last, last_version: version, best }) {
  if (!kept) return 'The training goes on, or ended before its last epoch was judged.';
  const shares = (one) => (one.precision === null || one.recall === null ? '' : ` (precision ${number(one.precision)}, recall ${number(one.recall)})`);
  const score = (one) => `${name === 'f1' ? 'F1' : 'distance left'} ${number(one.value)}${shares(one)}`;
  if (version === null) return `The last epoch, ${kept.epoch}, was kept: ${score(kept)}.${best === kept.epoch ? '' : ` Epoch ${best} was better.`}`;
  const which = kept.epoch ? `The best epoch, ${kept.epoch}, was kept` : 'The model was kept as it was before this training, which made it worse';
  return `${which}: ${score(kept)}. The last epoch${last ? `, ${last.epoch},` : ''} is version ${version}${last ? `: ${score(last)}` : ''}.`;
}

function chart({ figure: name, epochs, values, best, last }) {
  const isF1 = name === 'f1', lowest = Math.min(...values), highest = Math.max(...values);
  const low = isF1 && lowest > 0.5 ? Math.floor((lowest - 0.02) * 10) / 10 : 0, high = isF1 ? 1 : Math.max(1, Math.ceil(highest * 2) / 2);
  const end = Math.max(1, epochs.at(-1));
  const x = (epoch) => LEFT + (epoch / end) * (WIDTH - LEFT - RIGHT), y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const at = (epoch) => values[epochs.indexOf(epoch)];
  const marks = [mark('best', best, 'best', -9)];
  if (last && last.epoch !== best) marks.push(mark('last', last.epoch, 'last', 17));
  const said = `${FIGURES[name][0]} by epoch: from ${number(values[0])} at epoch ${epochs[0]} to ${number(values.at(-1))} at epoch ${epochs.at(-1)}; the best is ${number(at(best))} at epoch ${best}`;
  return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'chart', role: 'img', 'aria-label': said },
    ...[low, (low + high) / 2, high].flatMap((value) => [svg('path', { class: 'grid', d: `M${LEFT} ${y(value)}H${WIDTH - RIGHT}` }), text(LEFT - 5, y(value) + 4, Number(value.toFixed(2)), 'end')]),
    svg('path', { class: 'axis', d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}` }),
    text(4, 12, FIGURES[name][0], 'start'),
    text(LEFT, HEIGHT - 14, 0, 'middle'), text(WIDTH - RIGHT, HEIGHT - 14, end, 'end'), text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, 'epoch', 'middle'),
    svg('path', { class: 'curve', d: epochs.map((epoch, i) => `${i ? 'L' : 'M'}${x(epoch)} ${y(values[i])}`).join('') }),
    ...epochs.map((epoch, i) => svg('circle', { class: 'point', cx: x(epoch), cy: y(values[i]), r: 2 }, svg('title', {}, `epoch ${epoch}: ${number(values[i])}`))),
    ...marks.flat());

  function mark(kind, epoch, words, dy) {
    const cx = x(epoch), cy = y(at(epoch));
    const anchor = cx < LEFT + 30 ? 'start' : cx > WIDTH - RIGHT - 30 ? 'end' : 'middle';
    return [svg('circle', { class: kind, cx, cy, r: 5 }), text(cx, Math.min(HEIGHT - BOTTOM - 4, cy + dy), `${words} ${number(at(epoch))}`, anchor)];
  }
}

function table({ epochs, values, figure: name }) {
  const row = (tag, ...cells) => make('tr', {}, ...cells.map((cell) => make(tag, tag === 'th' ? { scope: 'col' } : {}, String(cell))));
  return make('table', {}, make('thead', {}, row('th', 'Epoch', FIGURES[name][0])), make('tbody', {}, ...epochs.map((epoch, i) => row('td', epoch || 'before', number(values[i])))));
}
