// What is painted on a picture: marks, what stands in their place, and whether they hide or keep. Every step can be undone.

import { drawStroke, hiddenContext, resize } from "../../browser/canvas.js";
import { reduced } from "../../browser/geometry.js";
import { Steps } from "../../browser/hands.js";

/** Rounds in which each hidden pixel becomes the mean of its neighbours, at each level from coarse to fine. */
const ROUNDS = 6;

/**
 * Fill the hidden pixels in place.
 * @param {Uint8ClampedArray} rgba @param {Uint8Array} hidden 1 where hidden @param {number} width @param {number} height
 */
export function infill(rgba, hidden, width, height) {
  const total = new Float32Array(3 * width * height), weight = new Float32Array(width * height);
  let anything = false;
  for (let i = 0; i < weight.length; i++) {
    weight[i] = hidden[i] ? 0 : 1;
    anything ||= weight[i] > 0;
    for (let c = 0; c < 3; c++) total[3 * i + c] = hidden[i] ? 0 : rgba[4 * i + c];
  }
  const out = anything ? filled(total, weight, width, height) : meanOf(rgba, weight.length);
  for (let i = 0; i < weight.length; i++) if (hidden[i]) for (let c = 0; c < 3; c++) rgba[4 * i + c] = out[3 * i + c];
}

/** @param {Uint8ClampedArray} rgba @param {number} count */
function meanOf(rgba, count) {
  const out = new Float32Array(3 * count), sum = [0, 0, 0];
  for (let i = 0; i < count; i++) for (let c = 0; c < 3; c++) sum[c] += rgba[4 * i + c] / count;
  return out.map((_, i) => sum[i % 3]);
}

/**
 * Return colours without holes: each hole from the level below, which has half the pixels a side, and then smoothed.
 * @param {Float32Array} total @param {Float32Array} weight @param {number} width @param {number} height
 */
function filled(total, weight, width, height) {
  const out = new Float32Array(total.length), holes = [];
  for (let i = 0; i < weight.length; i++) {
    if (weight[i] > 0) for (let c = 0; c < 3; c++) out[3 * i + c] = total[3 * i + c] / weight[i];
    else holes.push(i);
  }
  if (!holes.length || weight.length === 1) return out;
  const w = Math.ceil(width / 2), h = Math.ceil(height / 2);
  const sums = new Float32Array(3 * w * h), weights = new Float32Array(w * h);
  for (let i = 0; i < weight.length; i++) {
    const at = (Math.floor(i / width) >> 1) * w + ((i % width) >> 1);
    weights[at] += weight[i];
    for (let c = 0; c < 3; c++) sums[3 * at + c] += total[3 * i + c];
  }
  const below = filled(sums, weights, w, h);
  for (const i of holes) {
    const at = (Math.floor(i / width) >> 1) * w + ((i % width) >> 1);
    for (let c = 0; c < 3; c++) out[3 * i + c] = below[3 * at + c];
  }
  for (let round = 0; round < ROUNDS; round++) for (const i of holes) relax(out, i, width, height);
  return out;
}

/** @param {Float32Array} out @param {number} i @param {number} width @param {number} height */
function relax(out, i, width, height) {
  const x = i % width, y = Math.floor(i / width), near = [];
  if (x > 0) near.push(i - 1);
  if (x < width - 1) near.push(i + 1);
  if (y > 0) near.push(i - width);
  if (y < height - 1) near.push(i + width);
  for (let c = 0; c < 3; c++) {
    let sum = 0;
    for (const j of near) sum += out[3 * j + c];
    out[3 * i + c] = sum / near.length;
  }
}

/** @typedef {{picture: CanvasImageSource, blur: CanvasImageSource, mean: number[]}} Sources */

