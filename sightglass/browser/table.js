// Colour tables: every setting that needs no new map is folded into one table of 256 colours with their opacity, which a
// canvas lays over the picture. The same formula as explain/rendering/color_tables.py.

import { OVERLAY, SIGNED } from "../common/style.js";

/** @typedef {Uint32Array} Table  RGBA of each level, as the pixels of a canvas have it */

/** The most that a spotlight takes from the picture. */
const DARKEST = 0.75;
const FIRST = [0xc8, 0x32, 0x1f];
const SECOND = [0x1f, 0x5f, 0xd0];

/**
 * Return a table from the opacity, 0..1, and the colour at each level: black by default.
 * @param {(level: number) => number} opacity @param {(level: number, channel: number) => number} [colour] @returns {Table}
 */
function tableFrom(opacity, colour = () => 0) {
  const rgba = (/** @type {number} */ i) => (i % 4 < 3 ? colour(Math.floor(i / 4), i % 4) : 255 * opacity(Math.floor(i / 4)));
  return new Uint32Array(Uint8ClampedArray.from({ length: 1024 }, (_, i) => rgba(i)).buffer);
}

/** Return the colours of an overlay: the colormap without its dark end. @param {Uint8Array} lut 256 RGB colours */
export function overlayColours(lut) {
  const { first } = OVERLAY;
  return Uint8Array.from({ length: 768 }, (_, i) => lut[3 * Math.floor(255 * first + (1 - first) * Math.floor(i / 3) + 0.5) + (i % 3)]);
}

/** @param {Uint8Array} lut 256 RGB colours @param {number} alpha @param {number} threshold @param {boolean} [even] as a blend @returns {Table} */
export function overlayTable(lut, alpha, threshold, even = false) {
  const first = Math.round(255 * threshold), colours = even ? lut : overlayColours(lut), { clear, full } = OVERLAY;
  return tableFrom((i) => {
    const rise = Math.min(1, Math.max(0, (i / 255 - clear) / (full - clear)));
    return i < first ? 0 : even ? alpha : alpha * rise * rise * (3 - 2 * rise);
  }, (i, c) => colours[3 * i + c]);
}

/**
 * Return the table of the map alone; below the threshold a flat ground that is in no colormap.
 * @param {Uint8Array} lut @param {number} threshold @param {number} ground grey @returns {Table}
 */
export function mapTable(lut, threshold, ground) {
  const first = Math.round(255 * threshold);
  return tableFrom(() => 1, (i, c) => (i < first ? ground : lut[3 * i + c]));
}

/** Return the table of the picture, darkened where the map is cold, to a quarter at most. @param {number} alpha @param {number} threshold @returns {Table} */
export function spotlightTable(alpha, threshold) {
  const first = Math.round(255 * threshold);
  return tableFrom((i) => {
    const t = Math.min(1, i / 255 / 0.7);
    return Math.min(DARKEST, 1.25 * alpha) * (i < first ? 1 : 1 - t * t * (3 - 2 * t));
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
  return tableFrom((i) => (distance(i) < threshold ? 0 : alpha * distance(i) ** power), (i, c) => colours[3 * (i > 128 ? 255 : 1) + c]);
}

/** Return the table of such a map alone. @param {string} kind @param {number} threshold @param {number} ground @returns {Table} */
export function sidedMapTable(kind, threshold, ground) {
  const colours = sidedColours(kind, ground);
  return tableFrom(() => 1, (i, c) => (distance(i) < threshold ? ground : colours[3 * i + c]));
}

/** @param {number} alpha @param {number} threshold @returns {Table} */
export function sidedSpotlightTable(alpha, threshold) {
  const table = spotlightTable(alpha, threshold);
  return table.map((_, i) => table[Math.round(255 * distance(i))]);
}

/** Return the table as a CSS gradient. @param {Uint8Array} table */
export function gradient(table) {
  const stops = Array.from({ length: 33 }, (_, i) => `rgb(${table.subarray(3 * Math.min(255, 8 * i)).slice(0, 3).join()})`);
  return `linear-gradient(var(--to, 90deg), ${stops.join()})`;
}

/** Return the colours of a map with two sides as a CSS gradient, from one end to the other. @param {string} kind @param {number} ground */
export function sidedGradient(kind, ground) {
  const { lowers, raises } = armsOf(kind, ground);
  return `linear-gradient(var(--to, 90deg), ${[...[...lowers].reverse(), ...raises.slice(1)].map((rgb) => `rgb(${rgb.join()})`).join()})`;
}
