// The sources of a movie to choose from, each with a small picture that is asked for once it is in sight.

import { fetchBytes } from '../api.js';
import { make } from '../dom.js';

const EDGE = 160;

/** Return a group of radio buttons; `choose` is called with the number of the source that a person takes. */
export function sourceChoice(place, movie, choose, signal) {
  const cards = movie.sources.map((source) => card(place, source, source.id === movie.source, choose, signal));
  return make('fieldset', { class: 'sources' }, make('legend', {}, 'Source'), ...cards);
}

function card(place, source, isChosen, choose, signal) {
  const picture = make('canvas', { width: 1, height: 1, 'aria-hidden': 'true' });
  const words = make('small', {}, about(source));
  const radio = make('input', { type: 'radio', name: 'source', value: source.id, checked: isChosen, onchange: () => choose(source.id) });
  const seen = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    seen.disconnect();
    draw(picture, { ...place, source: source.id, most: EDGE }, signal).catch((error) => {
      if (!signal.aborted) words.append(make('span', { class: 'problem' }, `No preview: ${error.message}`));
    });
  });
  seen.observe(picture);
  return make('label', { class: 'source' }, radio, make('span', { class: 'picture' }, picture),
    make('span', { class: 'words' }, make('strong', {}, title(source)), words));
}

export const title = (source) => (source.name ? `${source.id}: ${source.name}` : `Source ${source.id}`);

function about({ shape, voxel_size: size, unit }) {
  const parts = [shape ? `${times(shape)} voxels` : '', size ? `voxel ${times(size)}${unit ? ` ${unit}` : ''}` : 'voxel size unknown'];
  return parts.filter(Boolean).join(', ');
}

/** Return Z, Y, X as a person reads them: X × Y × Z. */
export function times(zyx) {
  return [...zyx].reverse().map((n) => Number(n.toPrecision(6))).join(' × ');
}

async function draw(canvas, query, signal) {
  const response = await fetchBytes('preview', query, signal);
  const [height, width] = response.headers.get('X-Plane-Shape').split(',').map(Number);
  const grey = new Uint8Array(await response.arrayBuffer());
  const image = new ImageData(width, height);
  for (let i = 0; i < grey.length; i += 1) image.data.set([grey[i], grey[i], grey[i], 255], 4 * i);
  canvas.width = width;
  canvas.height = height;
  canvas.getContext('2d').putImageData(image, 0, 0);
}
