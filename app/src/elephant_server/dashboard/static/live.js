// Status and log as they come: server-sent events; where there are none, by asking again and again. Not in a hidden tab.

import { address, ask } from './api.js';

const POLL_MS = 2000;
const LOST_AFTER_MS = 4000;
const TRY_STREAM_AGAIN_MS = 30000;

export class Live extends EventTarget {
  #source = null;
  #timer = null;
  #retry = null;
  #lastId = '';

  start() {
    document.addEventListener('visibilitychange', () => (document.hidden ? this.#stop() : this.#begin()));
    if (!document.hidden) this.#begin();
  }

  #begin() {
    this.#stop();
    this.#ask(); // what is there at once, whatever becomes of the stream
    this.#openStream();
  }

  #stop() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    this.#timer = null;
  }

  #openStream() {
    const source = new EventSource(address('events'));
    this.#source = source;
    source.addEventListener('status', (event) => {
      this.#endPolling();
      this.#say('connection', 'live');
      this.#say('status', JSON.parse(event.data));
    });
    source.addEventListener('log', (event) => this.#lines(JSON.parse(event.data)));
    source.onerror = () => {
      this.#poll(LOST_AFTER_MS);
      if (source.readyState === EventSource.CLOSED) {
        // Refused: too many pages are open. Asking goes on, and the stream is tried again later.
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => this.#openStream(), TRY_STREAM_AGAIN_MS);
      }
    };
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
      if (this.#source?.readyState !== EventSource.OPEN) this.#say('connection', 'polling');
      this.#say('status', status);
      this.#lines(lines);
    } catch {
      this.#say('connection', 'lost');
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