/** Longer side, in pixels, at which an in-fill is computed. */
const COARSE = 160;
/** Opacity, of 255, below which a pixel's colour is too coarse to go on from. */
const FAINT = 16;

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
    for (const one of [this.#source, this.#mask, this.#cover]) begin(one, width, height);
    this.#source.drawImage(sources.picture, 0, 0, width, height);
    let something = false;
    for (const mark of edit.marks) something = this.#take(mark, sources, edit.keep) || something;
    paint.globalCompositeOperation = "source-over";
    paint.drawImage(this.#source.canvas, 0, 0);
    if (!something) return;
    if (edit.keep) invert(this.#mask);
    this.#fill(sources, edit);
    this.#cover.globalCompositeOperation = "destination-in";
    this.#cover.drawImage(this.#mask.canvas, 0, 0);
    this.#cover.globalCompositeOperation = "source-over";
    paint.drawImage(this.#cover.canvas, 0, 0);
  }

  /** Draw one mark; return whether it leaves anything on the mask. @param {Mark} mark @param {Sources} sources @param {boolean} keep */
  #take({ kind, points, size }, sources, keep) {
    const mask = this.#mask, { width, height } = mask.canvas;
    const [x0, y0, x1, y1] = points.map((share, i) => share * (i % 2 ? height : width));
    if (kind === "brush") drawStroke(mask, points, size * Math.max(width, height));
    else if (kind !== "patch") fillRectangles(mask, points);
    else {
      const [x, y] = [points[4] * width, points[5] * height];
      this.#source.drawImage(this.#pictureAt(sources), x0, y0, x1 - x0, y1 - y0, x, y, x1 - x0, y1 - y0);
      mask[keep ? "fillRect" : "clearRect"](x, y, x1 - x0, y1 - y0);
      return keep;
    }
    return true;
  }

  /** The picture at the size of the canvas: patches are taken from it, not from what was painted on it. @param {Sources} sources */
  #pictureAt({ picture }) {
    const { width, height } = this.#mask.canvas, cover = this.#cover;
    cover.drawImage(picture, 0, 0, width, height);
    return cover.canvas;
  }

  /** @param {Sources} sources @param {Edit} edit */
  #fill({ blur, mean }, { fill }) {
    const cover = this.#cover, { width, height } = cover.canvas;
    if (fill === "blur") cover.drawImage(blur, 0, 0, width, height);
    else if (fill === "linear") cover.drawImage(this.#infilled(), 0, 0, width, height);
    else {
      cover.fillStyle = fill === "mean" ? `rgb(${mean.join(" ")})` : "rgb(128 128 128)";
      cover.fillRect(0, 0, width, height);
    }
  }

  #infilled() {
    const small = this.#small, cover = this.#cover, { width, height } = cover.canvas;
    const [w, h] = reduced([width, height], COARSE);
    // What is hidden is cut out before the picture is made smaller: no pixel beside it takes any of its colour.
    cover.clearRect(0, 0, width, height);
    cover.drawImage(this.#source.canvas, 0, 0);
    cover.globalCompositeOperation = "destination-out";
    cover.drawImage(this.#mask.canvas, 0, 0);
    begin(small, w, h);
    small.drawImage(cover.canvas, 0, 0, w, h);
    begin(cover, width, height);
    const image = small.getImageData(0, 0, w, h), hidden = new Uint8Array(w * h);
    for (let i = 0; i < hidden.length; i++) {
      hidden[i] = Number(image.data[4 * i + 3] < FAINT);
      image.data[4 * i + 3] = 255;
    }
    infill(image.data, hidden, w, h);
    small.putImageData(image, 0, 0);
    return small.canvas;
  }
}

/** Fill rectangles, two corners of each, as one shape: no seam shows between those that touch.
 * @param {CanvasRenderingContext2D} mask @param {number[]} points */
function fillRectangles(mask, points) {
  const { width, height } = mask.canvas;
  mask.beginPath();
  for (let i = 0; i < points.length; i += 4) {
    const [x0, y0, x1, y1] = [points[i] * width, points[i + 1] * height, points[i + 2] * width, points[i + 3] * height];
    // A path of clockwise rectangles: the other way round, overlapping ones would cut each other out.
    mask.rect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
  }
  mask.fill();
}

/** Clear a canvas, and take white paint. @param {CanvasRenderingContext2D} paint @param {number} width @param {number} height */
function begin(paint, width, height) {
  resize(paint.canvas, width, height);
  paint.globalCompositeOperation = "source-over";
  paint.clearRect(0, 0, width, height);
  paint.fillStyle = paint.strokeStyle = "#fff";
  paint.imageSmoothingQuality = "high";
}

/** @param {CanvasRenderingContext2D} mask */
function invert(mask) {
  mask.globalCompositeOperation = "source-out";
  mask.fillRect(0, 0, mask.canvas.width, mask.canvas.height);
  mask.globalCompositeOperation = "source-over";
}

/**
 * @typedef {"brush"|"rectangle"|"patch"} Tool
 * @typedef {{kind: Tool|"area", points: number[], size: number}} Mark  x, y, x, y, ... as shares of width and height: a path;
 *   two corners; two corners of a patch and the top left of where it goes; two corners of each rectangle of an area.
 *   `size`: as a share of the longer side
 * @typedef {"blur"|"grey"|"mean"|"linear"} Fill
 * @typedef {{marks: Mark[], fill: Fill, keep: boolean}} Edit
 * @typedef {[number, number, number, number]} Corners  left, top, right, bottom
 */

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

  /** @param {Tool} tool @param {number} x @param {number} y @param {number} size */
  begin(tool, x, y, size) {
    [x, y] = [short(x), short(y)];
    this.#from = [x, y];
    if (tool === "brush") this.mark = { kind: tool, points: [x, y], size };
    else if (tool === "rectangle") this.mark = { kind: tool, points: [x, y, x, y], size };
    else if (this.selected && inside(this.selected, x, y)) {
      const [left, top] = this.selected;
      this.#from = [x - left, y - top];
      this.mark = { kind: tool, points: [...this.selected, left, top], size };
    } else this.selected = [x, y, x, y];
  }

  /** Return whether anything changed. @param {number} x @param {number} y */
  move(x, y) {
    const from = this.#from, mark = this.mark;
    if (!from) return false;
    [x, y] = [short(x), short(y)];
    if (!mark) this.selected = corners(from[0], from[1], x, y);
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
      const found = corners(mark.points[0], mark.points[1], mark.points[2], mark.points[3]);
      return tiny(found) ? null : { ...mark, points: [...found] };
    }
    const still = mark?.kind === "patch" && mark.points[0] === mark.points[4] && mark.points[1] === mark.points[5];
    return still ? null : mark;
  }

  /** Let go of everything. */
  drop() {
    this.#from = this.mark = this.selected = null;
  }
}

/** @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 @returns {Corners} inside the picture */
export function corners(x0, y0, x1, y1) {
  const [left, top, right, bottom] = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
  return [Math.max(0, left), Math.max(0, top), Math.min(1, right), Math.min(1, bottom)];
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

/** @type {Record<Mark["kind"], [string, string]>} */
const NOUNS = {
  brush: ["stroke", "strokes"], rectangle: ["rectangle", "rectangles"], area: ["area", "areas"], patch: ["patch", "patches"],
};

/** Say what is on the picture, for a screen reader too. @param {Edit} edit @param {boolean} [example]  not painted by hand */
export function described({ marks, keep }, example = false) {
  if (!marks.length) return "Nothing is painted: this is the original.";
  if (example) return "An example: paint more, or clear it with the bin.";
  const counted = /** @type {Mark["kind"][]} */ (Object.keys(NOUNS)).flatMap((kind) => {
    const count = marks.filter((mark) => mark.kind === kind).length;
    return count ? [`${count} ${NOUNS[kind][count === 1 ? 0 : 1]}`] : [];
  });
  const last = counted.pop();
  const all = counted.length ? `${counted.join(", ")} and ${last}` : last;
  return keep ? `${all}; all else is hidden.` : `${all}.`;
}
