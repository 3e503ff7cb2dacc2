// Planes and spots from the server; the last planes of an image are kept.

import { ask, fetchBytes } from '../api.js';

const MOST_KEPT = 60;
const kept = new Map();

/** Load a plane: { values, rows, columns, channels, step }. */
export async function loadPlane(dataset, version, layer, t, axis, index, most) {
  const key = [dataset, version, layer, t, axis, index, most].join('\n');
  if (kept.has(key)) return kept.get(key);
  const response = await fetchBytes('plane', { dataset, layer, t, axis, index, most });
  const [rows, columns, channels = 1] = response.headers.get('X-Plane-Shape').split(',').map(Number);
  const step = Number(response.headers.get('X-Plane-Step'));
  const buffer = await response.arrayBuffer();
  const values = response.headers.get('X-Plane-Type') === 'uint16' ? new Uint16Array(buffer) : new Uint8Array(buffer);
  const plane = { values, rows, columns, channels, step };
  if (layer === 'image') { // labels and probabilities may change at any time
    kept.set(key, plane);
    if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  }
  return plane;
}

/** Find the nuclei of a timepoint; of a large one around a plane. */
export function loadSpots(dataset, t, axis, index, voxelSize, limits) {
  return ask('spots', { dataset, t, axis, index, voxel_size: [...voxelSize].reverse().join(','), ...limits });
}

/** Load the nuclei that one of the last predictions found. */
export function loadResult(id) {
  return ask('result', { id });
}
