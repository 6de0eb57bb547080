// Draw the pixels of one panel, without the page: canvas, rectangle and settings in, picture out.

import { overlayTable, mapTable, spotlightTable, differenceTable, differenceMapTable } from "./table.js";
import { differenceSpotlightTable, signedTable, signedMapTable, inverted, blend, dim } from "./table.js";
import { OVERLAY } from "../common/style.js";
import { bandOf } from "./picture.js";
import { contains, inCanvas } from "./geometry.js";
import { resample, levelsAt, nearest, level, cellsOf, enlarge, valueAt } from "./sample.js";
import { DASH, chained, cover, dashes, frameOf, isolines, planes, stroke, withoutSmall } from "./contour.js";

/**
 * @typedef {import("../common/style.js").Style} Style
 * @typedef {import("./sample.js").Grid & {coarse: import("./sample.js").Grid|null, smooth: import("./sample.js").Grid|null, field: Float32Array|null,
 *   lines: Map<string, number[]>, peak: number}} CachedGrid
 * @typedef {{title: string, note: string, text: string, kind: string, shape: number[], seen: number[], extent: number[],
 *   raw: number[]|null, cells: number[]|null, sides: string[]|null, unit?: string, own: number, shared: number|null}} MapHead  as Python
 *   packs it; own, shared: places in the list of grids
 * @typedef {Omit<MapHead, "own"|"shared"> & {own: CachedGrid, shared: CachedGrid|null}} HeatMap
 * @typedef {{settings: Style, lut: Uint8Array, dark: boolean, range: number[]|null, reach?: number|null, quick?: boolean}} Painted  range:
 *   raw, of all maps; reach: the largest raw value of all signed ones, whichever way; quick: the picture is being moved
 * @typedef {import("./picture.js").Frame & {unit: number}} Frame  unit: canvas pixels in one of the screen
 * @typedef {{grid: CachedGrid, gain: number, offset: number}} Scaled
 * @typedef {import("./picture.js").Picture} Picture
 */

const FINE = 320;
const OVERLAY_LINES = [[0.5, 1.5]];
const CONTOUR_LINES = [[0.25, 0.9], [0.5, 1.4], [0.75, 2.2]];

/**
 * Create a map that caches what is derived from it when it is first needed: its cells, its lines, its maximum.
 * @param {MapHead} head @param {() => Uint16Array} values
 * @param {(() => Uint16Array)|null} shared the same on one scale with its like
 * @returns {HeatMap}
 */
export function createMap(head, values, shared) {
  const grid = (/** @type {() => Uint16Array} */ given) => {
    const { shape, extent, kind, cells } = head;
    /** @type {number|null} */
    let peak = null;
    /** @type {import("./sample.js").Grid|null} */
    let smooth = null;
    const enlarged = cells && 2 * cells[0] <= shape[0] && 2 * cells[1] <= shape[1];
    return {
      get values() {
        return given();
      },
      get peak() {
        const strength = (/** @type {number} */ value) => (kind === "signed" ? Math.abs(2 * value - 65535) : value);
        return (peak ??= given().reduce((most, value) => Math.max(most, strength(value)), 0));
      },
      get smooth() {
        return (smooth ??= enlarged ? cellsOf(/** @type {import("./sample.js").Grid} */ ({ values: given(), w: shape[1], h: shape[0], extent, kind }), cells) : null);
      },
      w: shape[1],
      h: shape[0],
      extent,
      kind,
      coarse: null,
      field: null,
      lines: new Map(),
    };
  };
  return { ...head, own: grid(values), shared: shared && grid(shared) };
}

/**
 * Return the values that a map is shown by, and gain and offset to the chosen scale.
 * @param {HeatMap} map @param {Style} settings @param {number[]|null} range @param {number|null} [reach] @returns {Scaled}
 */
export function scaling(map, { scale, top }, range, reach = null) {
  if (scale === "shared" && map.shared) return { grid: map.shared, gain: 1, offset: 0 };
  if (map.kind === "signed") {
    const widest = scale === "fixed" ? top : scale === "shared" ? reach : null;
    return { grid: map.own, gain: widest && map.raw ? map.raw[1] / widest : 1, offset: 0 };
  }
  const wanted = scale === "fixed" ? [0, top] : scale === "shared" ? range : null;
  if (!wanted || !map.raw) return { grid: map.own, gain: 1, offset: 0 };
  const [low, high] = map.raw, span = wanted[1] - wanted[0] || 1;
  return { grid: map.own, gain: (high - low) / span, offset: (low - wanted[0]) / span };
}

