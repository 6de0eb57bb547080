// What a proof on the stage hides: the order of the map's places, and the picture blurred, as the engine has them.

import { hiddenContext } from "../../browser/canvas.js";
import { reduced } from "../../browser/geometry.js";
import { resample } from "../../browser/sample.js";

/** Cells of the longer side of the order, and of the picture that is blurred. */
const CELLS = 320;
const BLURRED = 120;
/** As explain/proof/filling.py: by the picture's longer side. */
const SIGMA = 0.05;
const LEVELS = 200;

/**
 * The order in which places are hidden, 0 the hottest, a byte for half a percent; among the coldest those nearest to a hotter one first.
 * @param {import("../../browser/draw.js").HeatMap} map @returns {{order: Uint8Array, grid: number[]}} grid: rows and columns
 */
export function orderOf({ own, seen }) {
  const [w, h] = reduced([seen[2] - seen[0], seen[3] - seen[1]], CELLS);
  const values = resample(own, seen, w, h, (value) => value, new Float32Array(w * h));
  return { order: ranked(values, w, h), grid: [h, w] };
}

/** @param {Float32Array} values @param {number} w @param {number} h @returns {Uint8Array} */
export function ranked(values, w, h) {
  const lowest = values.reduce((least, value) => Math.min(least, value), Infinity), away = distances(values, lowest, w, h);
  const places = Uint32Array.from(values, (_, i) => i).sort((a, b) => values[b] - values[a] || away[a] - away[b] || a - b);
  const order = new Uint8Array(values.length);
  places.forEach((place, i) => {
    order[place] = Math.min(LEVELS - 1, Math.floor((LEVELS * i) / values.length));
  });
  return order;
}

/** How far each place is from one above the lowest, in two passes. @param {Float32Array} values @param {number} lowest @param {number} w @param {number} h */
function distances(values, lowest, w, h) {
  const away = Float32Array.from(values, (value) => (value > lowest ? 0 : 1e6)), across = Math.SQRT2;
  const nearer = (/** @type {number} */ i, /** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ step) => {
    const up = y - step >= 0 && y - step < h, left = x - step >= 0 && x - step < w, right = x + step >= 0 && x + step < w;
    if (left) away[i] = Math.min(away[i], away[i - step] + 1);
    if (!up) return;
    away[i] = Math.min(away[i], away[i - step * w] + 1);
    if (left) away[i] = Math.min(away[i], away[i - step * w - step] + across);
    if (right) away[i] = Math.min(away[i], away[i - step * w + step] + across);
  };
  for (let i = 0; i < away.length; i++) nearer(i, i % w, Math.floor(i / w), 1);
  for (let i = away.length - 1; i >= 0; i--) nearer(i, i % w, Math.floor(i / w), -1);
  return away;
}

/** Blur what is on a canvas, whose edges go on. @param {ImageData} given @returns {ImageData} */
export function softened({ data, width, height }) {
  const sigma = Math.max(1, SIGMA * Math.max(width, height)), reach = Math.ceil(3 * sigma);
  const weights = Float32Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const pass = (/** @type {ArrayLike<number>} */ from, /** @type {number} */ stride, /** @type {number} */ length) => {
    const out = new Float32Array(from.length);
    for (let i = 0; i < from.length; i++) {
      const at = Math.floor(i / stride) % length, base = i - at * stride;
      let sum = 0;
      for (let k = -reach; k <= reach; k++) sum += weights[k + reach] * from[base + Math.min(length - 1, Math.max(0, at + k)) * stride];
      out[i] = sum / total;
    }
    return out;
  };
  const soft = new ImageData(width, height);
  soft.data.set(pass(pass(data, 4, width), 4 * width, height));
  return soft;
}

/**
 * The part of a picture that the model saw, whole and blurred, and its mean colour.
 * @param {ImageBitmap} bitmap @param {number[]} part xyxy in its pixels @returns {Promise<{picture: ImageBitmap, blurred: ImageBitmap, mean: number[]}>}
 */
export async function fillings(bitmap, [x0, y0, x1, y1]) {
  const [w, h] = reduced([x1 - x0, y1 - y0], BLURRED), context2d = hiddenContext(w, h, true);
  context2d.imageSmoothingQuality = "high";
  context2d.drawImage(bitmap, x0, y0, x1 - x0, y1 - y0, 0, 0, w, h);
  const small = context2d.getImageData(0, 0, w, h), count = w * h;
  const mean = [0, 1, 2].map((channel) => {
    let sum = 0;
    for (let i = channel; i < 4 * count; i += 4) sum += small.data[i];
    return Math.round(sum / count);
  });
  const [picture, blurred] = await Promise.all([createImageBitmap(bitmap, x0, y0, x1 - x0, y1 - y0), createImageBitmap(softened(small))]);
  return { picture, blurred, mean };
}
