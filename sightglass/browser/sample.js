// Resample a map: each value becomes times * value + plus, within low..high.

/**
 * @typedef {{values: Uint16Array|Float32Array, w: number, h: number, extent: number[], kind: string}} Grid  values over `extent`
 * @typedef {{times: number, plus: number, low: number, high: number}} Range
 */

/**
 * Return for each of `count` target pixels over `from`..`to` where it is, in samples of `size` over `low`..`high`.
 * @param {number} count @param {number} from @param {number} to @param {number} low @param {number} high @param {number} size
 */
function positions(count, from, to, low, high, size) {
  return Float64Array.from({ length: count }, (_, i) => ((from + ((i + 0.5) / count) * (to - from) - low) / (high - low)) * size);
}

/** Return the two samples beside each place, and how far it is towards the second. @param {Float64Array} places @param {number} size */
function neighbors(places, size) {
  const count = places.length, first = new Int32Array(count), second = new Int32Array(count), share = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const u = Math.min(size - 1, Math.max(0, places[i] - 0.5));
    first[i] = Math.floor(u);
    second[i] = Math.min(size - 1, first[i] + 1);
    share[i] = u - first[i];
  }
  return { first, second, share };
}

/**
 * Resample at the centres of width x height pixels over `rect`, in the unit of `extent`: bilinear between the centres of
 * cells, clamped at the edges, as OpenCV and PyTorch do it. Each row is interpolated once, without any call.
 * @template {Uint8Array|Uint16Array|Float32Array} T
 * @param {Grid} grid @param {number[]} rect @param {number} width @param {number} height @param {Range} range @param {T} out @returns {T}
 */
export function resample({ values, w, h, extent }, rect, width, height, { times, plus, low, high }, out) {
  const { first, second, share } = neighbors(positions(width, rect[0], rect[2], extent[0], extent[2], w), w);
  const Y = neighbors(positions(height, rect[1], rect[3], extent[1], extent[3], h), h), row = new Float64Array(w);
  for (let y = 0, i = 0; y < height; y++) {
    const top = Y.first[y] * w, bottom = Y.second[y] * w, down = Y.share[y];
    for (let x = 0; x < w; x++) {
      const upper = values[top + x];
      row[x] = (upper + down * (values[bottom + x] - upper)) * times + plus;
    }
    for (let x = 0; x < width; x++, i++) {
      const left = row[first[x]], value = left + share[x] * (row[second[x]] - left);
      out[i] = value < low ? low : value > high ? high : value;
    }
  }
  return out;
}

/** The map's true cells as a grid of their own: what the model computed, before smoothing. @param {Grid} grid @param {number[]} cells rows and columns @returns {Grid} */
export function cellsOf(grid, [rows, columns]) {
  const rounded = { times: 1, plus: 0.5, low: 0, high: 65535.5 }, out = new Uint16Array(rows * columns);
  return { ...grid, values: resample(grid, grid.extent, columns, rows, rounded, out), w: columns, h: rows };
}

/**
 * Enlarge cells by cubic convolution, as `cubic` in contours.py does.
 * @template {Uint8Array|Float32Array} T
 * @param {Grid} cells @param {number[]} rect @param {number} width @param {number} height @param {Range} range @param {T} out @returns {T}
 */
export function enlarge({ values, w, h, extent }, rect, width, height, { times, plus, low, high }, out) {
  const { cells, weights } = cubic(positions(width, rect[0], rect[2], extent[0], extent[2], w), w);
  const Y = cubic(positions(height, rect[1], rect[3], extent[1], extent[3], h), h), row = new Float64Array(w);
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

/** Return the four cells around each place and their weights (Keys 1981, a = -1/2). @param {Float64Array} places @param {number} size */
function cubic(places, size) {
  const cells = new Int32Array(4 * places.length), weights = new Float64Array(4 * places.length);
  for (let i = 0; i < places.length; i++) {
    const place = Math.min(size, Math.max(-1, places[i] - 0.5)), first = Math.floor(place);
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
 * @template {Uint8Array|Float32Array} T
 * @param {Grid} grid @param {number[]} rect @param {number} width @param {number} height @param {Range} range @param {T} out @returns {T}
 */
export function nearest({ values, w, h, extent }, rect, width, height, { times, plus, low, high }, out) {
  const cell = (/** @type {number} */ place, /** @type {number} */ size) => Math.min(size - 1, Math.max(0, Math.floor(place)));
  const across = positions(width, rect[0], rect[2], extent[0], extent[2], w).map((place) => cell(place, w));
  const down = positions(height, rect[1], rect[3], extent[1], extent[3], h).map((place) => cell(place, h));
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) out[i] = Math.min(high, Math.max(low, values[w * down[y] + across[x]] * times + plus));
  }
  return out;
}

/** Return how values become shares of a scale: 0..1, or with a sign -1..1. @param {string} kind @returns {Range} */
export function shares(kind) {
  return kind === "heat" ? { times: 1 / 65535, plus: 0, low: 0, high: 1 } : { times: 1 / 32767.5, plus: -1, low: -1, high: 1 };
}

/** Return the value at one point, as a share of the scale. @param {Grid} grid @param {number} x @param {number} y @param {typeof nearest} [sample] */
export function valueAt(grid, x, y, sample = resample) {
  return sample(grid, [x - 1e-6, y - 1e-6, x + 1e-6, y + 1e-6], 1, 1, shares(grid.kind), new Float32Array(1))[0];
}
