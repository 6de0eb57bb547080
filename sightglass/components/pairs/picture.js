// One of two pictures on its canvas, under its own map, or under a map of what matches the cell pointed at in the other.

import { contextOf, haloed, layOut } from "../../browser/canvas.js";
import { isolines } from "../../browser/contour.js";
import { levelsAt } from "../../browser/sample.js";
import { blend, differenceTable, fade, FIRST, grey, overlayTable, SECOND } from "../../browser/table.js";

/**
 * @typedef {{down: number[], across: number[]}} Grid  edges of its rows and columns, in original pixels
 * @typedef {{scores: Float32Array, count: number[]}} Matrix  -1..1, a row for each cell of the first picture
 */

/** Return the interval between two edges that holds a value; the outer ones are open. @param {number[]} edges @param {number} at */
function between(edges, at) {
  let i = 0;
  while (i < edges.length - 2 && at >= edges[i + 1]) i++;
  return i;
}

/** @param {Grid} grid */
export function columnsOf({ across }) {
  return across.length - 1;
}

/** @param {Grid} grid @param {number} x @param {number} y original pixels @returns {number} row by row */
export function cellUnder(grid, x, y) {
  return between(grid.down, y) * columnsOf(grid) + between(grid.across, x);
}

/** @param {Grid} grid @param {number} cell @param {number[]} size @returns {number[]} xyxy within the picture */
export function cellBox(grid, cell, [width, height]) {
  const columns = columnsOf(grid), row = Math.floor(cell / columns), column = cell % columns;
  const within = (/** @type {number} */ v, /** @type {number} */ most) => Math.min(most, Math.max(0, v));
  return [
    within(grid.across[column], width), within(grid.down[row], height),
    within(grid.across[column + 1], width), within(grid.down[row + 1], height),
  ];
}

/** Return the cell beside one, or itself at the edge. @param {Grid} grid @param {number} cell @param {number} dx @param {number} dy */
export function beside(grid, cell, dx, dy) {
  const columns = columnsOf(grid), rows = grid.down.length - 1;
  const column = Math.min(columns - 1, Math.max(0, (cell % columns) + dx));
  const row = Math.min(rows - 1, Math.max(0, Math.floor(cell / columns) + dy));
  return row * columns + column;
}

/**
 * Return the similarity of every cell of the other picture to one of this.
 * @param {Matrix} matrix @param {number} side 0 or 1: whose cell it is @param {number} cell @returns {Float32Array}
 */
export function similarTo({ scores, count: [rows, columns] }, side, cell) {
  if (side === 0) return scores.subarray(cell * columns, (cell + 1) * columns);
  return Float32Array.from({ length: rows }, (_, i) => scores[i * columns + cell]);
}

/** @param {ArrayLike<number>} values @returns {number} the index of the largest */
export function best(values) {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[at]) at = i;
  return at;
}

/** Return what is above 0, its largest at 65535, as the viewer's maps are. @param {Float32Array} values */
export function asHeat(values) {
  const most = Math.max(1e-6, values[best(values)]);
  return Uint16Array.from(values, (value) => Math.round((65535 * Math.max(0, value)) / most));
}

/** Name the place of a box in the picture: "top left", "middle". @param {number[]} box @param {number[]} size */
export function placeOf([x0, y0, x1, y1], [width, height]) {
  const third = (/** @type {number} */ at, /** @type {string[]} */ names) => names[Math.min(2, Math.floor(3 * at))];
  const across = third((x0 + x1) / 2 / width, ["left", "", "right"]);
  const down = third((y0 + y1) / 2 / height, ["top", "", "bottom"]);
  return [down, across].filter(Boolean).join(" ") || "middle";
}

/**
 * Return the sizes of two canvases of equal height beside each other, or of equal width one above the other.
 * @param {number} room CSS pixels @param {number[]} aspects @param {number} maxHeight @param {boolean} stacked @param {number} gap
 */
export function sizes(room, aspects, maxHeight, stacked, gap) {
  if (stacked) {
    return aspects.map((aspect) => {
      const width = Math.min(room, maxHeight * aspect);
      return [Math.floor(width), Math.max(1, Math.round(width / aspect))];
    });
  }
  const height = Math.min(maxHeight, (room - gap) / (aspects[0] + aspects[1]));
  return aspects.map((aspect) => [Math.max(1, Math.floor(height * aspect)), Math.max(1, Math.round(height))]);
}

/**
 * Return points of a line whose pieces come in no order, as pieces without length: at most one in each square of `step`.
 * @param {number[]} segments x0, y0, x1, y1 of each piece @param {number} step @returns {number[]}
 */
export function dots(segments, step) {
  const found = /** @type {number[]} */ ([]), taken = new Set();
  for (let i = 0; i < segments.length; i += 4) {
    const [x, y] = [segments[i], segments[i + 1]], square = `${Math.floor(x / step)} ${Math.floor(y / step)}`;
    if (!taken.has(square)) found.push(x, y, x, y);
    taken.add(square);
  }
  return found;
}

