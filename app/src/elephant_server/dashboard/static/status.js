// What the server does now: state, jobs, devices, and the buttons that change it.

import { setState } from './api.js';
import { byId, duration, make, number, setText } from './dom.js';

// By the names of tasks without `elephant.`.
const TASKS = {
  seg_predict: 'Detecting nuclei', movie_predict: 'Detecting nuclei of a movie', movie_track: 'Tracking a movie',
  movie_lineage_corrections: 'Correcting lineages', seg_train: 'Training the detection model',
  seg_update: 'Writing labels', seg_reset: 'Resetting the detection model',
  flow_predict: 'Linking nuclei', flow_train: 'Training the flow model',
  flow_update: 'Writing flow labels', flow_reset: 'Resetting the flow model',
  dataset_generate: 'Converting a movie', dataset_make: 'Making a dataset', ctc_export: 'Exporting masks', model_restore: 'Restoring a model',
};
const IDLE = 0;
const CONNECTIONS = { live: 'Live', polling: 'Connected', lost: 'Connection lost' };

export class StatusView {
  #isHeld = false;
  #heardAt = null;
  #rows = new Map();

  constructor() {
    byId('abort').addEventListener('click', () => byId('confirm').showModal());
    byId('confirm').addEventListener('close', () => {
      if (byId('confirm').returnValue === 'yes') this.#change(0);
      byId('confirm').returnValue = '';
    });
    byId('hold').addEventListener('click', () => this.#change(this.#isHeld ? 1 : 2));
  }

  /** Show how the page hears of the server; while it does not, nothing is claimed of what runs. */
  connection({ kind, reason }) {
    const pill = byId('connection');
    pill.dataset.is = kind;
    setText(pill, kind === 'lost' && reason ? 'Server error' : CONNECTIONS[kind]);
    if (kind !== 'lost') {
      this.#heardAt = new Date();
      return;
    }
    byId('state').dataset.state = 'unknown';
    setText(byId('state'), 'Unknown');
    document.title = 'Not connected · ELEPHANT';
    byId('hold').hidden = byId('abort').hidden = true;
    this.#rows.clear();
    const heard = this.#heardAt ? ` Last answer at ${this.#heardAt.toLocaleTimeString()}.` : '';
    this.#sayOnly(`${reason || 'The server does not answer.'}${heard} Trying again.`);
    byId('devices').replaceChildren();
  }

  show(status) {
    this.#isHeld = status.is_held;
    const state = byId('state');
    const word = status.is_held ? 'Paused' : status.state === IDLE ? 'Idle' : 'Running';
    state.dataset.state = word === 'Running' ? 1 : status.state;
    setText(state, word);
    document.title = word === 'Idle' ? 'ELEPHANT' : `${word} · ELEPHANT`;
    setText(byId('version'), status.version);
    byId('manual').hidden = !status.has_manual;
    const isTraining = status.jobs.some((job) => job.kind === 'training' && job.phase === 'running');
    byId('hold').hidden = !isTraining;
    setText(byId('hold'), status.is_held ? 'Resume' : 'Pause');
    byId('abort').hidden = status.jobs.length === 0;
    this.#showJobs(status);
    byId('devices').replaceChildren(...status.devices.map(device));
  }

  #showJobs(status) {
    const list = byId('jobs');
    for (const id of this.#rows.keys()) if (!status.jobs.some((job) => job.id === id)) this.#rows.delete(id);
    for (const job of status.jobs) {
      if (!this.#rows.has(job.id)) this.#rows.set(job.id, new JobRow());
      this.#rows.get(job.id).show(job, status);
    }
    const rows = status.jobs.map((job) => this.#rows.get(job.id).element);
    if (!rows.length) this.#sayOnly(`Idle, waiting for requests${status.known && ` · ${status.known}`}`);
    else if (list.children.length !== rows.length || rows.some((row, i) => list.children[i] !== row)) list.replaceChildren(...rows);
  }

  #sayOnly(text) {
    const list = byId('jobs');
    if (list.querySelector('.quiet')) setText(list.querySelector('.quiet'), text);
    else list.replaceChildren(make('li', { class: 'quiet' }, text));
  }

  async #change(state) {
    try {
      await setState(state);
    } catch (error) {
      setText(byId('state'), `Not changed: ${error.message}`);
    }
  }
}

class JobRow {
  constructor() {
    this.title = make('strong');
    this.left = make('span', { class: 'soft number' });
    this.about = make('p', { class: 'soft' });
    this.fill = make('i');
    this.bar = make('div', { class: 'bar', role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100' }, this.fill);
    this.values = make('p', { class: 'values soft number' });
    this.element = make('li', { class: 'job' }, make('div', { class: 'head' }, this.title, this.left), this.about, this.bar, this.values);
  }

  show(job, status) {
    const title = TASKS[(job.task || '').slice(9)] || job.task || 'A job';
    setText(this.title, job.is_livemode ? `${title}, live` : title);
    this.bar.setAttribute('aria-label', `Progress: ${title}`);
    setText(this.about, about(job).join(' · '));
    const part = job.total ? Math.min(1, job.done / job.total) : 0;
    this.bar.hidden = job.phase === 'queued' || !job.total;
    this.bar.setAttribute('aria-valuenow', Math.round(100 * part));
    this.fill.style.transform = `scaleX(${part})`;
    setText(this.left, timing(job, status));
    const { epoch, ...values } = job.values;
    const texts = Object.entries(values).map(([name, value]) => `${name} ${number(value)}`);
    const counted = job.total ? [`${job.stage} ${job.done} of ${job.total}`] : [];
    const epochs = epoch ? [`epoch ${epoch}`] : [];
    this.values.replaceChildren(...[...epochs, ...counted, ...texts].map((text) => make('span', {}, text)));
  }
}

function about(job) {
  const found = [];
  if (job.dataset_name) found.push(job.dataset_name);
  if (job.timepoint !== null) found.push(`timepoint ${job.timepoint}`);
  if (job.model_name) found.push(job.model_name);
  if (job.person) found.push(job.person);
  return found;
}

function timing(job, status) {
  if (job.phase === 'queued') return 'queued';
  if (job.kind === 'training' && status.is_held) return 'paused';
  if (job.kind === 'training' && status.state === 2) return 'paused while other work runs';
  const parts = [];
  if (job.started) parts.push(`running for ${duration(Math.max(0, status.now - job.started))}`);
  if (job.remaining_s !== null && !job.is_livemode && job.done < job.total) parts.push(`about ${duration(job.remaining_s)} left`);
  return parts.join(', ');
}

function device(entry) {
  const part = entry.mem_total ? entry.mem_used / entry.mem_total : 0;
  const isHost = entry.id === 'GPU is not available';
  const name = isHost ? 'Memory (no GPU)' : `GPU ${entry.id}: ${entry.name}`;
  const fill = make('i');
  fill.style.transform = `scaleX(${part})`;
  const gib = (mib) => (mib / 1024).toFixed(1);
  return make('div', { class: 'device' },
    make('div', { class: 'head soft' }, make('span', {}, name),
      make('span', { class: 'number' }, `${gib(entry.mem_used)} of ${gib(entry.mem_total)} GiB`)),
    make('div', { class: 'bar', role: 'meter', 'aria-label': name, 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-valuenow': Math.round(100 * part) }, fill));
}
