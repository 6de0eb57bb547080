// Resample a map: bilinear between pixel centres, clamped at the edges, as OpenCV and PyTorch do it.

/** @typedef {{values: Uint16Array, w: number, h: number, extent: number[], kind: string}} Grid */

/**
 * Return for each of `count` target pixels over `from`..`to` the two source samples and how far it is towards the second.
 * @param {number} count @param {number} from @param {number} to @param {number} low @param {number} high
 * @param {number} size
 */
function axis(count, from, to, low, high, size) {
  const first = new Int32Array(count), second = new Int32Array(count), part = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const at = from + ((i + 0.5) / count) * (to - from);
    const u = Math.min(size - 1, Math.max(0, ((at - low) / (high - low)) * size - 0.5));
    first[i] = Math.floor(u);
    second[i] = Math.min(size - 1, first[i] + 1);
    part[i] = u - first[i];
  }
  return { first, second, part };
}

/**
 * Resample the map (0..65535) at the centres of width x height pixels over `rect`, in the unit of `extent`.
 * @template {Uint8Array|Uint16Array|Float32Array} T
 * @param {Grid} grid @param {number[]} rect @param {number} width @param {number} height
 * @param {(value: number) => number} convert applied to each sample @param {T} out array to fill @returns {T}
 */
export function resample({ values, w, h, extent }, rect, width, height, convert, out) {
  const X = axis(width, rect[0], rect[2], extent[0], extent[2], w);
  const Y = axis(height, rect[1], rect[3], extent[1], extent[3], h);
  for (let y = 0, i = 0; y < height; y++) {
    const top = Y.first[y] * w, bottom = Y.second[y] * w, down = Y.part[y];
    for (let x = 0; x < width; x++, i++) {
      const left = X.first[x], right = X.second[x], across = X.part[x];
      const a = values[top + left], b = values[bottom + left];
      const upper = a + across * (values[top + right] - a), lower = b + across * (values[bottom + right] - b);
      out[i] = convert(upper + down * (lower - upper));
    }
  }
  return out;
}

/**
 * Return the function from 0..65535 to a level: 0..255 after `gain` and `offset`, or for what has a sign 1..255 around 128.
 * @param {string} kind @param {number} [gain] @param {number} [offset] @returns {(value: number) => number}
 */
export function level(kind, gain = 1, offset = 0) {
  if (kind !== "heat") return (value) => Math.floor((middled(value, gain) * 254) / 65535 + 0.5) + 1;
  if (gain === 1 && offset === 0) return (value) => (value / 257 + 0.5) | 0;
  return (value) => (Math.min(65535, Math.max(0, offset * 65535 + gain * value)) / 257 + 0.5) | 0;
}

/** Stretch 0..65535 around its middle, where what has a sign is 0. @param {number} value @param {number} gain */
function middled(value, gain) {
  return gain === 1 ? value : Math.min(65535, Math.max(0, gain * value + 65535 * ((1 - gain) / 2)));
}

/**
 * Resample to levels several times as fast as `resample` with `level`: each row is interpolated once, without any call.
 * @param {Grid} grid @param {number[]} rect @param {number} width @param {number} height @param {number} gain
 * @param {number} offset @param {Uint8Array} out @param {Grid|null} [cells] that are enlarged instead @returns {Uint8Array}
 */
export function levelsAt({ values, w, h, extent, kind }, rect, width, height, gain, offset, out, cells = null) {
  const X = axis(width, rect[0], rect[2], extent[0], extent[2], w);
  const Y = axis(height, rect[1], rect[3], extent[1], extent[3], h);
  const { first, second, part } = X, row = new Float64Array(w), gap = kind !== "heat";
  const times = gap ? (254 * gain) / 65535 : gain / 257, plus = gap ? 127 * (1 - gain) + 1.5 : 255 * offset + 0.5;
  const lowest = gap ? 1 : 0;
  if (cells) return enlarge(cells, rect, width, height, times, plus, lowest, 255, out);
  for (let y = 0, i = 0; y < height; y++) {
    const top = Y.first[y] * w, bottom = Y.second[y] * w, down = Y.part[y];
    for (let x = 0; x < w; x++) {
      const upper = values[top + x];
      row[x] = (upper + down * (values[bottom + x] - upper)) * times + plus;
    }
    for (let x = 0; x < width; x++, i++) {
      const left = row[first[x]], value = left + part[x] * (row[second[x]] - left);
      out[i] = value < lowest ? lowest : value > 255 ? 255 : value;
    }
  }
  return out;
}

