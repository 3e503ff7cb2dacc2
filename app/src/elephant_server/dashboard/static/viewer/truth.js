// What a prediction found, compared with a file of true nuclei in the dataset's folder.

import { ask } from '../api.js';
import { make, setOptions, setText } from '../dom.js';
import { Choice, group } from './controls.js';

export class Truth {
  #dataset = '';
  #now = { key: '' };

  /** `change` is called when another file is wanted, `arrive` when the comparison is there. */
  constructor(change, arrive) {
    this.arrive = arrive;
    this.file = new Choice('truth', 'File', [], change);
    this.scores = make('p', { id: 'truth-scores', class: 'soft', role: 'status' });
    const key = [['missed', 'missed'], ['wrong', 'wrong']].map(([name, text]) => make('span', {}, make('i', { class: name, 'aria-hidden': 'true' }), text));
    this.element = group('Compare with the truth', this.file.element, make('p', { class: 'key' }, ...key), this.scores);
    this.element.hidden = true;
  }

  /** Offer the files of a dataset. */
  async open(name) {
    if (this.#dataset === name) return;
    this.#dataset = name;
    this.element.hidden = true;
    const { names } = await ask('truths', { dataset: name }).catch(() => ({ names: [] }));
    if (this.#dataset !== name) return;
    setOptions(this.file.input, ['', ...names], ['none', ...names]);
    this.element.hidden = names.length === 0;
  }

  /** Compare a result, null where none is shown, once for each file. */
  async compare(id, voxel) {
    const truth = this.file.value;
    const key = id && truth ? JSON.stringify([this.#dataset, id, truth, voxel]) : '';
    if (this.#now.key === key) return;
    this.#now = { key };
    setText(this.scores, key ? 'Comparing' : truth ? 'Choose a prediction: kept probabilities are not compared.' : '');
    let words = '', found = {};
    try {
      if (key) found = await ask('evaluation', { id, truth, voxel_size: [...voxel].reverse().join(',') });
    } catch (error) {
      words = error.message;
    }
    if (!key || this.#now.key !== key) return;
    this.#now = { key, id, missed: found.missed, wrong: new Set(found.wrong) };
    setText(this.scores, words || wordsOf(found));
    this.arrive();
  }

  /** Return nuclei with what is wrong with them, and those that were missed. */
  marked(id, spots) {
    const { missed, wrong } = this.#now;
    if (!missed || this.#now.id !== id) return spots;
    return [...spots.map((spot, i) => (wrong.has(i) ? { ...spot, kind: 'wrong' } : spot)), ...missed.map((spot) => ({ ...spot, kind: 'missed' }))];
  }
}

function wordsOf({ f1, precision, recall, missed, wrong, distance }) {
  const share = (value) => (Math.floor(value * 1000 + 1e-9) / 1000).toFixed(3);
  return `F1 ${share(f1)}, precision ${share(precision)}, recall ${share(recall)}: ${missed.length} missed, ${wrong.length} wrong (matched within ${distance})`;
}
