// Grow a raw map to the model's input, as `scale` in explain/maps/heatmap.py does, of the part that is picture.

/** As in heatmap.py. */
const EPSILON = 1e-7;

/**
 * @typedef {{shapes: number[][], offsets: number[][], input: number[], content: number[]}} RawHead  shapes: rows and
 *   columns of each layer's map; offsets: by how many cells, down and across, it is drawn beside an even grid; input:
 *   height and width; content: x0, y0, x1, y1 of the picture in the input's pixels
 * @typedef {{h: number, w: number, values: Float32Array}} Unit  one layer's map in 0..1
 */

/**
 * Return a map as 0..65535 on the pixels of the content, row by row.
 * @param {RawHead} head @param {Float32Array[]} raws signed, one a layer @returns {Uint16Array}
 */
export function grown({ shapes, offsets, input: [height, width], content }, raws) {
  const [left, top, right, bottom] = content, across = right - left, down = bottom - top;
  const sum = new Float32Array(across * down);
  raws.forEach((raw, i) => {
    const [h, w] = shapes[i];
    add(sum, unit(raw, h, w, cells(h, w, height, width, content)), [left, top, right, bottom], height, width, offsets[i]);
  });
  let low = Infinity, high = -Infinity;
  for (const value of sum) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const out = new Uint16Array(sum.length), count = raws.length, by = 65535 / (EPSILON + (high - low) / count);
  for (let i = 0; i < sum.length; i++) out[i] = Math.min(65535, ((sum[i] - low) / count) * by + 0.5);
  return out;
}

/** Return the first and last row, first and last column of a layer's map that hold any picture. @param {number} h @param {number} w @param {number} height @param {number} width @param {number[]} content */
function cells(h, w, height, width, [left, top, right, bottom]) {
  const floor = Math.floor, ceil = Math.ceil;
  return [floor((top * h) / height), ceil((bottom * h) / height), floor((left * w) / width), ceil((right * w) / width)];
}

/**
 * Clip a map at 0 and bring it to 0..1 over the picture; a cell of the bars reads as its neighbour in the picture.
 * @param {Float32Array} raw @param {number} h @param {number} w @param {number[]} picture rows and columns @returns {Unit}
 */
function unit(raw, h, w, [y0, y1, x0, x1]) {
  let low = Infinity, high = -Infinity;
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const value = Math.max(0, raw[y * w + x]);
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const values = new Float32Array(h * w), by = EPSILON + (high - low);
  for (let y = 0, i = 0; y < h; y++) {
    const row = w * Math.min(y1 - 1, Math.max(y0, y));
    for (let x = 0; x < w; x++, i++) values[i] = (Math.max(0, raw[row + Math.min(x1 - 1, Math.max(x0, x))]) - low) / by;
  }
  return { h, w, values };
}

/**
 * Add a layer's map, grown bilinearly between the centres of its cells.
 * @param {Float32Array} sum @param {Unit} unit @param {number[]} content @param {number} height @param {number} width @param {number[]} offset
 */
function add(sum, { h, w, values }, [left, top, right, bottom], height, width, [down, across]) {
  const X = along(left, right, w, width, across), Y = along(top, bottom, h, height, down), row = new Float32Array(w);
  for (let y = 0, i = 0; y < bottom - top; y++) {
    const upper = w * Y.first[y], lower = w * Y.second[y], share = Y.share[y];
    for (let x = 0; x < w; x++) row[x] = values[upper + x] + share * (values[lower + x] - values[upper + x]);
    for (let x = 0; x < right - left; x++, i++) {
      const a = row[X.first[x]];
      sum[i] += a + X.share[x] * (row[X.second[x]] - a);
    }
  }
}

/** @param {number} from @param {number} to @param {number} count of cells @param {number} size all pixels @param {number} offset in cells */
function along(from, to, count, size, offset) {
  const long = to - from, first = new Int32Array(long), second = new Int32Array(long), share = new Float32Array(long);
  for (let i = 0; i < long; i++) {
    const at = Math.min(count - 1, Math.max(0, ((from + i + 0.5) * count) / size - 0.5 - offset));
    first[i] = Math.floor(at);
    second[i] = Math.min(count - 1, first[i] + 1);
    share[i] = at - first[i];
  }
  return { first, second, share };
}