/**
 * Return the map's true cells as a grid of their own: what the model computed, before smoothing.
 * @template {Grid} G @param {G} grid @param {number[]} cells rows and columns @returns {G}
 */
export function cellsOf(grid, [rows, columns]) {
  const values = resample(grid, grid.extent, columns, rows, Math.round, new Uint16Array(rows * columns));
  return { ...grid, values, w: columns, h: rows };
}

/**
 * Enlarge cells by cubic convolution, as `cubic` in contours.py does: times * value + plus, within low..high.
 * @template {Uint8Array|Float32Array} T
 * @param {Grid} cells @param {number[]} rect @param {number} width @param {number} height @param {number} times
 * @param {number} plus @param {number} low @param {number} high @param {T} out array to fill @returns {T}
 */
export function enlarge({ values, w, h, extent }, rect, width, height, times, plus, low, high, out) {
  const X = cubic(width, rect[0], rect[2], extent[0], extent[2], w), Y = cubic(height, rect[1], rect[3], extent[1], extent[3], h);
  const row = new Float64Array(w), { cells, weights } = X;
  for (let y = 0, i = 0; y < height; y++) {
    row.fill(0);
    for (let k = 4 * y; k < 4 * y + 4; k++) {
      for (let x = 0, from = Y.cells[k] * w; x < w; x++) row[x] += Y.weights[k] * values[from + x];
    }
    for (let x = 0, k = 0; x < width; x++, i++, k += 4) {
      const sum = weights[k] * row[cells[k]] + weights[k + 1] * row[cells[k + 1]] + weights[k + 2] * row[cells[k + 2]] + weights[k + 3] * row[cells[k + 3]];
      const value = (sum < 0 ? 0 : sum > 65535 ? 65535 : sum) * times + plus;
      out[i] = value < low ? low : value > high ? high : value;
    }
  }
  return out;
}

/**
 * Return for each of `count` targets over `from`..`to` the four cells around it and their weights (Keys 1981, a = -1/2).
 * @param {number} count @param {number} from @param {number} to @param {number} low @param {number} high @param {number} size
 */
function cubic(count, from, to, low, high, size) {
  const cells = new Int32Array(4 * count), weights = new Float64Array(4 * count);
  for (let i = 0; i < count; i++) {
    const at = from + ((i + 0.5) / count) * (to - from);
    const place = Math.min(size, Math.max(-1, ((at - low) / (high - low)) * size - 0.5)), first = Math.floor(place);
    for (let k = 0; k < 4; k++) {
      const away = Math.abs(place - (first + k - 1));
      weights[4 * i + k] = away <= 1 ? 1.5 * away ** 3 - 2.5 * away ** 2 + 1 : -0.5 * away ** 3 + 2.5 * away ** 2 - 4 * away + 2;
      cells[4 * i + k] = Math.min(size - 1, Math.max(0, first + k - 1));
    }
  }
  return { cells, weights };
}

/**
 * Resample so that each pixel takes the value of the cell around it.
 * @param {Grid} grid @param {number[]} rect @param {number} width @param {number} height
 * @param {(value: number) => number} convert @param {Uint8Array} out
 */
export function nearest({ values, w, h, extent }, rect, width, height, convert, out) {
  const across = cellsAlong(width, rect[0], rect[2], extent[0], extent[2], w);
  const down = cellsAlong(height, rect[1], rect[3], extent[1], extent[3], h);
  for (let y = 0, i = 0; y < height; y++) {
    const row = w * down[y];
    for (let x = 0; x < width; x++, i++) out[i] = convert(values[row + across[x]]);
  }
  return out;
}

/**
 * @param {number} count @param {number} from @param {number} to @param {number} low @param {number} high
 * @param {number} size
 */
function cellsAlong(count, from, to, low, high, size) {
  return Int32Array.from({ length: count }, (_, i) => {
    const at = from + ((i + 0.5) / count) * (to - from);
    return Math.min(size - 1, Math.max(0, Math.floor(((at - low) / (high - low)) * size)));
  });
}

/** Return the value at one point, 0..1 or, with a sign, -1..1. @param {Grid} grid @param {number} x @param {number} y */
export function valueAt(grid, x, y) {
  const [value] = resample(grid, [x - 1e-6, y - 1e-6, x + 1e-6, y + 1e-6], 1, 1, (v) => v / 65535, new Float32Array(1));
  return grid.kind === "heat" ? value : 2 * value - 1;
}