/**
 * Read a map at one point of the original: on the chosen scale, and the raw values at the ends of that scale.
 * @param {HeatMap} map @param {number[]} point @param {Painted} style @returns {import("../components/viewer/settings.js").Reading}
 */
export function readingAt(map, [x, y], { settings, range, reach }) {
  const { grid, gain, offset } = scaling(map, settings, range, reach), { title, kind, raw, unit } = map, [low, high] = raw ?? [0, 0];
  const at = contains(map.seen, x, y) ? (settings.cells && map.cells ? cellAt(grid, map.cells, x, y) : valueAt(grid, x, y)) : null;
  return {
    title,
    kind,
    unit,
    raw: raw && high > low && kind === "signed" ? [low / gain, high / gain] : raw && high > low ? [-offset, 1 - offset].map((end) => low + (end / gain) * (high - low)) : null,
    full: offset + gain * (grid.peak / 65535) > 0.995 && settings.scale !== "fixed",
    value: at === null || kind === "difference" ? at : offset + gain * at,
  };
}

/** Return the maximum on the chosen scale. @param {HeatMap} map @param {Painted} style */
export function peakOf(map, { settings, range, reach }) {
  const { grid, gain, offset } = scaling(map, settings, range, reach);
  return offset + (gain * grid.peak) / 65535;
}

/** @param {CachedGrid} grid @param {number[]} cells */
function coarseOf(grid, cells) {
  return (grid.coarse ??= cellsOf(/** @type {import("./sample.js").Grid} */ (grid), cells));
}

/** Return the value of a true cell, 0..1, with a sign -1..1. @param {CachedGrid} grid @param {number[]} cells @param {number} x @param {number} y */
function cellAt(grid, cells, x, y) {
  const { values, w, h, extent: [x0, y0, x1, y1] } = coarseOf(grid, cells);
  const column = Math.min(w - 1, Math.max(0, Math.floor(((x - x0) / (x1 - x0)) * w)));
  const row = Math.min(h - 1, Math.max(0, Math.floor(((y - y0) / (y1 - y0)) * h)));
  const value = values[row * w + column] / 65535;
  return grid.kind === "heat" ? value : 2 * value - 1;
}

/** @param {string} kind @param {Painted} style @returns {import("./table.js").Table|null} */
function tableOf(kind, { settings: { mode, alpha, even, threshold, invert }, lut, dark }) {
  const ground = dark ? 48 : 228, gap = kind !== "heat";
  /** @type {import("./table.js").Table|null} */
  let table = null;
  if (kind === "signed" && mode === "overlay") return signedTable({ alpha, even, threshold }, ground);
  if (kind === "signed" && mode === "map") return signedMapTable(threshold, ground);
  if (mode === "overlay") table = (gap ? differenceTable : overlayTable.bind(null, lut))({ alpha, even, threshold });
  if (mode === "map") table = gap ? differenceMapTable(threshold, ground) : mapTable(lut, threshold, ground);
  if (mode === "spotlight") table = (gap ? differenceSpotlightTable : spotlightTable)(alpha, threshold);
  return table && invert && kind !== "signed" ? inverted(table, kind) : table;
}

/**
 * Copy the plain picture within a rectangle.
 * @param {Uint8ClampedArray} out @param {Uint8ClampedArray} source @param {number} width @param {number[]} within
 */
function copy(out, source, width, [x0, y0, x1, y1]) {
  for (let y = y0; y < y1; y++) {
    const from = 4 * (y * width + x0);
    out.set(source.subarray(from, 4 * (y * width + x1)), from);
  }
}

/** Return the lines of a mode, as [level of the scale, thickness]. @param {HeatMap} map @param {Style} settings */
function linesWanted(map, { mode, alpha, threshold, cells }) {
  if (mode === "contour") return CONTOUR_LINES;
  if (mode !== "overlay" || cells || map.kind === "difference" || alpha === 0) return [];
  return threshold > 0 ? [[threshold, OVERLAY_LINES[0][1]]] : OVERLAY_LINES;
}

/**
 * Return the segments of a level, signed for what has a sign, in original pixels; of what lowers in a row.
 * @param {CachedGrid} grid @param {number} at @param {boolean} over an overlay, which leaves small regions out
 */
