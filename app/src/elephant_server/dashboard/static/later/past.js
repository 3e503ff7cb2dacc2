// All that is known of how a model came to be, and the way to its earlier versions.

import { make, when } from '../dom.js';
import { learning } from './learning.js';

/** Return what stands in the opened part of a model. */
export function past(model) {
  const works = model.history.map((work) => [`${when(work.saved)}: ${work.text}`, work.details, work.is_in || work.what === 'restored' ? '' : 'no longer part of the model']);
  const versions = model.generations.map((g) => [`version ${g.number}, ${when(g.saved)}${g.is_interim ? ' (during a training)' : g.is_last ? ' (last epoch)' : ''}`, g.text ?? '']);
  const back = make('button', { type: 'button', class: 'link', 'data-later': 'versions', 'data-name': model.name }, 'Compare versions, or go back to one');
  return [learning(model), section('Provenance', works), section('Earlier versions', versions), versions.length ? back : null].filter(Boolean);
}

function section(title, items) {
  if (!items.length) return null;
  return make('div', {}, make('h4', {}, title),
    make('ol', {}, ...items.map((texts) => make('li', {}, ...texts.filter(Boolean).map((text, i) => make(i ? 'small' : 'span', {}, text))))));
}
