// Where the lines of a lineage tree stand.

/**
 * Return where the lines of tracks stand: `order` are the tracks by start, and by their place in it `lane` says where the line
 * is from left to right, `parent` the place of the mother (-1: none), and `top` the timepoint at which the line begins.
 */
export function layOut(tracks) {
  const order = [...tracks].sort((a, b) => a.start - b.start || a.id - b.id);
  const places = new Map(order.map((track, i) => [track.id, i]));
  const parent = Int32Array.from(order, (track) => (track.parent === null ? -1 : places.get(track.parent) ?? -1));
  const leaves = new Float64Array(order.length), lane = new Float64Array(order.length), free = new Float64Array(order.length), hasDaughter = new Uint8Array(order.length);
  for (let i = order.length - 1; i >= 0; i -= 1) { // daughters start after their mothers
    leaves[i] ||= 1;
    if (parent[i] < 0) continue;
    leaves[parent[i]] += leaves[i];
    hasDaughter[parent[i]] = 1;
  }
  let nLanes = 0;
  const alone = [];
  for (let i = 0; i < order.length; i += 1) {
    if (parent[i] < 0 && leaves[i] === 1 && !hasDaughter[i] && order[i].start === order[i].end) { alone.push(i); continue; }
    const first = parent[i] < 0 ? nLanes : free[parent[i]];
    if (parent[i] < 0) nLanes += leaves[i];
    else free[parent[i]] += leaves[i];
    free[i] = first;
    lane[i] = first + leaves[i] / 2;
  }
  // Spots that are joined to nothing share lanes: many would take the room of all others.
  const freeAt = [];
  for (const i of alone) {
    const { start } = order[i], shared = freeAt.findIndex((t) => t <= start), k = shared < 0 ? freeAt.length : shared;
    freeAt[k] = start + 2;
    lane[i] = nLanes + k + 0.5;
  }
  nLanes += freeAt.length;
  const top = Float64Array.from(order, (track, i) => (parent[i] < 0 ? track.start : order[parent[i]].end));
  return { order, places, parent, lane, top, nLanes };
}
