// Draw the pixels of one panel, without the page: canvas, rectangle and settings in, picture out.

import { blend, fading, hueWeights, mute, NO_HUE, tableOf } from "./table.js";
import { OVERLAY } from "../common/style.js";
import { haloed, hiddenContext, resize } from "./canvas.js";
import { contains, inCanvas, placer } from "./geometry.js";
import { cellsOf, enlarge, nearest, resample, shares, valueAt } from "./sample.js";
import { DASH, chained, frameOf, isolines, pathOf, withoutSmall } from "./contour.js";

/**
 * @typedef {import("../common/style.js").Style} Style
 * @typedef {import("./sample.js").Grid & {coarse: Grid|null, field: Float32Array|null, lines: Map<string, number[]>}} CachedGrid
 *   coarse: its cells
 * @typedef {{title: string, note: string, text: string, kind: string, shape: number[], seen: number[], extent: number[],
 *   raw: number[]|null, cells: number[]|null, sides: string[]|null, unit?: string, own: number, shared: number|null}} MapHead  as Python
 *   packs it; own, shared: places in the list of grids
 * @typedef {Omit<MapHead, "own"|"shared"> & {own: CachedGrid, shared: CachedGrid|null}} HeatMap
 * @typedef {{settings: Style, lut: Uint8Array, dark: boolean, range: number[]|null, reach?: number|null, quick?: boolean}} Painted  range:
 *   raw, of all maps; reach: the largest raw value of all signed ones, whichever way; quick: the picture is being moved
 * @typedef {import("./canvas.js").Frame & {unit: number}} Frame  unit: canvas pixels in one of the screen
 * @typedef {import("./canvas.js").Picture} Picture @typedef {import("./sample.js").Grid} Grid
 * @typedef {{grid: CachedGrid, gain: number, offset: number}} Scaled
 */

/** Cells of the longer side of the field that lines are sought in. */
const FINE = 320;
const OVERLAY_LINES = [[0.5, 1.75], [0.8, 1.75]];
const CONTOUR_LINES = [[0.25, 0.9], [0.5, 1.4], [0.75, 2.2]];

/**
 * Create a map; what is derived from its values is kept from when it is first needed.
 * @param {MapHead} head @param {() => Uint16Array} values
 * @param {(() => Uint16Array)|null} shared the same on one scale with its like
 * @param {Grid|null} known its cells, where these are not made of the values
 * @returns {HeatMap}
 */
export function createMap(head, values, shared, known = null) {
  const { shape: [h, w], extent, kind, cells } = head;
  const grid = (/** @type {() => Uint16Array} */ given) => {
    let coarse = known;
    return {
      ...{ w, h, extent, kind, field: null, lines: new Map() },
      get values() {
        return given();
      },
      get coarse() {
        return (coarse ??= cells && cellsOf({ values: given(), w, h, extent, kind }, cells));
      },
    };
  };
  return { ...head, own: grid(values), shared: shared && grid(shared) };
}

/** Return the cells that a map is enlarged from; null: as it is. @param {CachedGrid} grid @param {number[]|null} cells */
function smoothOf(grid, cells) {
  return cells && 2 * cells[0] <= grid.h && 2 * cells[1] <= grid.w ? grid.coarse : null;
}

/**
 * Return the values that a map is shown by, and gain and offset to the chosen scale.
 * @param {HeatMap} map @param {Painted} style @returns {Scaled}
 */
export function scaling(map, { settings: { scale }, range, reach = null }) {
  const { own, shared, raw, kind } = map, plain = { grid: own, gain: 1, offset: 0 };
  if (scale !== "shared") return plain;
  if (shared) return { ...plain, grid: shared };
  if (kind === "signed") return { ...plain, gain: reach && raw ? raw[1] / reach : 1 };
  if (!range || !raw) return plain;
  const span = range[1] - range[0] || 1;
  return { grid: own, gain: (raw[1] - raw[0]) / span, offset: (raw[0] - range[0]) / span };
}

/**
 * Read a map at one point of the original: on the chosen scale, and the raw values at the ends of that scale.
 * @param {HeatMap} map @param {number[]} point @param {Painted} style @returns {import("../ui/viewer/settings.js").Reading}
 */
export function readingAt(map, [x, y], style) {
  const { grid, gain, offset } = scaling(map, style), { title, kind, raw, unit } = map, [low, high] = raw ?? [0, 0];
  const cells = style.settings.cells ? grid.coarse : null;
  const at = contains(map.seen, x, y) ? (cells ? valueAt(cells, x, y, nearest) : valueAt(grid, x, y)) : null;
  const ends = kind === "signed" ? [low / gain, high / gain] : [-offset, 1 - offset].map((end) => low + (end / gain) * (high - low));
  return {
    ...{ title, kind, unit, raw: raw && high > low ? ends : null },
    full: style.settings.scale !== "shared",
    value: at === null || kind === "difference" ? at : offset + gain * at,
  };
}