function segmentsOf(grid, at, over) {
  const key = `${at} ${over}`, cached = grid.lines.get(key);
  if (cached) return cached;
  const longest = Math.max(grid.w, grid.h), scale = longest < FINE / 2 || longest > FINE ? FINE / longest : 1;
  const w = Math.max(1, Math.round(grid.w * scale)), h = Math.max(1, Math.round(grid.h * scale));
  const share = grid.kind !== "heat" ? (/** @type {number} */ v) => v / 32767.5 - 1 : (/** @type {number} */ v) => v / 65535;
  const [times, plus] = grid.kind !== "heat" ? [1 / 32767.5, -1] : [1 / 65535, 0], out = new Float32Array(w * h);
  grid.field ??= grid.smooth ? enlarge(grid.smooth, grid.extent, w, h, times, plus, plus, 1, out) : resample(grid, grid.extent, w, h, share, out);
  const side = at < 0 ? grid.field.map((v) => -v) : grid.field;
  const field = over ? withoutSmall(side, w, h, Math.abs(at), OVERLAY.region) : side;
  const [x0, y0, x1, y1] = grid.extent;
  const lines = isolines(field, w, h, Math.abs(at)), found = at < 0 && grid.kind === "signed" ? chained(lines) : lines;
  const placed = found.map((v, i) => (i % 2 ? y0 + (v / h) * (y1 - y0) : x0 + (v / w) * (x1 - x0)));
  if (grid.lines.size > 24) grid.lines.clear();
  grid.lines.set(key, placed);
  return placed;
}

/** The levels, lines and pixels of one panel, cached: most changes of a setting leave much as it is. */
export class Layer {
  /** @type {ImageData|null} */
  #out = null;
  /** The picture that `#out` has outside of what the model saw; null if that must be drawn anew. @type {object|null} */
  #part = null;
  #outside = "";
  /** The same of the canvas. @type {object|null} */
  #put = null;
  #key = "";
  #levels = new Uint8Array(0);
  #linesKey = "";
  /** @type {import("./contour.js").Planes|null} */
  #lines = null;
  /** Width and height of the original. */
  #size = [0, 0];

  /** Reuse the memory for another map. */
  clear() {
    this.#part = this.#put = null;
    this.#key = this.#linesKey = "";
    return this;
  }

