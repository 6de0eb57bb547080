// Colour tables: every setting that needs no new map is folded into one table of 256 entries,
// so that a redraw is one multiply and one add a channel. The same formula as explain/rendering/render.py.

import { OVERLAY, SIGNED } from "../common/style.js";

/**
 * @typedef {{K: Float32Array, A: Float32Array}} Table  out = pixel * K[level] + A[3 * level + channel]
 */

/** The most that a spotlight takes from the picture. */
const DARKEST = 0.75;
const FIRST = [0xc8, 0x32, 0x1f];
const SECOND = [0x1f, 0x5f, 0xd0];

/**
 * Round halves to even, as Python and OpenCV do: else the threshold is one level off at 0.30 and 0.70.
 * @param {number} value
 */
function rint(value) {
  const low = Math.floor(value), rest = value - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

/**
 * Return a table from its values at each level: 0 of the colours by default.
 * @param {(level: number) => number} pixel @param {(level: number, channel: number) => number} [colour] @returns {Table}
 */
function tableFrom(pixel, colour = () => 0) {
  const K = Float32Array.from({ length: 256 }, (_, i) => pixel(i));
  return { K, A: Float32Array.from({ length: 768 }, (_, i) => colour(Math.floor(i / 3), i % 3)) };
}

/** Return the colours of an overlay: the colormap without its dark end. @param {Uint8Array} lut 256 RGB colours */
export function overlayColours(lut) {
  const { first } = OVERLAY;
  return Uint8Array.from({ length: 768 }, (_, i) => lut[3 * Math.floor(255 * first + (1 - first) * Math.floor(i / 3) + 0.5) + (i % 3)]);
}

/** @param {Uint8Array} lut 256 RGB colours @param {number} alpha @param {number} threshold @param {boolean} [even] as a blend @returns {Table} */
export function overlayTable(lut, alpha, threshold, even = false) {
  const first = rint(255 * threshold), colours = even ? lut : overlayColours(lut), { clear, full } = OVERLAY;
  const opacities = Float32Array.from({ length: 256 }, (_, i) => {
    const rise = Math.min(1, Math.max(0, (i / 255 - clear) / (full - clear)));
    return i < first ? 0 : even ? alpha : alpha * rise * rise * (3 - 2 * rise);
  });
  return tableFrom((i) => 1 - opacities[i], (i, c) => opacities[i] * colours[3 * i + c]);
}

/**
 * Return the table of the map alone; below the threshold a flat ground that is in no colormap.
 * @param {Uint8Array} lut @param {number} threshold @param {number} ground grey @returns {Table}
 */
export function mapTable(lut, threshold, ground) {
  const first = rint(255 * threshold);
  return tableFrom(() => 0, (i, c) => (i < first ? ground : lut[3 * i + c]));
}

/** Return the table of the picture, darkened where the map is cold, to a quarter at most. @param {number} alpha @param {number} threshold @returns {Table} */
export function spotlightTable(alpha, threshold) {
  const first = rint(255 * threshold);
  return tableFrom((i) => {
    const t = Math.min(1, i / 255 / 0.7);
    return 1 - Math.min(DARKEST, 1.25 * alpha) * (i < first ? 1 : 1 - t * t * (3 - 2 * t));
  });
}

/** Return how far a level, 1..255 around 128, is from 0, as 0..1. @param {number} level */
function distance(level) {
  return Math.min(Math.abs(level - 128) / 127, 1);
}

/**
 * Return the colours of either side of a map that has two, from 0 to the most: of a difference red is more in the first map.
 * @param {string} kind @param {number} ground @returns {Record<"raises"|"lowers", number[][]>}
 */
function armsOf(kind, ground) {
  const middle = [ground, ground, ground];
  return kind === "signed" ? SIGNED[ground < 128 ? "dark" : "light"] : { raises: [middle, FIRST], lowers: [middle, SECOND] };
}

/**
 * Return the colours of such a map by its levels, 1..255 around 128.
 * @param {string} kind @param {number} ground @returns {Float64Array} 256 RGB
 */
function sidedColours(kind, ground) {
  const arms = armsOf(kind, ground), colours = new Float64Array(768);
  for (let i = 0; i < 256; i++) {
    const arm = arms[i > 128 ? "raises" : "lowers"], at = distance(i) * (arm.length - 1), first = Math.min(Math.floor(at), arm.length - 2);
    for (let c = 0; c < 3; c++) colours[3 * i + c] = arm[first][c] + (at - first) * (arm[first + 1][c] - arm[first][c]);
  }
  return colours;
}

/**
 * Return the table of such a map over a grey picture, clear at 0. Blended by its strength it has the end's colours: the
 * picture is the neutral middle. Of a difference the broader map could hardly be seen by a linear opacity.
 * @param {string} kind @param {number} alpha @param {number} threshold @param {number} ground @returns {Table}
 */
export function sidedTable(kind, alpha, threshold, ground) {
  const colours = sidedColours(kind, ground), power = kind === "signed" ? 1 : 0.6;
  const opaque = (/** @type {number} */ i) => (distance(i) < threshold ? 0 : alpha * distance(i) ** power);
  return tableFrom((i) => 1 - opaque(i), (i, c) => opaque(i) * colours[3 * (i > 128 ? 255 : 1) + c]);
}

/** Return the table of such a map alone. @param {string} kind @param {number} threshold @param {number} ground @returns {Table} */
export function sidedMapTable(kind, threshold, ground) {
  const colours = sidedColours(kind, ground);
  return tableFrom(() => 0, (i, c) => (distance(i) < threshold ? ground : colours[3 * i + c]));
}

/** @param {number} alpha @param {number} threshold @returns {Table} */
export function sidedSpotlightTable(alpha, threshold) {
  const { K } = spotlightTable(alpha, threshold);
  return tableFrom((i) => K[Math.round(255 * distance(i))]);
}

/**
 * Write source * K + A into `out`, only within the rectangle; both are RGBA, `width` pixels wide.
 * @param {Uint8ClampedArray} out @param {Uint8ClampedArray} source @param {Uint8Array} levels @param {Table} table
 * @param {number} width @param {number[]} within
 */
export function blend(out, source, levels, { K, A }, width, [x0, y0, x1, y1]) {
  // Whole pixels and whole numbers: a third less time than three channels of fractions.
  const to = new Uint32Array(out.buffer), from = new Uint32Array(source.buffer);
  const k = Int32Array.from(K, (value) => Math.round(65536 * value));
  const a = Int32Array.from(A, (value) => Math.round(65536 * value) + 32768);
  for (let y = y0; y < y1; y++) {
    for (let i = y * width + x0, end = y * width + x1; i < end; i++) {
      const m = k[levels[i]], t = 3 * levels[i], p = from[i];
      // Below a threshold the picture stays as it is.
      if (m === 65536) {
        to[i] = 0xff000000 | p;
        continue;
      }
      const red = ((p & 255) * m + a[t]) >>> 16, green = (((p >>> 8) & 255) * m + a[t + 1]) >>> 16;
      to[i] = 0xff000000 | (((((p >>> 16) & 255) * m + a[t + 2]) >>> 16) << 16) | (green << 8) | red;
    }
  }
}

/** Return the picture in grey, with OpenCV's weights. @param {Uint8ClampedArray} source */
export function grey(source) {
  const out = new Uint8ClampedArray(source.length);
  for (let p = 0; p < source.length; p += 4) {
    out[p] = out[p + 1] = out[p + 2] = 0.299 * source[p] + 0.587 * source[p + 1] + 0.114 * source[p + 2];
    out[p + 3] = 255;
  }
  return out;
}

/** Return the table as a CSS gradient. @param {Uint8Array} table */
export function gradient(table) {
  const stops = Array.from({ length: 33 }, (_, i) => `rgb(${table.subarray(3 * Math.min(255, 8 * i)).slice(0, 3).join()})`);
  return `linear-gradient(90deg, ${stops.join()})`;
}

/** Return the colours of a map with two sides as a CSS gradient, from one end to the other. @param {string} kind @param {number} ground */
export function sidedGradient(kind, ground) {
  const { lowers, raises } = armsOf(kind, ground);
  return `linear-gradient(90deg, ${[...[...lowers].reverse(), ...raises.slice(1)].map((rgb) => `rgb(${rgb.join()})`).join()})`;
}
