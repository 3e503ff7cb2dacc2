// Colours of tracks, in the tree as over the planes, on a dark ground.

// After Okabe and Ito: people who are colour-blind tell them apart.
const TRACKS = ['#56b4e9', '#e69f00', '#1fb58a', '#f0e442', '#e8693a', '#d98bb6', '#c9d1d7'];
// One hue: the more doubtful, the brighter. Each with the least probability that it stands for.
export const STEPS = [[0.99, '#2f6496'], [0.95, '#3f80bd'], [0.8, '#65a3dc'], [0.5, '#9cc8f2'], [0, '#e6f2ff']];
export const NO_NUCLEUS = '#8b98a3';

/** Return a colour for each track, by id: it stays with the id, but for daughters that would look like mother or sister. */
export function coloursOf(tracks) {
  const family = new Map(), found = new Map();
  for (const { id, parent } of [...tracks].sort((a, b) => a.start - b.start)) {
    if (!family.has(parent)) family.set(parent, new Set([found.get(parent)]));
    const taken = parent === null ? new Set() : family.get(parent);
    let i = id;
    while (taken.has(TRACKS[i % TRACKS.length]) && i < id + TRACKS.length) i += 1;
    found.set(id, TRACKS[i % TRACKS.length]);
    taken.add(found.get(id));
  }
  return found;
}

export function colourOfProbability({ probability, is_confirmed: isConfirmed }) {
  return isConfirmed ? STEPS[0][1] : STEPS.find(([least]) => (probability ?? 1) >= least)[1];
}
