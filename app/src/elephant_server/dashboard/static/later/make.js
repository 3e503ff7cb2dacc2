// The dialog in which a person makes a dataset from a movie; loaded when it is opened for the first time.

import { ask, post } from '../api.js';
import { byId, bytes, make, ranges, setText } from '../dom.js';
import { sourceChoice, times } from './sources.js';

const ENDING = /(\.ome)?\.(zarr|tiff?|btf|h5|hdf5|xml|n5|ims|npy)(\.zip)?$|\.(zip|ozx)$/i;
const ITEM_BYTES = { uint8: 1 };

document.head.append(make('link', { rel: 'stylesheet', href: new URL('make.css', import.meta.url) }));

let dialog = null;

/** Open the dialog for a new dataset, which is shown once it is there. */
export async function open({ datasets, look, viewer }) {
  dialog ??= new MakeDialog(() => datasets.entries, (name) => look().then(() => viewer.choose(name)));
  await dialog.open();
}

/** The dialog; `datasets` gives what is known of all datasets, `made` is called with the name of a new one. */
class MakeDialog {
  #movies = [];
  #movie = null;
  #wanted = null;
  #opened = 0;
  #isNameOwn = false;
  #asking = new AbortController();

  constructor(datasets, made) {
    this.datasets = datasets;
    this.made = made;
    this.dialog = byId('make');
    this.select = make('select', { id: 'make-movie', onchange: () => this.#chooseMovie() });
    this.which = make('select', { id: 'make-which', onchange: () => this.open(this.datasets().find((entry) => entry.name === this.which.value)) });
    this.note = make('p', { class: 'soft', role: 'status' });
    this.details = make('div', { class: 'details' });
    this.name = make('input', { id: 'make-name', type: 'text', required: true, maxlength: 200, autocomplete: 'off', spellcheck: 'false', 'aria-describedby': 'make-replaces', oninput: () => { this.#isNameOwn = true; this.#showReplacing(); } });
    this.replacing = make('p', { id: 'make-replaces', class: 'replacing' });
    this.problem = make('p', { class: 'problem', role: 'alert' });
    this.go = make('button', { type: 'submit', class: 'main' }, 'Make dataset');
    const form = make('form', { onsubmit: (event) => { event.preventDefault(); this.#make(); } },
      make('h2', { id: 'make-title' }, 'New dataset'),
      make('div', { class: 'field' }, make('label', { for: 'make-which' }, 'Dataset'), this.which),
      make('div', { class: 'field' }, make('label', { for: 'make-movie' }, 'Movie'), this.select), this.note, this.details,
      make('div', { class: 'field' }, make('label', { for: 'make-name' }, 'Name of the dataset'), this.name, this.replacing),
      this.problem,
      make('div', { class: 'actions' }, make('button', { type: 'button', onclick: () => this.dialog.close() }, 'Cancel'), this.go));
    this.dialog.replaceChildren(form);
    this.dialog.addEventListener('close', () => this.#asking.abort());
  }

  /** Let a person choose; `before` is the dataset that is made again. */
  async open(before = null) {
    this.#opened += 1;
    const again = this.datasets().filter((entry) => entry.movie);
    this.which.replaceChildren(make('option', { value: '' }, 'A new one'), ...again.map(({ name }) => make('option', { value: name, selected: name === before?.name }, `${name}, again`)));
    this.which.parentElement.hidden = !again.length;
    this.before = before;
    delete this.replacing.dataset.name; // what was confirmed before is not any more
    this.#isNameOwn = before !== null;
    if (before) this.name.value = before.name;
    setText(byId('make-title'), before ? `Make ${before.name} again` : 'New dataset');
    setText(this.problem, '');
    this.#clear('Looking for movies …');
    this.select.disabled = true;
    if (!this.dialog.open) this.dialog.showModal();
    try {
      const { movies, folders, is_complete: isComplete } = await ask('movies');
      this.#movies = movies;
      this.select.replaceChildren(...groups(movies));
      this.select.disabled = !movies.length;
      const own = before ? movies.findIndex(({ folder, movie }) => folder === before.movie.folder && movie === before.movie.movie) : 0;
      if (own > 0) this.select.value = own;
      if (movies.length && document.activeElement === this.name && !this.#isNameOwn) this.select.focus();
      if (movies.length) await this.#chooseMovie(own < 0 ? 'Its movie is not there any more: choose another one.' : isComplete ? '' : 'There are more movies than are listed.', before && own >= 0 ? before.setup : null);
      else this.#clear(`There is no movie in the folders of the datasets${folders.length ? `, nor in ${folders.join(', ')}` : ', and ELEPHANT_MOVIES names no other folders'}.`);
    } catch (error) {
      this.#clear('', error.message);
    }
  }

  #clear(note, problem = '') {
    this.#movie = null;
    this.details.replaceChildren();
    setText(this.note, note);
    setText(this.problem, problem);
    this.go.disabled = true;
  }

  get #place() {
    return this.#movies[this.select.value];
  }

  /** Show the chosen movie, and one of its sources: the first, if none is named. */
  async #chooseMovie(note = '', source = null) {
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    this.#clear('Looking into the movie …');
    if (!this.#isNameOwn) this.name.value = this.#freeName();
    this.#showReplacing();
    const movie = await this.#askFor(source, signal);
    if (!movie) return;
    setText(this.note, note);
    this.details.replaceChildren(sourceChoice(this.#place, movie, (id) => this.#chooseSource(id, signal), signal), make('div', { class: 'part' }));
    this.#showPart(movie);
  }

  async #chooseSource(id, signal) {
    this.#wanted = id;
    this.go.disabled = true;
    const movie = await this.#askFor(id, signal);
    if (movie && this.#wanted === id) this.#showPart(movie);
  }

  /** Return what is known of a source; null if it is not wanted any more, or cannot be read, which is said. */
  async #askFor(source, signal) {
    try {
      return await ask('movie', source === null ? this.#place : { ...this.#place, source }, { signal });
    } catch (error) {
      if (!signal.aborted) {
        setText(this.note, '');
        setText(this.problem, error.message);
      }
      return null;
    }
  }

  #showPart(movie) {
    this.#movie = movie;
    this.#wanted = movie.source;
    this.details.lastChild.replaceChildren(...this.#part(movie));
    setText(this.problem, '');
    this.go.disabled = false;
  }

  /** Return the controls for the part of the source, and how it is held. */
  #part(movie) {
    const last = movie.n_timepoints - 1;
    this.level = make('select', { id: 'make-level', onchange: () => this.#showSize() }, ...movie.levels.map((level, n) => make('option', { value: n }, `${n}: ${times(level.shape)} voxels${level.voxel_size ? `, voxel ${times(level.voxel_size)}` : ''}`)));
    const time = (id, value) => make('input', { id, type: 'number', min: 0, max: last, step: 1, value, required: true, oninput: () => this.#showSize() });
    this.first = time('make-start', 0);
    this.last = time('make-end', last);
    const canBe = movie.can_be_in_place;
    const isIn = canBe && (this.before?.in_place ?? true);
    this.inPlace = make('input', { type: 'radio', name: 'held', checked: isIn, disabled: !canBe });
    this.size = make('span');
    const isFlat = movie.levels[0].shape[0] === 1;
    this.flat = isFlat ? make('input', { type: 'checkbox', checked: true }) : null;
    this.fill = movie.needs_filling ? make('input', { type: 'checkbox' }) : null;
    const copy = make('input', { type: 'radio', name: 'held', checked: !isIn });
    this.#showSize();
    return [
      movie.levels.length > 1 ? make('div', { class: 'field' }, make('label', { for: 'make-level' }, 'Resolution'), this.level) : null,
      make('div', { class: 'pair' },
        make('div', { class: 'field' }, make('label', { for: 'make-start' }, 'From timepoint'), this.first),
        make('div', { class: 'field' }, make('label', { for: 'make-end' }, `To, at most ${last}`), this.last)),
      make('fieldset', {}, make('legend', {}, 'Images'),
        make('label', { class: 'check' }, this.inPlace, make('span', {}, 'Read in place', make('small', {}, canBe ? 'Ready at once. The movie has to stay where it is.' : 'Not possible: each small part would take as long as a whole timepoint.'))),
        make('label', { class: 'check' }, copy, make('span', {}, 'Copy', make('small', {}, this.size)))),
      this.flat && make('label', { class: 'check' }, this.flat, 'Make a 2D dataset'),
      movie.blank_timepoints.length ? make('p', { class: 'soft' }, `The movie has no image at timepoints ${ranges(movie.blank_timepoints)}.`) : null,
      this.fill && make('label', { class: 'check' }, this.fill, 'Fill them with black images'),
    ].filter(Boolean);
  }

  #showSize() {
    const n = this.last.valueAsNumber - this.first.valueAsNumber + 1;
    const { levels, dtype } = this.#movie;
    const voxels = levels[this.level.value].shape.reduce((a, b) => a * b, 1);
    setText(this.size, n > 0 ? `Up to ${bytes(n * voxels * (ITEM_BYTES[dtype] ?? 2))} more on the disk of the workspace.` : 'The last timepoint is before the first.');
  }

  #freeName() {
    const { folder, movie } = this.#place;
    const parts = movie.split('/');
    const stem = parts.pop().replace(ENDING, '');
    const isPattern = /[{*?]/.test(stem); // of files with a timepoint each
    const base = (folder === '' ? parts.join('/') : isPattern ? parts.pop() : stem) || stem.replace(/[{*?].*/, '') || 'movie';
    const isTaken = (name) => this.datasets().some((entry) => entry.name === name);
    let name = base;
    for (let n = 2; isTaken(name); n += 1) name = `${base}-${n}`;
    return name;
  }

  /** Ask whether a dataset of this name may go, where there is one. */
  #showReplacing() {
    const there = this.datasets().find((entry) => entry.name === this.name.value.trim());
    if (this.replacing.dataset.name === (there?.name ?? '')) return;
    this.replacing.dataset.name = there?.name ?? '';
    this.overwrite = there ? make('input', { type: 'checkbox', required: !there.in_place }) : null;
    const lost = there && [['labels', there.labelled], ['flow labels', there.flow_labelled], ['predictions', there.predicted]].filter(([, list]) => list?.length).map(([what, list]) => `${what} of ${list.length === 1 ? '1 timepoint' : `${list.length} timepoints`}`);
    this.replacing.replaceChildren(...(there ? [make('label', { class: 'check' }, this.overwrite, make('span', {}, `Replace the dataset ${there.name}${lost.length ? `, and lose its ${lost.join(', ')}` : ''}`, there.in_place ? make('small', {}, 'If its movie has only moved, leave this out: the labels stay.') : null))] : []));
  }

  async #make() {
    const name = this.name.value.trim();
    const { folder, movie } = this.#place;
    const [first, last] = [this.first.valueAsNumber, this.last.valueAsNumber];
    if (last < first) {
      setText(this.problem, 'The last timepoint is before the first.');
      this.last.focus();
      return;
    }
    const isWhole = first === 0 && last === this.#movie.n_timepoints - 1;
    const body = {
      dataset_name: name, folder, movie, setup: this.#movie.source, level: Number(this.level.value), in_place: this.inPlace.checked,
      overwrite: Boolean(this.overwrite?.checked), is_2d: Boolean(this.flat?.checked), fill_gaps: Boolean(this.fill?.checked),
      ...(isWhole ? {} : { t_start: first, t_end: last }),
    };
    const opened = this.#opened;
    this.go.disabled = true;
    setText(this.problem, '');
    setText(this.note, `Making ${name}. Its progress is shown under Now; this window may be closed.`);
    this.#tell(`Making ${name} …`);
    const words = await post('dashboard/api/make', body).then((answer) => answer.error ?? (answer.completed ? '' : 'it was aborted'), (error) => (error.status ? error.message : 'the connection was lost. It may still be made: see Now and the log.'));
    this.#tell(words ? `${name} was not made: ${words}` : `${name} is ready.`, Boolean(words));
    if (!words) this.made(name);
    if (this.#opened !== opened) return; // it has been opened for another dataset since
    setText(this.note, '');
    setText(this.problem, words);
    this.go.disabled = false;
    if (!words) this.dialog.close();
  }

  /** Say it beside the datasets as well: the dialog may have been closed. */
  #tell(words, isProblem = false) {
    byId('make-note').className = isProblem ? 'notice' : 'soft';
    setText(byId('make-note'), words);
  }
}

function groups(movies) {
  const places = new Map();
  movies.forEach(({ folder, movie }, i) => {
    if (!places.has(folder)) places.set(folder, []);
    places.get(folder).push(make('option', { value: i }, movie));
  });
  return [...places].map(([folder, options]) => make('optgroup', { label: folder || 'Datasets of the workspace' }, ...options));
}
