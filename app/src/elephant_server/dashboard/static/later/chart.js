// What figures have in common: drawn as SVG, in the page's colours.

import { make } from '../dom.js';

document.head.append(make('link', { rel: 'stylesheet', href: new URL('chart.css', import.meta.url) }));

/** Make an element of SVG: attributes, then children; those that are null are left out. */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function text(x, y, words, anchor) {
  return svg('text', { x, y, 'text-anchor': anchor }, String(words));
}

/** Make an entry of a legend: what is drawn, and words for it. */
export function key(words, ...drawn) {
  return make('span', {}, svg('svg', { width: 22, height: 10, class: 'mark', 'aria-hidden': 'true' }, ...drawn), words);
}