/** Return the lines of a mode, as [level of the scale, thickness]. @param {HeatMap} map @param {Style} settings */
function linesWanted(map, { mode, alpha, threshold, cells }) {
  if (mode === "contour") return CONTOUR_LINES;
  if (mode !== "overlay" || cells || map.kind === "difference" || alpha === 0) return [];
  return threshold > 0 ? [[threshold, OVERLAY_LINES[0][1]]] : OVERLAY_LINES;
}

/**
 * Return the segments of a level, signed for what has a sign, in original pixels.
 * @param {HeatMap} map @param {CachedGrid} grid @param {number} at @param {boolean} over an overlay, which leaves small regions out
 */
function segmentsOf(map, grid, at, over) {
  const key = `${at} ${over}`, cached = grid.lines.get(key);
  if (cached) return cached;
  const longest = Math.max(grid.w, grid.h), scale = longest < FINE / 2 || longest > FINE ? FINE / longest : 1;
  const w = Math.max(1, Math.round(grid.w * scale)), h = Math.max(1, Math.round(grid.h * scale));
  const smooth = smoothOf(grid, map.cells), unit = shares(grid.kind), out = new Float32Array(w * h);
  grid.field ??= smooth ? enlarge(smooth, grid.extent, w, h, unit, out) : resample(grid, grid.extent, w, h, unit, out);
  const side = at < 0 ? grid.field.map((v) => -v) : grid.field;
  const field = over ? withoutSmall(side, w, h, Math.abs(at), OVERLAY.region) : side;
  const [x0, y0, x1, y1] = grid.extent;
  // In a row: the ends of single segments take most of the time that a line does, and would break up dashes.
  const placed = chained(isolines(field, w, h, Math.abs(at))).map((v, i) => (i % 2 ? y0 + (v / h) * (y1 - y0) : x0 + (v / w) * (x1 - x0)));
  if (grid.lines.size > 24) grid.lines.clear();
  grid.lines.set(key, placed);
  return placed;
}

/**
 * Draw a map's lines, and a frame where the model did not see the whole picture.
 * @param {CanvasRenderingContext2D} context @param {HeatMap} map @param {Scaled} scaled @param {Style} settings @param {Frame} frame
 * @param {number[]} size of the original
 */
function drawLines(context, map, { grid, gain, offset }, settings, { width, height, rect, unit }, size) {
  const { X, Y } = placer(rect, width, height), gap = map.kind !== "heat", over = settings.mode === "overlay";
  context.lineCap = "round";
  if (settings.alpha > 0 && map.seen.join() !== [0, 0, ...size].join()) {
    const [x0, y0, x1, y1] = map.seen;
    for (const [path, thick, more] of frameOf([X(x0), Y(y0), X(x1), Y(y1)], unit)) haloed(context, path, thick, "#fff", unit, more);
  }
  for (const [standard, thick] of linesWanted(map, settings)) {
    const at = gap ? standard / gain : (standard - offset) / gain;
    if (!(at > 0 && at <= 1)) continue;
    for (const sign of gap ? [1, -1] : [1]) {
      context.setLineDash(sign < 0 && map.kind === "signed" ? [DASH * unit, DASH * unit] : []);
      haloed(context, pathOf(segmentsOf(map, grid, sign * at, over), X, Y), thick, "#fff", unit);
    }
  }
}

/**
 * Lay a share of the muted picture over a part of what is drawn, and darken it.
 * @param {CanvasRenderingContext2D} context @param {Path2D} part @param {HTMLCanvasElement|null} muted
 * @param {number} share @param {number} bright the share of its brightness that it keeps
 */
function fade(context, part, muted, share, bright) {
  context.save();
  context.clip(part, "evenodd");
  context.globalAlpha = share;
  if (muted) context.drawImage(muted, 0, 0);
  context.restore();
  context.fillStyle = `rgb(0 0 0 / ${1 - bright * OVERLAY.unseen})`;
  context.fill(part, "evenodd");
}

/**
 * Fill `out` (RGBA) with the picture, changed at each pixel by the table's entries of its level; red and blue at once.
 * @param {Int32Array} source as `Picture` has its pixels @param {Uint8Array} levels
 * @param {import("./table.js").Table} table @param {Int32Array} out
 */
export function colourise(source, levels, { keep, rest }, out) {
  for (let i = 0; i < out.length; i++) {
    const pixel = source[i];
    const level = levels[i];
    const kept = keep[level];
    const at = (level << 9) | ((pixel >>> 23) & 510);
    const red = ((Math.imul(pixel & 0xff00ff, kept) + rest[at]) >>> 8) & 0xff00ff;
    const green = (((pixel >>> 8) & 255) * kept + rest[at + 1]) & 0xff00;
    out[i] = 0xff000000 | red | green;
  }
}

/**
 * @typedef {{weights: Int32Array, pixels: Int32Array, canvas: HTMLCanvasElement|null, share: number, blended: Int32Array|null}} Muted
 *   canvas: from when it is first needed; blended: the picture under a `share` of the muted one
 */

/** Muted pictures by the pixels that they are of: all panels of a picture have one. @type {WeakMap<Int32Array, Muted>} */
const MUTED = new WeakMap();

