// Curves of the scalars that trainings leave.

import { ask } from './api.js';
import { colour, fit, onLookChange } from './canvas.js';
import { byId, make, number, setOptions, setText, when } from './dom.js';

const LEFT = 44, BOTTOM = 18, TOP = 6, RIGHT = 6;

export class CurvesView {
  #charts = new Map();
  #isAsking = false;
  #chosenByPerson = false;

  constructor() {
    byId('run').addEventListener('change', () => { this.#chosenByPerson = true; this.refresh(); });
    byId('log-scale').addEventListener('change', () => this.#draw());
    onLookChange(() => this.#draw());
  }

  /** Ask anew; `running` is the log folder of the training that runs, which is shown unless somebody chose another. */
  async refresh(running = null) {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const runs = await ask('runs');
      setOptions(byId('run'), runs.map((run) => run.name), runs.map((run) => `${run.title}${run.is_named ? '' : ', no log folder'} (${when(run.changed)})`));
      if (running && !this.#chosenByPerson && runs.some((run) => run.name === running)) byId('run').value = running;
      byId('run').parentElement.hidden = byId('log-scale').parentElement.hidden = runs.length === 0;
      byId('curves-empty').hidden = runs.length > 0;
      if (runs.length) await this.#load(byId('run').value);
    } catch { /* the pill at the top tells when the server is away */ } finally {
      this.#isAsking = false;
    }
  }

  async #load(run) {
    let answer;
    do answer = await ask('curves', { run }); while (!answer.is_complete && !document.hidden && byId('run').value === run);
    const curves = answer.curves.sort(byImportance);
    const tags = curves.map((curve) => curve.tag);
    for (const tag of this.#charts.keys()) if (!tags.includes(tag)) this.#charts.delete(tag);
    curves.forEach((curve, i) => {
      if (!this.#charts.has(curve.tag)) this.#charts.set(curve.tag, new Chart(curve.tag));
      Object.assign(this.#charts.get(curve.tag), { curve, starts: answer.starts, ink: `c${(i % 4) + 1}` });
    });
    const wanted = tags.map((tag) => this.#charts.get(tag).element);
    const box = byId('curves');
    if (wanted.some((element, i) => box.children[i] !== element) || box.children.length !== wanted.length) box.replaceChildren(...wanted);
    this.#draw();
  }

  #draw() {
    for (const chart of this.#charts.values()) chart.draw(byId('log-scale').checked);
  }
}

function byImportance(a, b) {
  const rank = (tag) => (tag.startsWith('train_loss') ? 0 : 1);
  return rank(a.tag) - rank(b.tag) || a.tag.localeCompare(b.tag);
}

class Chart {
  #pointed = null;

  constructor(tag) {
    this.tag = tag;
    this.value = make('span', { class: 'number soft' });
    this.canvas = make('canvas', { role: 'img', 'aria-label': tag });
    this.canvas.addEventListener('pointermove', (event) => this.#point(event.offsetX));
    this.canvas.addEventListener('pointerleave', () => this.#point(null));
    this.element = make('div', { class: 'curve' }, make('div', { class: 'head' }, make('span', { class: 'soft' }, tag), this.value), this.canvas);
  }

  #point(x) {
    this.#pointed = x;
    this.draw(this.isLog);
  }

  draw(isLog) {
    this.isLog = isLog;
    const points = this.curve.steps.map((step, i) => [step, this.curve.values[i]]).filter(([, v]) => v !== null && (!isLog || v > 0));
    if (!points.length || !this.canvas.clientWidth) return;
    const { context, width, height } = fit(this.canvas);
    const scale = scales(points, width, height, isLog);
    drawAxes(context, scale, width, height, this.starts);
    drawLine(context, points, scale, colour(this.ink));
    const last = this.#pointed === null ? points[points.length - 1] : nearest(points, scale.stepAt(this.#pointed));
    context.fillStyle = colour(this.ink);
    context.beginPath();
    context.arc(scale.x(last[0]), scale.y(last[1]), 3, 0, 7);
    context.fill();
    setText(this.value, `${number(last[1])} at step ${last[0]}`);
    this.canvas.setAttribute('aria-label', `${this.tag}: ${number(last[1])} at step ${last[0]}, from ${number(points[0][1])} at step ${points[0][0]}`);
  }
}

function scales(points, width, height, isLog) {
  const of = (v) => (isLog ? Math.log10(v) : v);
  const values = points.map(([, v]) => of(v));
  let low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  if (!isLog && low >= 0 && low < 0.6 * high) low = 0;
  if (high - low < 1e-9) { high += 0.5; low -= 0.5; }
  const first = points[0][0], span = Math.max(1, points[points.length - 1][0] - first);
  const inner = width - LEFT - RIGHT, tall = height - TOP - BOTTOM;
  return {
    isLog, low, high, first, last: first + span,
    x: (step) => LEFT + ((step - first) / span) * inner,
    y: (v) => TOP + (1 - (of(v) - low) / (high - low)) * tall,
    stepAt: (x) => first + ((x - LEFT) / inner) * span,
  };
}

function drawAxes(context, scale, width, height, starts) {
  context.font = '11px system-ui, sans-serif';
  context.fillStyle = colour('soft');
  context.strokeStyle = colour('line');
  context.lineWidth = 1;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (const part of [0, 0.5, 1]) {
    const at = scale.low + part * (scale.high - scale.low);
    const value = scale.isLog ? 10 ** at : at, y = scale.y(value);
    line(context, LEFT, y, width - RIGHT, y);
    context.fillText(String(Number(value.toPrecision(2))), LEFT - 6, y);
  }
  context.setLineDash([3, 3]);
  for (const start of starts) if (start > scale.first && start < scale.last) line(context, scale.x(start), TOP, scale.x(start), height - BOTTOM);
  context.setLineDash([]);
  context.textBaseline = 'bottom';
  context.textAlign = 'left';
  context.fillText(`${scale.first}`, LEFT, height);
  context.textAlign = 'right';
  context.fillText(`step ${scale.last}`, width - RIGHT, height);
}

function drawLine(context, points, scale, ink) {
  context.strokeStyle = ink;
  context.lineWidth = 1.6;
  context.lineJoin = 'round';
  context.beginPath();
  points.forEach(([step, v], i) => context[i ? 'lineTo' : 'moveTo'](scale.x(step), scale.y(v)));
  context.stroke();
}

function line(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

function nearest(points, step) {
  return points.reduce((best, point) => (Math.abs(point[0] - step) < Math.abs(best[0] - step) ? point : best));
}
