// Where ellipsoids cut a plane.

// Rows and columns of each plane among the axes Z, Y, X, and the axis that it stands on.
export const PLANES = {
  xy: { across: 0, row: 1, column: 2 },
  xz: { across: 1, row: 0, column: 2 },
  yz: { across: 2, row: 1, column: 0 },
};

/** Return the cut of an ellipsoid, in voxels: centre and covariance over column and row; null where there is none. */
export function cut(spot, axis, index, n) {
  const { across, row, column } = PLANES[axis];
  const c = (i, j) => spot.covariance[3 * i + j];
  const away = n === 2 ? 0 : index - spot.pos[across]; // in 2D there is no Z to miss
  const level = 1 - (away * away) / c(across, across);
  if (level <= 0) return null;
  const lean = (i) => (c(i, across) / c(across, across)) * away;
  const rest = (i, j) => level * (c(i, j) - (c(i, across) * c(across, j)) / c(across, across));
  return {
    x: spot.pos[column] + lean(column), y: spot.pos[row] + lean(row),
    xx: rest(column, column), xy: rest(column, row), yy: rest(row, row), kind: spot.kind, colour: spot.colour,
  };
}

const COLOURS = { missed: '#4cc9f0', wrong: '#ff7a1a' };

/** Draw cuts; a voxel is `sx` wide and `sy` tall, its middle is its position, and `left` and `top` are the first ones. */
export function drawCuts(context, cuts, { left, top, sx, sy }) {
  for (const { x, y, xx, xy, yy, kind, colour } of cuts) {
    context.strokeStyle = colour ?? COLOURS[kind] ?? '#ffd23f';
    context.lineWidth = kind ? 3 : 1.5;
    const a = xx * sx * sx, b = xy * sx * sy, d = yy * sy * sy;
    const mean = (a + d) / 2, apart = Math.hypot((a - d) / 2, b);
    const long = Math.sqrt(Math.max(0, mean + apart)), short = Math.sqrt(Math.max(0, mean - apart));
    context.beginPath();
    context.ellipse((x + 0.5 - left) * sx, (y + 0.5 - top) * sy, long, short, Math.atan2(2 * b, a - d) / 2, 0, 2 * Math.PI);
    context.stroke();
  }
}
