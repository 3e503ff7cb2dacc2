// A dialog that shows something of one dataset or one model, with a title and a button that closes it.

import { make } from '../dom.js';

document.head.append(make('link', { rel: 'stylesheet', href: new URL('dialog.css', import.meta.url) }));

/** Open a dialog with a title; returns the element to fill. */
export function openDialog(title) {
  const heading = make('h2', { id: 'later-title' }, title);
  const content = make('div', { class: 'later-content' });
  const close = make('button', { type: 'button', onclick: () => dialog.close() }, 'Close');
  const dialog = make('dialog', { class: 'later', 'aria-labelledby': 'later-title' }, heading, content, make('div', { class: 'actions' }, close));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return content;
}
