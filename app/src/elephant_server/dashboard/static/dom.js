// Small helpers: elements, and numbers for people.

/** Make an element: attributes, then children, which may be texts. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'class') element.className = value;
    else if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Change a text only where it differs, so that nothing is read out twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Fill a <select> without losing the choice; returns whether the choice is still there. */
export function setOptions(select, names, labels = names) {
  const before = select.value;
  const now = [...select.options].map((option) => option.value);
  if (now.join('\n') !== names.join('\n')) {
    select.replaceChildren(...names.map((name, i) => make('option', { value: name }, labels[i])));
    if (names.includes(before)) select.value = before;
  }
  return names.includes(before);
}

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i += 1; }
  return `${n >= 100 || i === 0 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

export function duration(s) {
  if (s < 1) return 'under 1 s';
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
}

export function when(seconds) {
  const date = new Date(seconds * 1000);
  const isToday = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return isToday ? `today, ${time}` : `${date.toLocaleDateString()}, ${time}`;
}

export function ago(seconds) {
  const s = Math.max(0, Date.now() / 1000 - seconds);
  if (s < 60) return 'just now';
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  return s < 129600 ? `${Math.round(s / 3600)} h ago` : `${Math.round(s / 86400)} days ago`;
}

export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(4)));
}

/** Return sorted integers as ranges: 0–4, 7. */
export function ranges(list) {
  const found = [];
  for (const n of list) {
    const last = found[found.length - 1];
    if (last && n === last[1] + 1) last[1] = n;
    else found.push([n, n]);
  }
  const shown = found.slice(0, 12).map(([a, b]) => (a === b ? `${a}` : `${a}–${b}`));
  return found.length ? shown.join(', ') + (found.length > 12 ? ' …' : '') : 'none';
}

/** Return so many nuclei in words. */
export function counted(n) {
  return `${n.toLocaleString('en')} ${n === 1 ? 'nucleus' : 'nuclei'}`;
}
