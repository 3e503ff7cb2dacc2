// Keys that work wherever the focus is, but not while somebody types; they can be turned off.

import { Toggle } from './controls.js';

const REMEMBERED = 'elephant-keys';

/** Call the functions of `actions`, by key, and return the box that turns them off. */
export function listenToKeys(actions) {
  const toggle = new Toggle('keys', 'Keyboard shortcuts', null, remembered() !== 'off', () => remember(toggle.isOn ? 'on' : 'off'));
  document.addEventListener('keydown', (event) => {
    if (!toggle.isOn || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector('dialog[open]')) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  return toggle.element;
}

function isTyping(element) {
  return element.matches?.('select, textarea, [contenteditable], input:not([type="range"], [type="checkbox"])');
}

// A browser may keep nothing for this page: then the keys are on.
function remembered() {
  try { return window.localStorage.getItem(REMEMBERED); } catch { return null; }
}

function remember(value) {
  try { window.localStorage.setItem(REMEMBERED, value); } catch { /* as above */ }
}
