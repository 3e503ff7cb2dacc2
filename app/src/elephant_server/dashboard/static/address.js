// What the viewer shows, kept in the page's address: a reload, a bookmark or a link shows it again.

const LATER_MS = 300; // browsers refuse an address that changes all the time
const AXES = ['z', 'y', 'x'];

let timer = null;
let written = null;

/** Return what the address asks for, or null: { dataset, t, position }, where a number that is missing is null. */
export function asked() {
  const given = new URLSearchParams(window.location.hash.slice(1));
  const number = (name) => (/^\d{1,9}$/.test(given.get(name) ?? '') ? Number(given.get(name)) : null);
  if (!given.get('dataset')) return null;
  return { dataset: given.get('dataset'), t: number('t'), position: AXES.map(number) };
}

/** Keep what is shown; `position` is Z, Y, X. */
export function keep({ dataset, t, position }) {
  const shown = new URLSearchParams({ dataset, t, ...Object.fromEntries(AXES.map((axis, i) => [axis, position[i]])) });
  written = `#${shown}`;
  timer ??= setTimeout(write, LATER_MS);
}

/** Call a function when somebody has changed the address, or gone back to another one. */
export function onChange(call) {
  window.addEventListener('hashchange', () => { if (window.location.hash !== written) call(); });
  window.addEventListener('pagehide', write);
}

function write() {
  clearTimeout(timer);
  timer = null;
  if (written !== null && window.location.hash !== written) window.history.replaceState(null, '', written);
}
