// Asking the server. All addresses are relative to the page, which may lie behind a path of its own.

const MOST_AT_ONCE = 2; // reading a plane takes a thread of the server
const TRIES = 4;
const LONGEST_MS = 8000; // of what the server answers at once

let running = 0;
const waiting = [];

/** Return the address of a view of the page, with parameters. */
export function address(name, query = {}) {
  const url = new URL(`dashboard/api/${name}`, document.baseURI);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  return url;
}

/** Return the JSON that the server answers; `signal` ends the wait. Quick questions do not queue, and must be answered soon. */
export async function ask(name, query, { signal, isQuick = false } = {}) {
  const response = await (isQuick ? fetch(address(name, query), { signal: AbortSignal.timeout(LONGEST_MS) }) : queued(address(name, query), signal));
  return checked(response).then((fine) => fine.json());
}

/** Return a response with raw bytes. */
export async function fetchBytes(name, query, signal) {
  return checked(await queued(address(name, query), signal));
}

/** Set the state: 0 aborts everything, 1 lets a training go on, 2 holds it. */
export function setState(state) {
  return post('state/process', { state }, AbortSignal.timeout(LONGEST_MS));
}

/** Send JSON, and return the JSON that comes back, however long it takes. */
export async function post(path, body, signal) {
  const headers = { 'Content-Type': 'application/json' };
  const response = await fetch(new URL(path, document.baseURI), { method: 'POST', headers, body: JSON.stringify(body), signal });
  return checked(response).then((fine) => fine.json());
}

export async function checked(response) {
  if (response.ok) return response;
  const words = await response.json().then((body) => body.error, () => null);
  throw Object.assign(new Error(words || `the server answered with status ${response.status}`), { status: response.status });
}

async function queued(url, signal) {
  await place(signal);
  try {
    for (let tried = 1; ; tried += 1) {
      const response = await fetch(url, { signal });
      if (response.status !== 503 || tried === TRIES) return response;
      await pause(400 * tried); // others look too
    }
  } finally {
    running -= 1;
    next();
  }
}

function place(signal) {
  return new Promise((resolve, reject) => {
    waiting.push({ resolve, reject, signal });
    next();
  });
}

function next() {
  while (running < MOST_AT_ONCE && waiting.length) {
    const { resolve, reject, signal } = waiting.shift();
    if (signal?.aborted) {
      reject(signal.reason);
      continue;
    }
    running += 1;
    resolve();
  }
}

export function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}
