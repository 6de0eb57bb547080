// Read a part of the picture at a size, once for all panels.

import { hiddenContext, resize } from "./canvas.js";
import { grey } from "./table.js";

/** @typedef {{bitmap: ImageBitmap, rect: number[]}} Detail  a part of the picture, finer than the whole */
/** @typedef {{width: number, height: number, rect: number[]}} Frame  canvas pixels, and what they show in original pixels */
/** @typedef {{source: Uint8ClampedArray<ArrayBuffer>, grey: () => Uint8ClampedArray}} Part  RGBA, rows from the top */

/** @param {Uint8ClampedArray<ArrayBuffer>} source @returns {Part} */
function partOf(source) {
  /** @type {Uint8ClampedArray|null} */
  let gray = null;
  return { source, grey: () => (gray ??= grey(source)) };
}

export class Picture {
  #context = hiddenContext(1, 1, true);
  /** @type {Detail|null} */
  #detail = null;
  #key = "";
  #part = partOf(new Uint8ClampedArray(0));

  /** @param {ImageBitmap} bitmap @param {number[]} size of the original, which the bitmap may be a smaller copy of */
  constructor(bitmap, size) {
    this.bitmap = bitmap;
    this.size = size;
  }

  /** Return how many pixels there are of one of the original, in this rectangle. @param {number[]} rect */
  density(rect) {
    const [x0, y0, x1, y1] = this.#detail?.rect ?? [0, 0, 0, 0];
    const inside = rect[0] >= x0 - 1 && rect[1] >= y0 - 1 && rect[2] <= x1 + 1 && rect[3] <= y1 + 1;
    return inside && this.#detail ? this.#detail.bitmap.width / (x1 - x0) : this.bitmap.width / this.size[0];
  }

  /** Take a finer part instead of the one before, so that there is never more than one. @param {Detail} detail */
  refine(detail) {
    this.#detail?.bitmap.close();
    this.#detail = detail;
    this.#key = "";
  }

  close() {
    this.bitmap.close();
    this.#detail?.bitmap.close();
  }

  /** @param {Frame} frame @param {boolean} [quick] while it moves */
  at(frame, quick = false) {
    const { width, height, rect } = frame, key = [width, height, quick, ...rect].join(), context = this.#context;
    if (key === this.#key) return this.#part;
    this.#key = key;
    resize(context.canvas, width, height);
    context.imageSmoothingQuality = quick ? "low" : "high";
    this.#place(this.bitmap, [0, 0, ...this.size], frame);
    if (this.#detail) this.#place(this.#detail.bitmap, this.#detail.rect, frame);
    return (this.#part = partOf(context.getImageData(0, 0, width, height).data));
  }

  /** @param {ImageBitmap} from @param {number[]} covers @param {Frame} frame */
  #place(from, covers, { width, height, rect }) {
    const sx = from.width / (covers[2] - covers[0]), sy = from.height / (covers[3] - covers[1]);
    const across = rect[2] - rect[0], down = rect[3] - rect[1], context = this.#context;
    context.imageSmoothingEnabled = width < 3 * across * sx;
    const x0 = Math.max(rect[0], covers[0]), y0 = Math.max(rect[1], covers[1]);
    const x1 = Math.min(rect[2], covers[2]), y1 = Math.min(rect[3], covers[3]);
    if (x1 <= x0 || y1 <= y0) return;
    const sourceX = (x0 - covers[0]) * sx, sourceY = (y0 - covers[1]) * sy;
    const x = ((x0 - rect[0]) / across) * width, y = ((y0 - rect[1]) / down) * height;
    const w = ((x1 - x0) / across) * width, h = ((y1 - y0) / down) * height;
    context.drawImage(from, sourceX, sourceY, (x1 - x0) * sx, (y1 - y0) * sy, x, y, w, h);
  }
}
