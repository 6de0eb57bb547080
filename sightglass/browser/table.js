// Colour tables: every setting that needs no new map is folded into one table, by which each pixel of the picture is
// changed. The same formula as explain/rendering/render.py.

import { ENDS, OVERLAY, SIGNED, TINT } from "../common/style.js";

/**
 * @typedef {import("../common/style.js").Style} Style
 * @typedef {{keep: Int32Array, rest: Int32Array}} Table  in 1/256: a channel becomes channel * keep[level] + rest, which is
 *   grey * light[level] + add[level] where grey is the pixel without its colours. `rest` has two numbers for each grey of each
 *   level: blue above red, and green
 * @typedef {(level: number, channel: number) => number} Entry  0..255
 */

/** The most that a spotlight takes from the picture. */
const DARKEST = 0.75;

/**
 * Return the table that lays colours over the picture.
 * @param {(level: number) => number} share of the colours @param {Entry} dark  the colour where the picture is black
 * @param {Entry} white the same where it is white @param {number} bright the share of its brightness that the picture keeps
 * @returns {Table}
 */
function mix(share, dark, white = dark, bright = 1) {
  const keep = new Int32Array(256), rest = new Int32Array(131072), most = share(255) || 1;
  for (let i = 0, at = 0; i < 256; i++) {
    const s = share(i), left = 256 * (1 - s) * (1 - (1 - bright) * (1 - s / most));
    keep[i] = Math.round(left);
    // What rounding takes from the pixel is taken from its grey, so that a sum of red never reaches blue's bits.
    const light = (/** @type {number} */ c) => (256 / 255) * s * (white(i, c) - dark(i, c)) + left - keep[i];
    const [red, green, blue] = [0, 1, 2].map(light);
    let [r, g, b] = [0, 1, 2].map((c) => 256 * s * dark(i, c) + 128);
    for (const end = at + 512; at < end; r += red, g += green, b += blue) {
      rest[at++] = (b << 16) | r;
      rest[at++] = g;
    }
  }
  return { keep, rest };
}

/** Return the part of a colormap that an overlay has. @param {Uint8Array} lut 256 RGB colours @param {string} name its name */
export function overlayColours(lut, name) {
  const [first, last] = ENDS[name] ?? ENDS.others;
  const at = (/** @type {number} */ level) => Math.floor(255 * (first + (last - first) * (level / 255) ** OVERLAY.rise) + 0.5);
  return Uint8Array.from({ length: 768 }, (_, i) => lut[3 * at(Math.floor(i / 3)) + (i % 3)]);
}

/** Steps of the circle of hues: 256 between red and yellow. */
export const HUES = 1536;

/** 256 divided by each range of a colour's channels; a grey has none. */
const INVERSES = Float64Array.from({ length: 256 }, (_, range) => (range ? 256 / range : 0));

/** Return a colour's hue, 0..1536: from red by yellow, green and blue to red; of greys 0. @param {number} r @param {number} g @param {number} b */
export function hueOf(r, g, b) {
  const most = Math.max(r, g, b);
  const inverse = INVERSES[most - Math.min(r, g, b)];
  if (most === r) return Math.floor((g - b) * inverse + 0.5) + (g < b ? HUES : 0);
  if (most === g) return Math.floor((b - r) * inverse + 512.5);
  return Math.floor((r - g) * inverse + 1024.5);
}

/**
 * Return the share of its colour that each hue keeps under an overlay, of 255: hues of the colormap lose theirs, so that no
 * place looks like evidence that is none; those far from it keep theirs.
 * @param {Uint8Array} lut 256 RGB colours @param {string} name its name
 */
export function hueWeights(lut, name) {
  const colours = overlayColours(lut, name), { clear, near, far, chroma } = OVERLAY, hues = new Set();
  for (let level = Math.ceil(255 * clear); level < 256; level++) {
    const [r, g, b] = colours.subarray(3 * level, 3 * level + 3);
    if (Math.max(r, g, b) - Math.min(r, g, b) >= chroma) hues.add(hueOf(r, g, b));
  }
  const weights = new Int32Array(HUES + 1).fill(255);
  for (let hue = 0; hue <= HUES; hue++) {
    let least = HUES;
    for (const other of hues) least = Math.min(least, Math.abs(hue - other), HUES - Math.abs(hue - other));
    const rise = ((least * 360) / HUES - near) / (far - near);
    weights[hue] = Math.floor(255 * smooth(Math.min(1, Math.max(0, rise))) + 0.5);
  }
  return weights;
}

/** The weights by which a picture loses all its colours. */
export const NO_HUE = new Int32Array(HUES + 1);

/**
 * Return a picture's pixels with the share of their colours that the weights leave them.
 * @param {Int32Array} source as `Picture` has its pixels @param {Int32Array} weights by hue, of 255
 */
export function mute(source, weights) {
  const out = new Int32Array(source.length);
  for (let i = 0; i < out.length; i++) {
    const pixel = source[i];
    const grey = pixel >>> 24;
    const weight = weights[hueOf(pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255)];
    // Of 256, so that red and blue are weighed at once.
    const kept = weight + (weight >> 7);
    const lost = (256 - kept) * grey;
    const red = (Math.imul(pixel & 0xff00ff, kept) + Math.imul(lost, 0x10001) + 0x800080) >>> 8;
    const green = ((pixel >>> 8) & 255) * kept + lost + 128;
    out[i] = 0xff000000 | (red & 0xff00ff) | (green & 0xff00);
  }
  return out;
}

