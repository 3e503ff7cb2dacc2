// Status and log as they come: server-sent events; where there are none, by asking again and again. Not in a hidden tab.

import { address, ask } from './api.js';

const POLL_MS = 2000;
const TRY_STREAM_AGAIN_MS = 30000;
const LOOK_MS = 2000;
const SILENT_MS = 15000; // the server says something every five seconds

export class Live extends EventTarget {
  #source = null;
  #timer = null;
  #retry = null;
  #watch = null;
  #heard = 0;
  #lastId = '';

  start() {
    document.addEventListener('visibilitychange', () => (document.hidden ? this.#stop() : this.#begin()));
    if (!document.hidden) this.#begin();
  }

  #begin() {
    this.#stop();
    this.#ask(); // what is there at once, whatever becomes of the stream
    this.#openStream();
    this.#watch = setInterval(() => this.#lookAtStream(), LOOK_MS);
  }

  #stop() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    clearInterval(this.#watch);
    this.#timer = null;
  }

  #openStream() {
    const source = new EventSource(address('events'));
    this.#source = source;
    this.#heard = Date.now();
    source.addEventListener('status', (event) => {
      this.#heard = Date.now();
      this.#endPolling();
      this.#say('connection', { kind: 'live' });
      this.#say('status', JSON.parse(event.data));
    });
    source.addEventListener('log', (event) => this.#lines(JSON.parse(event.data)));
    source.onerror = () => {
      this.#poll(0);
      if (source.readyState === EventSource.CLOSED) {
        // Refused: too many pages are open. Asking goes on, and the stream is tried again later.
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => this.#openStream(), TRY_STREAM_AGAIN_MS);
      }
    };
  }

  /** A line that was cut somewhere on the way stays open, and silent. */
  #lookAtStream() {
    if (this.#source?.readyState !== EventSource.OPEN || Date.now() - this.#heard < SILENT_MS) return;
    this.#source.close();
    this.#openStream();
    this.#poll(0);
  }

  #poll(after) {
    if (this.#timer || document.hidden) return;
    this.#timer = setTimeout(async () => {
      await this.#ask();
      if (this.#timer === null) return;
      this.#timer = null;
      this.#poll(POLL_MS);
    }, after);
  }

  #endPolling() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #ask() {
    try {
      const [status, lines] = await Promise.all([
        ask('status', {}, { isQuick: true }),
        ask('log', { after: this.#lastId }, { isQuick: true }),
      ]);
      if (this.#source?.readyState !== EventSource.OPEN) this.#say('connection', { kind: 'polling' });
      this.#say('status', status);
      this.#lines(lines);
    } catch (error) {
      // Answered with an error, the server is there, and says why its state is not known.
      this.#say('connection', { kind: 'lost', reason: error.status ? error.message : '' });
    }
  }

  #lines(lines) {
    const fresh = lines.filter((line) => isAfter(line.id, this.#lastId));
    if (!fresh.length) return;
    this.#lastId = fresh[fresh.length - 1].id;
    this.#say('log', fresh);
  }

  #say(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Tell whether an id of Redis, milliseconds and a counter, comes after another one. */
function isAfter(id, other) {
  if (!other) return true;
  const [ms, n] = id.split('-').map(Number);
  const [otherMs, otherN] = other.split('-').map(Number);
  return ms > otherMs || (ms === otherMs && n > otherN);
}
