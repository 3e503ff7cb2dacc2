// What is said of tracks.

/** Return what is known of a track in words. */
export function describe({ id, start, end, n_spots: n, probability, parent, is_confirmed: isConfirmed }) {
  const span = start === end ? `timepoint ${start}` : `timepoints ${start}–${end}`;
  const missing = end - start + 1 - n;
  const parts = [`Track ${id}`, span, missing > 0 ? `${missing} missing` : '', parent === null ? '' : `from track ${parent}`, isConfirmed ? 'confirmed' : `probability ${percent(probability)}`];
  return parts.filter(Boolean).join(', ');
}

/** Return a probability as a person reads it. */
export function percent(p) {
  if (p === null || p === undefined) return 'unknown';
  return p < 0.01 ? 'under 1%' : p > 0.99 ? 'over 99%' : `${Math.round(100 * p)}%`;
}