/**
 * Fill `out` with a picture under a share of the muted one; red and blue at once.
 * @param {Int32Array} source as `Picture` has its pixels @param {Int32Array} muted @param {number} share 0..1 @param {Int32Array} out
 */
export function blend(source, muted, share, out) {
  const over = Math.round(256 * share);
  const under = 256 - over;
  for (let i = 0; i < out.length; i++) {
    const pixel = source[i];
    const other = muted[i];
    const red = (Math.imul(pixel & 0xff00ff, under) + Math.imul(other & 0xff00ff, over) + 0x800080) >>> 8;
    const green = ((pixel >>> 8) & 255) * under + ((other >>> 8) & 255) * over + 128;
    out[i] = (pixel & 0xff000000) | (red & 0xff00ff) | (green & 0xff00);
  }
}

/** Rise evenly from 0 to 1. @param {number} t */
function smooth(t) {
  return t * t * (3 - 2 * t);
}

/** Return how far a level, 1..255 around 128, is from 0, as 0..1. @param {number} level */
function distance(level) {
  return Math.min(Math.abs(level - 128) / 127, 1);
}

/**
 * Return the colours of a map that has two sides by its levels, 1..255 around 128: of a difference red is more in the first map.
 * @param {number} ground grey @returns {Float64Array} 256 RGB
 */
export function sidedColours(ground) {
  const colours = new Float64Array(768), arms = SIGNED[ground < 128 ? "dark" : "light"];
  for (let i = 0; i < 256; i++) {
    const arm = arms[i > 128 ? "raises" : "lowers"], at = distance(i) * (arm.length - 1), first = Math.min(Math.floor(at), arm.length - 2);
    for (let c = 0; c < 3; c++) colours[3 * i + c] = arm[first][c] + (at - first) * (arm[first + 1][c] - arm[first][c]);
  }
  return colours;
}

/**
 * Return the share of the picture that is muted, and that of its brightness that it keeps where there is no map, 0..1.
 * @param {string} kind @param {Style} settings @returns {[number, number]}
 */
export function fading(kind, { mode, alpha }) {
  if (kind === "heat") return mode === "overlay" ? [alpha, 1 - (1 - OVERLAY.bright) * alpha] : [0, 1];
  return [mode === "map" || (["overlay", "blend"].includes(mode) && alpha > 0) ? 1 : 0, 1];
}

/**
 * Return the table of a style; null for an uncoloured picture. Below the threshold a map alone has a flat ground.
 * @param {string} kind @param {Style} settings @param {Uint8Array} lut 256 RGB colours @param {number} ground grey @returns {Table|null}
 */
export function tableOf(kind, settings, lut, ground) {
  const { mode, alpha, threshold, colormap } = settings, heat = kind === "heat", first = Math.round(255 * threshold);
  const level = (/** @type {number} */ i) => (heat ? i : Math.round(255 * distance(i)));
  const { clear, full } = OVERLAY;
  const cold = (/** @type {number} */ i) => level(i) < first, colours = heat ? lut : sidedColours(ground);
  if (mode === "map") return mix(() => 1, (i, c) => (cold(i) ? ground : colours[3 * i + c]));
  if (mode === "spotlight") return mix((i) => Math.min(DARKEST, 1.25 * alpha) * (cold(i) ? 1 : 1 - smooth(Math.min(1, level(i) / 255 / 0.7))), () => 0);
  if (!["overlay", "blend"].includes(mode)) return null;
  if (!heat) {
    const power = kind === "signed" ? 1 : 0.6, end = (/** @type {number} */ i, /** @type {number} */ c) => colours[3 * (i > 128 ? 255 : 1) + c];
    return mix((i) => (cold(i) ? 0 : alpha * distance(i) ** power), end, end);
  }
  if (mode === "blend") return mix((i) => (cold(i) ? 0 : alpha), (i, c) => lut[3 * i + c]);
  const tint = Float64Array.from(overlayColours(lut, colormap), (value) => value / 255);
  const opacity = (/** @type {number} */ i) => (cold(i) ? 0 : alpha * smooth(Math.min(1, Math.max(0, (i / 255 - clear) / (full - clear)))));
  const at = (/** @type {number} */ i, /** @type {number[]} */ [weak, strong]) => weak + ((strong - weak) * i) / 255;
  const black = (/** @type {number} */ i, /** @type {number} */ c) => 255 * at(i, TINT.dark) * tint[3 * i + c] ** at(i, TINT.deepen);
  const white = (/** @type {number} */ i, /** @type {number} */ c) => 255 * (1 - (1 - tint[3 * i + c]) ** at(i, TINT.lighten));
  const [, bright] = fading(kind, settings);
  return mix(opacity, black, white, bright);
}

/** Return colours as a CSS gradient. @param {ArrayLike<number>} colours 256 RGB */
export function gradient(colours) {
  const stops = Array.from({ length: 33 }, (_, i) => `rgb(${[0, 1, 2].map((c) => colours[3 * Math.min(255, 8 * i) + c]).join()})`);
  return `linear-gradient(var(--to, 90deg), ${stops.join()})`;
}
