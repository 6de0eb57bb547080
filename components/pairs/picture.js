// One of two pictures on its canvas, under its own map, or under a map of what matches the cell pointed at in the other.

import { levelsAt } from "../viewer/sample.js";
import { blend, differenceTable, fade, grey, overlayTable } from "../viewer/table.js";

/**
 * @typedef {import("../viewer/sample.js").Grid} Grid @typedef {import("../viewer/table.js").Table} Table
 * @typedef {{name: string, note: string, text: string, size: number[], seen: number[], extent: number[], shape: number[],
 *   down: number[], across: number[]}} PictureHead  down, across: edges of its cells
 * @typedef {{mode: string, alpha: number, lines: boolean}} PairSettings
 */

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
  /** @type {Grid|null} how well each cell matches the one pointed at in the other picture */
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
    const { canvas } = this, scale = Math.min(2, devicePixelRatio || 1);
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width === w && canvas.height === h && this.#source) return;
    Object.assign(canvas, { width: w, height: h });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
    context.imageSmoothingQuality = "high";
    context.drawImage(this.bitmap, 0, 0, w, h);
    this.#source = context.getImageData(0, 0, w, h).data;
    this.#grey = null;
  }

  /** @param {PairSettings} settings @param {Uint8Array} lut @param {boolean} dark */
  paint({ mode, alpha }, lut, dark) {
    const { canvas, head, heat } = this, { width, height } = canvas, [w, h] = head.size;
    const source = /** @type {Uint8ClampedArray} */ (this.#source), out = new ImageData(width, height);
    if ((mode === "picture" || this.empty) && !heat) out.data.set(source);
    else {
      const opacity = { alpha: heat ? Math.max(0.6, alpha) : alpha, even: false, threshold: 0 };
      let table = heat ? overlayTable(lut, opacity) : softened(differenceTable(opacity));
      if (!heat && mode === "upper") table = upperHalf(table);
      const under = heat ? source : (this.#grey ??= grey(source)), levels = new Uint8Array(width * height);
      const seen = head.seen.map((v, i) => Math.round(v * (i % 2 ? height / h : width / w)));
      fade(out.data, source, width, seen, dark ? 20 : 255);
      blend(out.data, under, levelsAt(heat ?? this.map, [0, 0, w, h], width, height, 1, 0, levels), table, width, seen);
    }
    /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(out, 0, 0);
  }
}
