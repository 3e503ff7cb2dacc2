// The earlier versions of a model with their figures, and the way back to each.

import { ask, post } from '../api.js';
import { ago, bytes, make, number, when } from '../dom.js';
import { openDialog } from './dialog.js';

/** Show the versions of a model; `look` is called when it went back to one. */
export async function open({ name, look: changed }) {
  const content = openDialog(`Versions of ${name}`);
  await fill(content, name, changed, '');
}

async function fill(content, name, changed, said) {
  const models = await ask('models').catch((error) => error);
  const model = Array.isArray(models) ? models.find((one) => one.name === name) : null;
  const note = make('p', { class: 'soft', role: 'status' }, said);
  if (!model) {
    content.replaceChildren(make('p', { class: 'problem', role: 'alert' }, models.message ?? `${name} is not there any more.`));
    return;
  }
  const again = (words) => fill(content, name, changed, words);
  content.replaceChildren(note, make('ol', {},
    make('li', {}, make('p', {}, make('strong', {}, 'Now: '), model.held ? `${model.held.text}, ${ago(model.held.saved)}` : 'what it was trained on is unknown'), figures(model.held ?? {})),
    ...model.generations.map((version) => row(name, version, again, changed))));
}

function row(name, version, again, changed) {
  const asked = make('div', { class: 'asked', hidden: true });
  const back = make('button', { type: 'button', onclick: () => confirm() }, 'Go back to this version');
  const item = make('li', {},
    make('p', {}, make('strong', {}, `Version ${version.number}: `), version.text ?? 'what it was trained on is unknown'),
    back, figures(version), asked);

  function confirm() {
    const yes = make('button', { type: 'button', class: 'danger', onclick: go }, 'Go back');
    const no = make('button', { type: 'button', onclick: () => { asked.hidden = true; back.hidden = false; back.focus(); } }, 'Keep the model');
    asked.replaceChildren(make('span', {}, `Replace what ${name} holds by version ${version.number}? What it holds now is kept as a version, so this can be undone.`), yes, no);
    asked.hidden = false;
    back.hidden = true;
    yes.focus();
  }

  async function go() {
    for (const button of asked.querySelectorAll('button')) button.disabled = true;
    try {
      const { completed, before, error } = await post('models/restore', { model_name: name, version: version.number });
      if (!completed || error) throw new Error(error ?? 'it was aborted: the model is as it was');
      await again(`Done: the model is version ${version.number} now.${before ? ` To undo this, go back to version ${before}.` : ''}`);
      changed();
    } catch (error) {
      asked.replaceChildren(make('p', { class: 'problem', role: 'alert' }, error.message));
      back.hidden = false;
    }
  }

  return item;
}

/** What is known of a version in numbers. */
function figures(found) {
  const shown = [
    ['F1', found.f1 === null || found.f1 === undefined ? null : `${number(found.f1)} on ${found.n_held_out} held-out nuclei`],
    ['distance left', found.distance_left === null || found.distance_left === undefined ? null : `${number(found.distance_left)} on ${found.n_held_out} held-out links`],
    ['annotations', found.n_annotations || null], ['epochs', found.epochs || null],
    ['loss', found.loss === null || found.loss === undefined ? null : number(found.loss)],
    ['saved', found.saved ? when(found.saved) : null], ['size', found.n_bytes ? bytes(found.n_bytes) : null],
    [found.is_interim ? 'kept during a training' : 'last epoch of a training', found.is_interim || found.is_last ? '' : null],
  ];
  return make('div', { class: 'figures soft' }, ...shown.filter(([, value]) => value !== null).map(([label, value]) => make('span', {}, `${label} `, make('b', {}, String(value)))));
}
