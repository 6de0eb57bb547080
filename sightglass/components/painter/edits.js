// What is painted on a picture: marks, what stands in their place, and whether they hide or keep. Every step can be undone.

import { drawStroke, hiddenContext, resize } from "../../browser/canvas.js";
import { Steps } from "../../browser/hands.js";

/**
 * @typedef {"brush"|"erase"|"rectangle"|"patch"} Tool
 * @typedef {{kind: Tool|"area", points: number[], size: number}} Mark  x, y, x, y, ... as shares of width and height: a path;
 *   two corners; two corners of a patch and the top left of where it goes; two corners of each rectangle of an area.
 *   `size`: as a share of the longer side
 * @typedef {"blur"|"grey"|"mean"|"linear"} Fill
 * @typedef {{marks: Mark[], fill: Fill, keep: boolean}} Edit
 * @typedef {[number, number, number, number]} Corners  left, top, right, bottom
 * @typedef {{picture: CanvasImageSource, blur: CanvasImageSource|null, mean: number[]}} Sources
 */

export class Canvases {
  #source = hiddenContext(1, 1, false);
  #mask = hiddenContext(1, 1, false);
  #cover = hiddenContext(1, 1, false);
  #small = hiddenContext(1, 1, false);

  /**
   * Draw a picture after an edit.
   * @param {CanvasRenderingContext2D} paint @param {Sources} sources @param {Edit} edit
   */
  draw(paint, sources, edit) {
    const { width, height } = paint.canvas;
    for (const context of [this.#source, this.#mask, this.#cover]) begin(context, width, height);
    this.#source.drawImage(sources.picture, 0, 0, width, height);
    let something = false;
    for (const mark of edit.marks) something = this.#take(mark, sources, edit.keep) || something;
    paint.globalCompositeOperation = "source-over";
    paint.drawImage(this.#source.canvas, 0, 0);
    if (!something) return;
    if (edit.keep) composite(this.#mask, "source-out", () => this.#mask.fillRect(0, 0, width, height));
    this.#fill(sources, edit.fill);
    composite(this.#cover, "destination-in", () => this.#cover.drawImage(this.#mask.canvas, 0, 0));
    paint.drawImage(this.#cover.canvas, 0, 0);
  }

  /** Draw one mark; return whether it leaves anything on the mask. @param {Mark} mark @param {Sources} sources @param {boolean} keep */
  #take({ kind, points, size }, { picture }, keep) {
    const mask = this.#mask, cover = this.#cover, { width, height } = mask.canvas;
    const [x0, y0, x1, y1, x, y] = points.map((share, i) => share * (i % 2 ? height : width));
    if (kind === "brush") drawStroke(mask, points, size * Math.max(width, height));
    else if (kind === "erase") composite(mask, "destination-out", () => drawStroke(mask, points, size * Math.max(width, height)));
    else if (kind !== "patch") fillRectangles(mask, points);
    else {
      // From the picture at the size of the canvas, not from what was painted on it.
      cover.drawImage(picture, 0, 0, width, height);
      this.#source.drawImage(cover.canvas, x0, y0, x1 - x0, y1 - y0, x, y, x1 - x0, y1 - y0);
      mask[keep ? "fillRect" : "clearRect"](x, y, x1 - x0, y1 - y0);
      return keep;
    }
    return true;
  }

  /** @param {Sources} sources @param {Fill} fill */
  #fill({ blur, mean }, fill) {
    const cover = this.#cover, { width, height } = cover.canvas;
    if (fill === "linear") return this.#infill();
    if (fill === "blur" && blur) return cover.drawImage(blur, 0, 0, width, height);
    cover.fillStyle = fill === "mean" ? `rgb(${mean.join(" ")})` : "rgb(128 128 128)";
    cover.fillRect(0, 0, width, height);
  }

  /** Fill holes with the colours around them: with ever smaller pictures of what is not hidden, the coarsest at the bottom. */
  #infill() {
    const cover = this.#cover, small = this.#small, { width, height } = cover.canvas;
    cover.drawImage(this.#source.canvas, 0, 0);
    composite(cover, "destination-out", () => cover.drawImage(this.#mask.canvas, 0, 0));
    for (let side = 2; side < 2 * Math.max(width, height); side *= 2) {
      begin(small, Math.max(1, width / side), Math.max(1, height / side));
      small.drawImage(cover.canvas, 0, 0, small.canvas.width, small.canvas.height);
      composite(cover, "destination-over", () => cover.drawImage(small.canvas, 0, 0, width, height));
    }
    const [r, g, b] = small.getImageData(0, 0, 1, 1).data;
    cover.fillStyle = `rgb(${r} ${g} ${b})`;
    composite(cover, "destination-over", () => cover.fillRect(0, 0, width, height));
  }
}

/** Fill rectangles, two corners of each, as one shape: no seam shows between those that touch.
 * @param {CanvasRenderingContext2D} mask @param {number[]} points */
function fillRectangles(mask, points) {
  const { width, height } = mask.canvas;
  mask.beginPath();
  for (let i = 0; i < points.length; i += 4) {
    const [left, top, right, bottom] = corners(points.slice(i, i + 4), false);
    mask.rect(left * width, top * height, (right - left) * width, (bottom - top) * height);
  }
  mask.fill();
}

/** Clear a canvas, and take white paint. @param {CanvasRenderingContext2D} paint @param {number} width @param {number} height */
function begin(paint, width, height) {
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

/** @extends {Steps<Edit>} */
export class Edits extends Steps {
  /** Add marks as one step. @param {Mark[]} marks */
  add(...marks) {
    this.set({ ...this.value, marks: [...this.value.marks, ...marks] });
  }

  /** Return whether there was anything to clear. */
  clear() {
    if (!this.value.marks.length) return false;
    this.set({ ...this.value, marks: [] });
    return true;
  }

  /** @param {Fill} fill */
  fillWith(fill) {
    if (fill !== this.value.fill) this.set({ ...this.value, fill });
  }

  flip() {
    this.set({ ...this.value, keep: !this.value.keep });
  }
}

/** A hand with a tool in it: what it does between going down and up, whichever finger, mouse or key it is. */
export class Hand {
  /** The mark that is being made. @type {Mark | null} */
  mark = null;
  /** What a patch is to be taken from. @type {Corners | null} */
  selected = null;
  /** Where the hand went down, or where it holds a patch. @type {[number, number] | null} */
  #from = null;

  get down() {
    return this.#from !== null;
  }

  /** @param {Tool} kind @param {number} x @param {number} y @param {number} size */
  begin(kind, x, y, size) {
    [x, y] = [short(x), short(y)];
    this.#from = [x, y];
    if (kind === "rectangle") this.mark = { kind, points: [x, y, x, y], size };
    else if (kind !== "patch") this.mark = { kind, points: [x, y], size };
    else if (this.selected && inside(this.selected, x, y)) {
      const [left, top] = this.selected;
      this.#from = [x - left, y - top];
      this.mark = { kind, points: [...this.selected, left, top], size };
    } else this.selected = [x, y, x, y];
  }

  /** Return whether anything changed. @param {number} x @param {number} y */
  move(x, y) {
    const from = this.#from, mark = this.mark;
    if (!from) return false;
    [x, y] = [short(x), short(y)];
    if (!mark) this.selected = corners([...from, x, y]);
    else if (mark.kind === "rectangle") mark.points.splice(2, 2, x, y);
    else if (mark.kind === "patch") mark.points.splice(4, 2, short(x - from[0]), short(y - from[1]));
    else {
      const [lastX, lastY] = mark.points.slice(-2);
      if (Math.hypot(x - lastX, y - lastY) < CLOSE * mark.size) return false;
      mark.points.push(x, y);
    }
    return true;
  }

  /** Return the mark that was made, if it is one. */
  end() {
    const { mark } = this;
    this.#from = this.mark = null;
    if (this.selected && !mark && tiny(this.selected)) this.selected = null;
    if (mark?.kind === "rectangle") {
      const rectangle = corners(mark.points);
      return tiny(rectangle) ? null : { ...mark, points: [...rectangle] };
    }
    const still = mark?.kind === "patch" && mark.points[0] === mark.points[4] && mark.points[1] === mark.points[5];
    return still ? null : mark;
  }

  /** Let go of everything. */
  drop() {
    this.#from = this.mark = this.selected = null;
  }
}

/** Return two corners as left, top, right and bottom. @param {number[]} points @param {boolean} [clip] to the picture @returns {Corners} */
export function corners([x0, y0, x1, y1], clip = true) {
  const [least, most] = clip ? [0, 1] : [-Infinity, Infinity];
  const at = (/** @type {number} */ share) => Math.max(least, Math.min(most, share));
  return [at(Math.min(x0, x1)), at(Math.min(y0, y1)), at(Math.max(x0, x1)), at(Math.max(y0, y1))];
}

/** @param {Corners} corners @param {number} x @param {number} y */
function inside([left, top, right, bottom], x, y) {
  return x >= left && x <= right && y >= top && y <= bottom;
}

/** @param {Corners} corners */
function tiny([left, top, right, bottom]) {
  return right - left < SMALLEST || bottom - top < SMALLEST;
}

/** @param {number} share */
function short(share) {
  // Not -0, which JSON and tests tell from 0.
  return Math.round(Math.min(2, Math.max(-1, share)) * 1e4) / 1e4 + 0;
}

/** Describe what is on the picture, for a screen reader too. @param {Edit} edit @param {boolean} [example]  not painted by hand */
export function described({ marks, keep }, example = false) {
  if (!marks.length) return "Nothing is painted yet.";
  if (example) return "An example: paint more, or clear it with the bin.";
  return `${marks.length} ${marks.length === 1 ? "mark" : "marks"}${keep ? "; all else is hidden." : "."}`;
}