  /** @param {HeatMap} map @param {Scaled} scaled @param {boolean} cells @param {Frame} frame */
  #levelsOf(map, { grid, gain, offset }, cells, { width, height, rect }) {
    const key = [grid === map.shared, gain, offset, cells, width, height, ...rect].join();
    if (key === this.#key) return this.#levels;
    this.#key = key;
    if (this.#levels.length !== width * height) this.#levels = new Uint8Array(width * height);
    if (!cells || !map.cells) return levelsAt(grid, rect, width, height, gain, offset, this.#levels, grid.smooth);
    return nearest(coarseOf(grid, map.cells), rect, width, height, level(map.kind, gain, offset), this.#levels);
  }

  /** @param {HeatMap} map @param {Scaled} scaled @param {Style} settings @param {Frame} frame */
  #linesOf(map, { grid, gain, offset }, settings, { width, height, rect, unit }) {
    const wanted = linesWanted(map, settings), sx = width / (rect[2] - rect[0]), sy = height / (rect[3] - rect[1]);
    const seen = map.seen.map((at, i) => (i % 2 ? (at - rect[1]) * sy : (at - rect[0]) * sx));
    const framed = settings.alpha > 0 && map.seen.join() !== [0, 0, ...this.#size].join();
    if (!wanted.length && !framed) return null;
    const key = [grid === map.shared, gain, offset, settings.invert, width, height, unit, framed, ...rect, ...wanted.flat()].join();
    if (key === this.#linesKey) return this.#lines;
    this.#linesKey = key;
    const lines = (this.#lines = planes(width, height, this.#lines));
    const gap = map.kind !== "heat", over = settings.mode === "overlay";
    for (const [sides, thick, more] of framed ? frameOf(seen, unit) : []) cover(lines, width, height, sides, thick * unit, unit, more);
    for (const [standard, thick] of wanted) {
      const at = gap ? standard / gain : ((settings.invert ? 1 - standard : standard) - offset) / gain;
      if (!(at > 0 && at <= 1)) continue;
      for (const sign of gap ? [1, -1] : [1]) {
        const placed = segmentsOf(grid, sign * at, over).map((v, i) => (i % 2 ? (v - rect[1]) * sy : (v - rect[0]) * sx));
        const drawn = sign < 0 && map.kind === "signed" ? dashes(placed, DASH * unit) : placed;
        cover(lines, width, height, drawn, thick * unit, unit);
      }
    }
    return lines;
  }

  /**
   * Take all but the last step of `paint`, a part at a time, so that another frame may go on; return what `paint` then takes.
   * @param {Picture} picture @param {HeatMap|null} map @param {Painted} style @param {Frame} frame
   */
  *prepare(picture, map, style, frame) {
    const { settings, quick } = style, { width, height } = frame;
    while (!picture.ready(frame, quick)) yield;
    if (!map || settings.mode === "picture") return null;
    this.#size = picture.size;
    yield;
    const scaled = scaling(map, settings, style.range, style.reach);
    if (settings.mode !== "contour") this.#levelsOf(map, scaled, settings.cells, frame);
    yield;
    this.#linesOf(map, scaled, settings, frame);
    const part = picture.at(frame, quick), rows = bandOf(width);
    for (let y = 0; y < height; y += rows) {
      yield;
      this.#compose(part, map, style, frame, y, Math.min(height, y + rows));
    }
    return part;
  }

  /**
   * Draw some rows of a panel with a map; the last of them complete it.
   * @param {import("./picture.js").Part} part @param {HeatMap} map @param {Painted} style @param {Frame} frame
   * @param {number} from @param {number} to row
   */
  #compose(part, map, style, frame, from, to) {
    const { settings } = style, { width, height } = frame;
    const whole = inCanvas(map.seen, frame.rect, width, height), outside = whole.join();
    if (this.#out?.width !== width || this.#out.height !== height) {
      this.#out = new ImageData(width, height);
      this.#part = this.#put = null;
    }
    const { data } = this.#out, swiped = settings.layout === "swipe";
    if (swiped || this.#part !== part || this.#outside !== outside) {
      this.#part = this.#put = null;
      dim(data, part.source, width, whole, [from, to]);
    }
    const seen = [whole[0], Math.max(from, whole[1]), whole[2], Math.min(to, whole[3])];
    const scaled = scaling(map, settings, style.range, style.reach), table = tableOf(map.kind, style);
    if (!table) copy(data, part.source, width, seen);
    else {
      const greyed = map.kind !== "heat" && settings.mode === "overlay" && settings.alpha > 0;
      const under = greyed ? part.grey() : part.source;
      blend(data, under, this.#levelsOf(map, scaled, settings.cells, frame), table, width, seen);
    }
    const lines = this.#linesOf(map, scaled, settings, frame);
    if (lines) stroke(data, width, lines, seen);
    // Left of the divider is the plain picture.
    const divider = Math.min(width, Math.max(0, Math.ceil(settings.split * width - 0.5)));
    if (swiped) copy(data, part.source, width, [0, from, divider, to]);
    if (to < height) return;
    this.#part = swiped ? null : part;
    this.#outside = outside;
  }

  /**
   * Fill the whole canvas with one panel. `map` null: the plain picture.
   * @param {CanvasRenderingContext2D} context @param {Picture} picture @param {HeatMap|null} map @param {Painted} style
   * @param {Frame} frame
   * @param {import("./picture.js").Part|null} [made] what `prepare` returned for the same arguments, with nothing painted since
   */
  paint(context, picture, map, style, frame, made = null) {
    const { width, height, rect } = frame, part = picture.at(frame, style.quick);
    if (!map || style.settings.mode === "picture") {
      context.putImageData(new ImageData(part.source, width, height), 0, 0);
      this.#part = this.#put = null;
      return;
    }
    this.#size = picture.size;
    if (made !== part) this.#compose(part, map, style, frame, 0, height);
    // What the model did not see may be on the canvas already.
    const seen = inCanvas(map.seen, rect, width, height), done = this.#put === part && this.#part === part;
    const [x, y, right, bottom] = done ? seen : [0, 0, width, height];
    context.putImageData(/** @type {ImageData} */ (this.#out), 0, 0, x, y, right - x, bottom - y);
    this.#put = this.#part;
  }
}
