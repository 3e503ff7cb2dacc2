// Which part of the image the planes show: a factor, and a voxel that is in the middle of them.

import { PLANES } from './ellipses.js';

const LARGEST = 40;

export class Camera {
  zoom = 1;
  #middle = [0, 0, 0]; // Z, Y, X
  #shape = [1, 1, 1];

  /** Show the whole of an image of Z, Y, X voxels. */
  reset(shape = this.#shape) {
    this.zoom = 1;
    this.#shape = shape;
    this.#middle = shape.map((size) => size / 2);
  }

  /** Return how a plane is drawn: its first column and row, and CSS pixels for each voxel of both. */
  frame(axis, pixels) {
    const { row, column } = PLANES[axis];
    return { left: this.#first(column), top: this.#first(row), sx: pixels[0] * this.zoom, sy: pixels[1] * this.zoom };
  }

  /** Zoom by a factor; the voxel `at`, Z, Y, X, stays where it is. */
  zoomBy(factor, at) {
    const zoom = Math.min(LARGEST, Math.max(1, this.zoom * factor));
    // Of what lies between the voxel and the middle, as much as is seen is left.
    this.#middle = at.map((voxel, i) => voxel + (this.#middleOf(i) - voxel) * (this.zoom / zoom));
    this.zoom = zoom;
  }

  /** Move by voxels, by axis. */
  moveBy(voxels) {
    for (const [i, by] of Object.entries(voxels)) this.#middle[i] = this.#middleOf(i) + by;
  }

  /** Move as little as needed to have a voxel, Z, Y, X, in sight. */
  follow(position) {
    position.forEach((voxel, i) => {
      const first = this.#first(i), seen = this.#shape[i] / this.zoom;
      if (voxel < first || voxel + 1 > first + seen) this.#middle[i] = voxel + 0.5;
    });
  }

  #first(i) {
    const size = this.#shape[i], seen = size / this.zoom;
    return Math.min(Math.max(0, this.#middle[i] - seen / 2), size - seen);
  }

  #middleOf(i) { return this.#first(i) + this.#shape[i] / this.zoom / 2; }
}
