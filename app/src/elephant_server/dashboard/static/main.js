// Where the page is put together.

import { CurvesView } from './curves.js';
import { Live } from './live.js';
import { LogView } from './log.js';
import { StatusView } from './status.js';
import { DatasetsView, showModels } from './things.js';
import { Viewer } from './viewer/viewer.js';

const WHILE_RUNNING_MS = 5000;

const status = new StatusView();
const log = new LogView();
const curves = new CurvesView();
const viewer = new Viewer();
const datasets = new DatasetsView((name) => viewer.choose(name));
const live = new Live();
let jobs = '', running = null, isBusy = false;

live.addEventListener('connection', (event) => status.connection(event.detail));
live.addEventListener('log', (event) => log.add(event.detail));
live.addEventListener('status', (event) => {
  status.show(event.detail);
  const now = [event.detail.latest_job, ...event.detail.jobs.map((job) => job.id)].join(' ');
  running = event.detail.jobs.find((job) => job.kind === 'training')?.log_dir ?? null;
  isBusy = event.detail.jobs.length > 0;
  if (now !== jobs) look(); // a job has come or gone: files may have changed
  jobs = now;
});

async function look() {
  await Promise.all([curves.refresh(running), showModels(), datasets.refresh().then((found) => viewer.update(found))]);
}

setInterval(() => { if (isBusy && !document.hidden) curves.refresh(running); }, WHILE_RUNNING_MS);
document.addEventListener('visibilitychange', () => { if (!document.hidden) look(); });
look();
live.start();
