// The photograph at a size and a place, read once for all panels, and where there is time a band at a time.

import { grey } from "./table.js";

/** @typedef {{bitmap: ImageBitmap, rect: number[]}} Detail  a part of the picture, finer than the whole */
/** @typedef {{source: Uint8ClampedArray<ArrayBuffer>, grey: () => Uint8ClampedArray}} Part  RGBA, rows from the top */

/** Pixels that are read, or put together, before the page is asked whether it has something else to do. */
const BAND = 2e5;

/** Rows of a band. @param {number} width */
export function bandOf(width) {
  return Math.max(1, Math.floor(BAND / width));
}

/** @param {ImageBitmap} bitmap @param {number[]} size of the original, which the bitmap may be a smaller copy of */
export function createPicture(bitmap, size) {
  const canvas = document.createElement("canvas");
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  /** @type {Detail|null} */
  let detail = null;
  let key = "", rows = 0;
  /** @type {Part} */
  let part = partOf(new Uint8ClampedArray(0));

  /** @param {Uint8ClampedArray<ArrayBuffer>} source @returns {Part} */
  function partOf(source) {
    /** @type {Uint8ClampedArray|null} */
    let gray = null;
    return { source, grey: () => (gray ??= grey(source)) };
  }

  /**
   * Reads on, to the row `until` at least.
   * @param {number} width @param {number} height @param {number[]} rect @param {boolean} quick @param {number} until
   */
  function read(width, height, rect, quick, until) {
    const wanted = [width, height, quick, ...rect].join();
    if (wanted !== key) {
      key = wanted;
      rows = 0;
    }
    if (rows && rows >= Math.min(until, height)) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.imageSmoothingQuality = quick ? "low" : "high";
    const last = Math.min(until, height), whole = rows === 0 && last === height;
    if (!whole) {
      // Of what is drawn as a whole only the band is worked out: its pixels are the same.
      context.save();
      context.beginPath();
      context.rect(0, rows, width, last - rows);
      context.clip();
    }
    place(bitmap, [0, 0, ...size], width, height, rect);
    if (detail) place(detail.bitmap, detail.rect, width, height, rect);
    if (!whole) context.restore();
    const found = context.getImageData(0, rows, width, last - rows).data;
    if (rows === 0) part = partOf(whole ? found : new Uint8ClampedArray(4 * width * height));
    if (!whole) part.source.set(found, 4 * width * rows);
    rows = last;
  }

  /** @param {ImageBitmap} from @param {number[]} covers @param {number} width @param {number} height @param {number[]} rect */
  function place(from, covers, width, height, rect) {
    const sx = from.width / (covers[2] - covers[0]), sy = from.height / (covers[3] - covers[1]);
    const across = rect[2] - rect[0], down = rect[3] - rect[1];
    context.imageSmoothingEnabled = width < 3 * across * sx;
    const x0 = Math.max(rect[0], covers[0]), y0 = Math.max(rect[1], covers[1]);
    const x1 = Math.min(rect[2], covers[2]), y1 = Math.min(rect[3], covers[3]);
    if (x1 <= x0 || y1 <= y0) return;
    const from_ = [(x0 - covers[0]) * sx, (y0 - covers[1]) * sy, (x1 - x0) * sx, (y1 - y0) * sy];
    const to = [((x0 - rect[0]) / across) * width, ((y0 - rect[1]) / down) * height];
    const extent = [((x1 - x0) / across) * width, ((y1 - y0) / down) * height];
    context.drawImage(from, from_[0], from_[1], from_[2], from_[3], to[0], to[1], extent[0], extent[1]);
  }

  return {
    bitmap,
    /** How many pixels there are of one of the original, in this rectangle. @param {number[]} rect */
    density(rect) {
      const [x0, y0, x1, y1] = detail?.rect ?? [0, 0, 0, 0];
      const inside = detail && rect[0] >= x0 - 1 && rect[1] >= y0 - 1 && rect[2] <= x1 + 1 && rect[3] <= y1 + 1;
      return inside && detail ? detail.bitmap.width / (x1 - x0) : bitmap.width / size[0];
    },
    /** @param {Detail} found takes the place of the one before, so that there is never more than one */
    refine(found) {
      detail?.bitmap.close();
      detail = found;
      key = "";
    },
    close() {
      bitmap.close();
      detail?.bitmap.close();
    },
    /**
     * Reads a band of what `at` is going to be asked for; whether all of it is there.
     * @param {number} width @param {number} height @param {number[]} rect @param {boolean} [quick]
     */
    ready(width, height, rect, quick = false) {
      const known = key === [width, height, quick, ...rect].join() ? rows : 0;
      read(width, height, rect, quick, known + bandOf(width));
      return rows === height;
    },
    /** @param {number} width @param {number} height @param {number[]} rect @param {boolean} [quick] while it moves */
    at(width, height, rect, quick = false) {
      read(width, height, rect, quick, height);
      return part;
    },
  };
}

/** @typedef {ReturnType<typeof createPicture>} Picture */
