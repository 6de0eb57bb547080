// The edited picture, put together from canvases: marks are a mask, through which the filling is seen.

import { drawStroke, hiddenContext, resize } from "../../browser/canvas.js";
import { reduced } from "../../browser/geometry.js";

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

/** @typedef {import("./edits.js").Edit} Edit @typedef {import("./edits.js").Mark} Mark
 * @typedef {{picture: CanvasImageSource, blur: CanvasImageSource, mean: number[]}} Sources */

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
