// What is painted on a picture: marks, what stands in their place, and whether they hide or keep.

import { drawStroke, hiddenContext, resize } from "../../browser/canvas.js";

/**
 * @typedef {"brush"|"erase"|"rectangle"} Tool
 * @typedef {{kind: Tool, points: number[], size: number}} Mark  x, y, x, y, ... as shares of width and height: a path;
 *   two corners. `size`: as a share of the longer side
 * @typedef {"blur"|"grey"|"mean"} Fill
 * @typedef {{marks: Mark[], fill: Fill, keep: boolean}} Edit
 * @typedef {[number, number, number, number]} Corners  left, top, right, bottom
 * @typedef {{picture: CanvasImageSource, blur: CanvasImageSource|null, mean: number[]}} Sources
 */

export class Canvases {
  #mask = hiddenContext(false);
  #cover = hiddenContext(false);

  /**
   * Draw a picture after an edit.
   * @param {CanvasRenderingContext2D} paint @param {Sources} sources @param {Edit} edit
   */
  draw(paint, sources, edit) {
    const { width, height } = paint.canvas;
    paint.imageSmoothingQuality = "high";
    paint.drawImage(sources.picture, 0, 0, width, height);
    if (!edit.marks.length) return;
    for (const context of [this.#mask, this.#cover]) prepare(context, width, height);
    for (const mark of edit.marks) this.#applyMark(mark);
    if (edit.keep) composite(this.#mask, "source-out", () => this.#mask.fillRect(0, 0, width, height));
    this.#fill(sources, edit.fill);
    composite(this.#cover, "destination-in", () => this.#cover.drawImage(this.#mask.canvas, 0, 0));
    paint.drawImage(this.#cover.canvas, 0, 0);
  }

  /** @param {Mark} mark */
  #applyMark({ kind, points, size }) {
    const mask = this.#mask, thick = size * Math.max(mask.canvas.width, mask.canvas.height);
    if (kind === "brush") drawStroke(mask, points, thick);
    else if (kind === "erase") composite(mask, "destination-out", () => drawStroke(mask, points, thick));
    else {
      const { width, height } = mask.canvas, [left, top, right, bottom] = corners(points, false);
      mask.fillRect(left * width, top * height, (right - left) * width, (bottom - top) * height);
    }
  }

  /** @param {Sources} sources @param {Fill} fill */
  #fill({ blur, mean }, fill) {
    const cover = this.#cover, { width, height } = cover.canvas;
    if (fill === "blur" && blur) return cover.drawImage(blur, 0, 0, width, height);
    cover.fillStyle = fill === "mean" ? `rgb(${mean.join(" ")})` : "rgb(128 128 128)";
    cover.fillRect(0, 0, width, height);
  }
}

/** Clear a canvas, and take white paint. @param {CanvasRenderingContext2D} paint @param {number} width @param {number} height */
function prepare(paint, width, height) {
  resize(paint.canvas, width, height);
  paint.clearRect(0, 0, width, height);
  paint.fillStyle = paint.strokeStyle = "#fff";
  paint.imageSmoothingQuality = "high";
}

/** @param {CanvasRenderingContext2D} paint @param {GlobalCompositeOperation} operation @param {() => void} draw */
function composite(paint, operation, draw) {
  paint.globalCompositeOperation = operation;
  draw();
  paint.globalCompositeOperation = "source-over";
}

/** Least distance of two points of a path, as a share of the brush: closer ones change no pixel. */
const CLOSE = 0.12;
/** A rectangle narrower than this was a click. */
const SMALLEST = 0.004;

/** A hand with a tool in it: what it does between going down and up, whichever finger, mouse or key it is. */
export class Hand {
  /** The mark that is being made. @type {Mark | null} */
  mark = null;

  /** @param {Tool} kind @param {number} x @param {number} y @param {number} size */
  begin(kind, x, y, size) {
    const at = [rounded(x), rounded(y)];
    this.mark = { kind, points: kind === "rectangle" ? [...at, ...at] : at, size };
  }

  /** Return whether anything changed. @param {number} x @param {number} y */
  move(x, y) {
    const { mark } = this;
    if (!mark) return false;
    [x, y] = [rounded(x), rounded(y)];
    if (mark.kind === "rectangle") mark.points.splice(2, 2, x, y);
    else {
      const [lastX, lastY] = mark.points.slice(-2);
      if (Math.hypot(x - lastX, y - lastY) < CLOSE * mark.size) return false;
      mark.points.push(x, y);
    }
    return true;
  }

  /** Return the mark that was made, if it is one, and let go of it. */
  end() {
    const { mark } = this;
    this.mark = null;
    if (mark?.kind !== "rectangle") return mark;
    const [left, top, right, bottom] = corners(mark.points);
    return Math.min(right - left, bottom - top) < SMALLEST ? null : { ...mark, points: [left, top, right, bottom] };
  }
}

/** Return two corners as left, top, right and bottom. @param {number[]} points @param {boolean} [clip] to the picture @returns {Corners} */
export function corners([x0, y0, x1, y1], clip = true) {
  const [least, most] = clip ? [0, 1] : [-Infinity, Infinity];
  const at = (/** @type {number} */ share) => Math.max(least, Math.min(most, share));
  return [at(Math.min(x0, x1)), at(Math.min(y0, y1)), at(Math.max(x0, x1)), at(Math.max(y0, y1))];
}

/** Return a share for a message: near the picture, to a ten-thousandth of it. @param {number} share */
function rounded(share) {
  // Not -0, which JSON and tests tell from 0.
  return Math.round(Math.min(2, Math.max(-1, share)) * 1e4) / 1e4 + 0;
}

/** Describe what is on the picture, for a screen reader too. @param {Edit} edit */
export function describeEdit({ marks, keep }) {
  if (!marks.length) return "Nothing is painted yet.";
  return `${marks.length} ${marks.length === 1 ? "mark" : "marks"}${keep ? "; all else is hidden." : "."}`;
}