/**
 * @typedef {import("../../browser/table.js").Table} Table
 * @typedef {{name: string, note: string, text: string, size: number[], seen: number[], extent: number[], shape: number[],
 *   down: number[], across: number[]}} PictureHead  down, across: edges of its cells
 * @typedef {{mode: string, alpha: number, lines: boolean}} PairSettings
 */

/** Share of the scale that an outline surrounds. */
const LEVEL = 0.3;
/** CSS pixels from one dot of a dotted line to the next, about. */
const STEP = 7;

/** Keep only what is above 0: a table without its lower half. @param {Table} table */
function upperHalf({ K, A }) {
  K.fill(1, 0, 128);
  A.fill(0, 0, 3 * 128);
  return { K, A };
}

/** Make low values as faint as in the viewer: opacity with the power 1.2 and not 0.6. @param {Table} table */
function softened({ K, A }) {
  for (let i = 0; i < 256; i++) {
    const by = Math.min(Math.abs(i - 128) / 127, 1) ** 0.6;
    K[i] = 1 - (1 - K[i]) * by;
    for (let c = 0; c < 3; c++) A[3 * i + c] *= by;
  }
  return { K, A };
}

export class PairPicture {
  /** @type {Uint8ClampedArray|null} RGBA of the canvas without a map */
  #source = null;
  /** @type {Uint8ClampedArray|null} the same in grey */
  #grey = null;
  /** @type {import("../../browser/sample.js").Grid|null} how well each cell matches the one pointed at in the other picture */
  heat = null;

  /** @param {PictureHead} head @param {Uint16Array} values @param {ImageBitmap} bitmap @param {HTMLCanvasElement} canvas */
  constructor(head, values, bitmap, canvas) {
    this.head = head;
    /** Nothing to draw: 0 is the middle of the scale. */
    this.empty = values.every((v) => v === 32767 || v === 32768);
    this.map = { values, w: head.shape[1], h: head.shape[0], extent: head.extent, kind: "difference" };
    this.bitmap = bitmap;
    this.canvas = canvas;
  }

  get ready() {
    return this.#source !== null;
  }

  /** @param {number} width @param {number} height CSS pixels */
  resize(width, height) {
    if (!layOut(this.canvas, width, height) && this.#source) return;
    const context = contextOf(this.canvas, true), { canvas: { width: w, height: h } } = context;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.bitmap, 0, 0, w, h);
    this.#source = context.getImageData(0, 0, w, h).data;
    this.#grey = null;
  }

  /** @param {PairSettings} settings @param {Uint8Array} lut @param {boolean} dark */
  paint({ mode, alpha }, lut, dark) {
    const { canvas, head, heat } = this, { width, height } = canvas, [w, h] = head.size;
    const source = /** @type {Uint8ClampedArray} */ (this.#source), out = new ImageData(width, height);
    const plain = mode === "picture" || mode === "lines" || this.empty;
    if (plain && !heat) out.data.set(source);
    else {
      const opacity = { alpha: heat ? Math.max(0.6, alpha) : alpha, even: false, threshold: 0 };
      let table = heat ? overlayTable(lut, opacity) : softened(differenceTable(opacity));
      if (!heat && mode === "upper") table = upperHalf(table);
      const under = heat ? source : (this.#grey ??= grey(source)), levels = new Uint8Array(width * height);
      const seen = head.seen.map((v, i) => Math.round(v * (i % 2 ? height / h : width / w)));
      fade(out.data, source, width, seen, dark ? 20 : 255);
      blend(out.data, under, levelsAt(heat ?? this.map, [0, 0, w, h], width, height, 1, 0, levels), table, width, seen);
    }
    const context = contextOf(canvas);
    context.putImageData(out, 0, 0);
    if (mode === "lines" && !heat && !this.empty) this.#outline(context, alpha);
  }

  /**
   * Surround what makes the two similar, and with dotted lines what makes them differ; the picture keeps its colours.
   * @param {CanvasRenderingContext2D} context @param {number} alpha
   */
  #outline(context, alpha) {
    const { w, h, extent: [x0, y0, x1, y1], values } = this.map, { width, height } = this.canvas;
    const [across, down] = [width / this.head.size[0], height / this.head.size[1]];
    const unit = width / parseFloat(this.canvas.style.width);
    for (const [sign, rgb] of /** @type {[number, number[]][]} */ ([[1, FIRST], [-1, SECOND]])) {
      const path = new Path2D(), found = isolines(Float32Array.from(values, (v) => sign * (v / 32767.5 - 1)), w, h, LEVEL);
      const at = found.map((v, i) => (i % 2 ? (y0 + (v / h) * (y1 - y0)) * down : (x0 + (v / w) * (x1 - x0)) * across));
      // A dot is a line from a point to itself.
      const pieces = sign > 0 ? at : dots(at, STEP * unit);
      for (let i = 0; i < pieces.length; i += 4) {
        path.moveTo(pieces[i], pieces[i + 1]);
        path.lineTo(pieces[i + 2], pieces[i + 3]);
      }
      const thick = sign > 0 ? 2.5 : 3.5;
      Object.assign(context, { lineCap: "round", globalAlpha: alpha });
      haloed(context, path, thick * unit, (5 - thick) * unit, `rgb(${rgb.join(" ")})`, "#fff");
      context.globalAlpha = 1;
    }
  }
}
