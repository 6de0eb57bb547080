// Lines of equal heat: marching squares.

/**
 * Segments x0, y0, x1, y1, ... where the field crosses the level, in cells of the field: its samples lie at the centres
 * of cells. The field goes on unchanged over its edge, so lines run up to it and none runs along it.
 * @param {Float32Array} field w x h values @param {number} w @param {number} h @param {number} level @returns {number[]}
 */
export function isolines(field, w, h, level) {
  const segments = /** @type {number[]} */ ([]);
  for (let y = 0; y <= h; y++) {
    const upper = Math.max(0, y - 1) * w, lower = Math.min(h - 1, y) * w;
    let a = field[upper], d = field[lower];
    for (let x = 0; x <= w; x++) {
      const i = x < w ? x : w - 1, b = field[upper + i], c = field[lower + i];
      const code = (a >= level ? 8 : 0) | (b >= level ? 4 : 0) | (c >= level ? 2 : 0) | (d >= level ? 1 : 0);
      if (code !== 0 && code !== 15) {
        const [left, right] = [x, x + 1].map((at) => Math.min(w, Math.max(0, at - 0.5)));
        const [top, bottom] = [y, y + 1].map((at) => Math.min(h, Math.max(0, at - 0.5)));
        crossings(segments, code, [a, b, c, d], level, left, right, top, bottom);
      }
      a = b;
      d = c;
    }
  }
  return segments;
}

/**
 * Where the level crosses one cell, whose corners are given from the upper left one round. Apart from the loop: what its
 * inner functions see would make every variable of the loop slow.
 * @param {number[]} segments @param {number} code @param {number[]} corners @param {number} level
 * @param {number} left @param {number} right @param {number} top @param {number} bottom
 */
function crossings(segments, code, [a, b, c, d], level, left, right, top, bottom) {
  const north = () => [left + ((level - a) / (b - a)) * (right - left), top];
  const south = () => [left + ((level - d) / (c - d)) * (right - left), bottom];
  const west = () => [left, top + ((level - a) / (d - a)) * (bottom - top)];
  const east = () => [right, top + ((level - b) / (c - b)) * (bottom - top)];
  const middle = (a + b + c + d) / 4 >= level;
  if (code === 1 || code === 14) segments.push(...west(), ...south());
  else if (code === 2 || code === 13) segments.push(...south(), ...east());
  else if (code === 3 || code === 12) segments.push(...west(), ...east());
  else if (code === 4 || code === 11) segments.push(...north(), ...east());
  else if (code === 6 || code === 9) segments.push(...north(), ...south());
  else if (code === 7 || code === 8) segments.push(...north(), ...west());
  else if ((code === 5) === middle) segments.push(...north(), ...west(), ...south(), ...east());
  else segments.push(...north(), ...east(), ...west(), ...south());
}