/** Return the muted picture of pixels. @param {Int32Array} source @param {Int32Array} weights by hue */
function mutedOf(source, weights) {
  const known = MUTED.get(source);
  if (known?.weights === weights) return known;
  const muted = { weights, pixels: mute(source, weights), canvas: null, share: 0, blended: null };
  MUTED.set(source, muted);
  return muted;
}

/**
 * Return the pixels under a share of their muted ones, which stay for all panels.
 * @param {Int32Array} source @param {Muted} muted @param {number} share
 */
function blendOf(source, muted, share) {
  if (muted.blended && muted.share === share) return muted.blended;
  muted.share = share;
  muted.blended ??= new Int32Array(source.length);
  blend(source, muted.pixels, share, muted.blended);
  return muted.blended;
}

/** @param {Muted} muted @param {Frame} frame of these pixels */
function canvasOf(muted, { width, height }) {
  if (muted.canvas) return muted.canvas;
  const context = hiddenContext(true);
  resize(context.canvas, width, height);
  context.putImageData(new ImageData(new Uint8ClampedArray(/** @type {ArrayBuffer} */ (muted.pixels.buffer)), width), 0, 0);
  return (muted.canvas = context.canvas);
}

/** Weights by colormap. @type {Map<string, Int32Array>} */
const WEIGHTS = new Map();

/** @param {string} kind @param {Painted} style */
function weightsOf(kind, { settings: { colormap }, lut }) {
  if (kind !== "heat") return NO_HUE;
  const weights = WEIGHTS.get(colormap) ?? hueWeights(lut, colormap);
  WEIGHTS.set(colormap, weights);
  return weights;
}

/** The tables of a style by kinds of maps: all panels are drawn in one style. @type {WeakMap<Painted, Record<string, import("./table.js").Table|null>>} */
const TABLES = new WeakMap();

/** The levels of one panel, cached: most changes of a setting leave much as it is. */
export class Layer {
  #out = new ImageData(1, 1);
  /** @type {HeatMap|null} */
  #map = null;
  #key = "";
  #levels = new Uint8Array(0);

  /** @param {HeatMap} map @param {Scaled} scaled @param {boolean} cells @param {Frame} frame */
  #levelsOf(map, { grid, gain, offset }, cells, { width, height, rect }) {
    const key = [grid === map.shared, gain, offset, cells, width, height, ...rect].join();
    if (map === this.#map && key === this.#key) return this.#levels;
    [this.#map, this.#key] = [map, key];
    if (this.#levels.length !== width * height) this.#levels = new Uint8Array(width * height);
    // Of heat 0..255, of what has a sign 1..255 around 128.
    const range = map.kind === "heat" ? { times: gain / 257, plus: 255 * offset + 0.5, low: 0, high: 255 }
      : { times: (254 * gain) / 65535, plus: 127 * (1 - gain) + 1.5, low: 1, high: 255 };
    const out = this.#levels, smooth = smoothOf(grid, map.cells);
    if (cells && grid.coarse) return nearest(grid.coarse, rect, width, height, range, out);
    return smooth ? enlarge(smooth, rect, width, height, range, out) : resample(grid, rect, width, height, range, out);
  }

  /**
   * Fill the whole canvas with one panel. `map` null: the plain picture.
   * @param {CanvasRenderingContext2D} context @param {Pick<Picture, "at"|"pixels"|"size">} picture @param {HeatMap|null} map @param {Painted} style
   * @param {Frame} frame
   */
  paint(context, picture, map, style, frame) {
    const { settings, quick } = style, { width, height } = frame;
    context.drawImage(picture.at(frame, quick), 0, 0);
    if (!map || settings.mode === "picture") return;
    const [x0, y0, x1, y1] = inCanvas(map.seen, frame.rect, width, height), seen = new Path2D();
    seen.rect(x0, y0, x1 - x0, y1 - y0);
    const outside = new Path2D(seen);
    outside.rect(0, 0, width, height);
    const [share, bright] = fading(map.kind, settings), source = picture.pixels(frame, quick);
    const muted = share > 0 ? mutedOf(source, weightsOf(map.kind, style)) : null;
    const whole = x0 === 0 && y0 === 0 && x1 === width && y1 === height;
    context.save();
    if (!whole) fade(context, outside, muted && canvasOf(muted, frame), share, bright);
    context.clip(seen);
    const scaled = scaling(map, style), tables = TABLES.get(style) ?? {};
    const table = (tables[map.kind] ??= tableOf(map.kind, settings, style.lut, style.dark ? 48 : 228));
    TABLES.set(style, tables);
    if (table) {
      if (this.#out.width !== width || this.#out.height !== height) this.#out = new ImageData(width, height);
      const levels = this.#levelsOf(map, scaled, settings.cells, frame);
      const under = muted ? blendOf(source, muted, share) : source;
      const out = new Int32Array(this.#out.data.buffer, 4 * y0 * width, (y1 - y0) * width);
      colourise(under.subarray(y0 * width), levels.subarray(y0 * width), table, out);
      context.putImageData(this.#out, 0, 0, x0, y0, x1 - x0, y1 - y0);
    }
    drawLines(context, map, scaled, settings, frame, picture.size);
    context.restore();
  }
}
