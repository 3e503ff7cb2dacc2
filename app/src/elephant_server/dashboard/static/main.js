// Puts the page together.

import { ask } from './api.js';
import { CurvesView } from './curves.js';
import { byId } from './dom.js';
import { Live } from './live.js';
import { LogView } from './log.js';
import { StatusView } from './status.js';
import { DatasetsView, showModels, showResults } from './things.js';
import { Viewer } from './viewer/viewer.js';

const WHILE_RUNNING_MS = 5000;
const WHILE_IDLE_MS = 30000; // trainings of the command line are no jobs of this server

const status = new StatusView();
const log = new LogView();
const curves = new CurvesView();
const viewer = new Viewer();
const datasets = new DatasetsView((name) => viewer.choose(name));
const live = new Live();
let jobs = '', running = null, isBusy = false, looking = null, isWanted = false;

document.addEventListener('click', async ({ target }) => {
  const { later, name } = target.closest('[data-later]')?.dataset ?? {};
  if (later) (await import(`./later/${later}.js`)).open({ name, look, datasets, viewer });
});

live.addEventListener('connection', (event) => status.connection(event.detail));
live.addEventListener('log', (event) => log.add(event.detail));
live.addEventListener('status', (event) => {
  status.show(event.detail);
  const { latest_job: latest, latest_result: result } = event.detail;
  const now = [latest, result, ...event.detail.jobs.map((job) => job.id)].join(' ');
  running = event.detail.jobs.find((job) => job.kind === 'training')?.log_dir ?? null;
  isBusy = event.detail.jobs.length > 0;
  if (now !== jobs) look(); // files may have changed
  jobs = now;
});

async function look() {
  await Promise.all([curves.refresh(running), showModels(), lookAtData()]);
}

/** Look at datasets and results; a request meanwhile has it done once more, and waits for that: something may be new. */
function lookAtData() {
  isWanted = true;
  return looking ??= lookAgain();
}

async function lookAgain() {
  try {
    while (isWanted) {
      isWanted = false;
      const [found, results] = await Promise.all([datasets.refresh(), ask('results').catch(() => [])]);
      showResults(results, (result) => viewer.choose(result.dataset, result));
      viewer.update(found, results);
    }
  } finally {
    looking = null;
  }
}

// The address says what the viewer shows: it is not for the page's own links.
document.querySelector('.skip').addEventListener('click', (event) => { event.preventDefault(); byId('content').focus(); });
setInterval(() => { if (isBusy && !document.hidden) curves.refresh(running); }, WHILE_RUNNING_MS);
setInterval(() => { if (!isBusy && !document.hidden) curves.refresh(); }, WHILE_IDLE_MS);
document.addEventListener('visibilitychange', () => { if (!document.hidden) look(); });
look();
live.start();
