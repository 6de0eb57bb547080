// Draw a frame with its map and boxes, with the viewer's own tables.

import { contextOf, resize } from "../../browser/canvas.js";
import { createMap, Layer } from "../../browser/draw.js";
import { resample } from "../../browser/sample.js";
import { outlineBoxes } from "../viewer/marks.js";

/** As in heatmap.py. */
const EPSILON = 1e-7;

/**
 * @typedef {{shapes: number[][], offsets: number[][], input: number[], content: number[]}} RawHead  shapes: rows and
 *   columns of each layer's map; offsets: by how many cells, down and across, it is drawn beside an even grid; input:
 *   height and width; content: x0, y0, x1, y1 of the picture in the input's pixels
 */

/**
 * Return a map as 0..65535 on the pixels of the content, row by row.
 * @param {RawHead} head @param {Float32Array[]} raws signed, one a layer @returns {Uint16Array}
 */
export function upsampled({ shapes, offsets, input: [height, width], content }, raws) {
  const across = content[2] - content[0], down = content[3] - content[1], sum = new Float32Array(across * down);
  raws.forEach((raw, i) => {
    const [h, w] = shapes[i], x = (offsets[i][1] * width) / w, y = (offsets[i][0] * height) / h;
    const grid = { values: unit(raw, h, w, height, width, content), w, h, extent: [x, y, x + width, y + height], kind: "heat" };
    const part = resample(grid, content, across, down, { times: 1, plus: 0, low: 0, high: 1 }, new Float32Array(sum.length));
    for (let k = 0; k < sum.length; k++) sum[k] += part[k];
  });
  const [low, high] = ends(sum), count = raws.length, by = 65535 / (EPSILON + (high - low) / count);
  return Uint16Array.from(sum, (value) => Math.min(65535, ((value - low) / count) * by + 0.5));
}

/** @param {Float32Array} values */
function ends(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/**
 * Clip a map at 0 and bring it to 0..1 over the picture; a cell of the bars reads as its neighbour in the picture.
 * @param {Float32Array} raw @param {number} h @param {number} w @param {number} height @param {number} width @param {number[]} content
 */
function unit(raw, h, w, height, width, [left, top, right, bottom]) {
  const y0 = Math.floor((top * h) / height), y1 = Math.ceil((bottom * h) / height) - 1;
  const x0 = Math.floor((left * w) / width), x1 = Math.ceil((right * w) / width) - 1;
  const values = new Float32Array(h * w);
  for (let y = 0, i = 0; y < h; y++) {
    const row = w * Math.min(y1, Math.max(y0, y));
    for (let x = 0; x < w; x++, i++) values[i] = Math.max(0, raw[row + Math.min(x1, Math.max(x0, x))]);
  }
  const [low, high] = ends(values), by = EPSILON + (high - low);
  return values.map((value) => (value - low) / by);
}

/**
 * @typedef {import("./link.js").Answer} Answer
 * @typedef {{pixels: ImageData, jpeg: Blob, at: number}} Taken  a frame as it was taken and sent, and when
 * @typedef {{taken: Taken, answer: Answer, map: import("../../browser/draw.js").HeatMap|null}} Shown
 * @typedef {import("../../browser/draw.js").Painted} Painted
 */

/** @param {number} score 0..1 */
export function percent(score) {
  return score > 0 && score < 0.01 ? "< 1 %" : `${Math.round(100 * score)} %`;
}

/** Return the map of an answer, upsampled; null where there is none. @param {Answer} answer */
export function mapOf({ head: { map }, blobs }) {
  if (!map || map.state !== "ok") return null;
  // The bytes of a message need not begin where a number may.
  const raws = blobs.map((blob) => new Float32Array(blob.slice().buffer));
  const [left, top, right, bottom] = map.content, values = upsampled(map, raws);
  const head = {
    ...{ title: map.label, note: "", text: "", kind: "heat", sides: null, raw: null },
    ...{ shape: [bottom - top, right - left], seen: map.seen, extent: map.extent, cells: map.shapes[0] },
    ...{ own: 0, shared: null },
  };
  return createMap(head, () => values, null);
}

/** Return what each box of an answer is called and which one the map is of. @param {Answer} answer */
export function outlined({ head: { answers, place } }) {
  return answers.flatMap(({ box, marks, label, score }, index) => {
    const tag = `${label} ${percent(score)}`;
    return box ? [{ xyxy: box, marks: marks ?? [], index, tag, chosen: index === place }] : [];
  });
}

export class Screen {
  #layer = new Layer();
  /** @type {Shown|null} */
  shown = null;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = contextOf(canvas, true);
  }

  /** Show a frame with what was said of it. @param {Taken} taken @param {Answer} answer */
  take(taken, answer) {
    this.shown = { taken, answer, map: mapOf(answer) };
    this.#layer.clear();
  }

  /** @param {Painted} style @param {string} font */
  draw(style, font) {
    if (!this.shown) return;
    const { taken: { pixels }, answer, map } = this.shown, { canvas, context } = this, { width, height } = pixels;
    resize(canvas, width, height);
    canvas.style.setProperty("--ratio", String(width / height));
    const rect = [0, 0, width, height], part = { source: pixels.data, grey: () => pixels.data };
    this.#layer.paint(context, { at: () => part, size: [width, height] }, map, style, { width, height, rect, unit: 1 });
    if (style.settings.mode !== "picture") outlineBoxes(context, width, height, rect, outlined(answer), font, style.settings.boxes);
  }
}
