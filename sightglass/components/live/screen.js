// Draw a frame with its map and boxes, with the viewer's own tables.

import { contextOf, resize } from "../../browser/canvas.js";
import { createMap, Layer } from "../../browser/draw.js";
import { outlineBoxes } from "../viewer/marks.js";

/** As in heatmap.py. */
const EPSILON = 1e-7;

/**
 * @typedef {{shapes: number[][], offsets: number[][], input: number[], content: number[]}} RawHead  shapes: rows and
 *   columns of each layer's map; offsets: by how many cells, down and across, it is drawn beside an even grid; input:
 *   height and width; content: x0, y0, x1, y1 of the picture in the input's pixels
 * @typedef {{h: number, w: number, values: Float32Array}} Unit  one layer's map in 0..1
 */

/**
 * Return a map as 0..65535 on the pixels of the content, row by row.
 * @param {RawHead} head @param {Float32Array[]} raws signed, one a layer @returns {Uint16Array}
 */
export function grown({ shapes, offsets, input: [height, width], content }, raws) {
  const [left, top, right, bottom] = content, across = right - left, down = bottom - top;
  const sum = new Float32Array(across * down);
  raws.forEach((raw, i) => {
    const [h, w] = shapes[i];
    add(sum, unit(raw, h, w, cells(h, w, height, width, content)), [left, top, right, bottom], height, width, offsets[i]);
  });
  let low = Infinity, high = -Infinity;
  for (const value of sum) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const out = new Uint16Array(sum.length), count = raws.length, by = 65535 / (EPSILON + (high - low) / count);
  for (let i = 0; i < sum.length; i++) out[i] = Math.min(65535, ((sum[i] - low) / count) * by + 0.5);
  return out;
}

/** Return the first and last row, first and last column of a layer's map that hold any picture. @param {number} h @param {number} w @param {number} height @param {number} width @param {number[]} content */
function cells(h, w, height, width, [left, top, right, bottom]) {
  const floor = Math.floor, ceil = Math.ceil;
  return [floor((top * h) / height), ceil((bottom * h) / height), floor((left * w) / width), ceil((right * w) / width)];
}

/**
 * Clip a map at 0 and bring it to 0..1 over the picture; a cell of the bars reads as its neighbour in the picture.
 * @param {Float32Array} raw @param {number} h @param {number} w @param {number[]} picture rows and columns @returns {Unit}
 */
function unit(raw, h, w, [y0, y1, x0, x1]) {
  let low = Infinity, high = -Infinity;
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const value = Math.max(0, raw[y * w + x]);
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const values = new Float32Array(h * w), by = EPSILON + (high - low);
  for (let y = 0, i = 0; y < h; y++) {
    const row = w * Math.min(y1 - 1, Math.max(y0, y));
    for (let x = 0; x < w; x++, i++) values[i] = (Math.max(0, raw[row + Math.min(x1 - 1, Math.max(x0, x))]) - low) / by;
  }
  return { h, w, values };
}

/**
 * Add a layer's map, grown bilinearly between the centres of its cells.
 * @param {Float32Array} sum @param {Unit} unit @param {number[]} content @param {number} height @param {number} width @param {number[]} offset
 */
function add(sum, { h, w, values }, [left, top, right, bottom], height, width, [down, across]) {
  const X = along(left, right, w, width, across), Y = along(top, bottom, h, height, down), row = new Float32Array(w);
  for (let y = 0, i = 0; y < bottom - top; y++) {
    const upper = w * Y.first[y], lower = w * Y.second[y], share = Y.share[y];
    for (let x = 0; x < w; x++) row[x] = values[upper + x] + share * (values[lower + x] - values[upper + x]);
    for (let x = 0; x < right - left; x++, i++) {
      const a = row[X.first[x]];
      sum[i] += a + X.share[x] * (row[X.second[x]] - a);
    }
  }
}

/** @param {number} from @param {number} to @param {number} count of cells @param {number} size all pixels @param {number} offset in cells */
function along(from, to, count, size, offset) {
  const long = to - from, first = new Int32Array(long), second = new Int32Array(long), share = new Float32Array(long);
  for (let i = 0; i < long; i++) {
    const at = Math.min(count - 1, Math.max(0, ((from + i + 0.5) * count) / size - 0.5 - offset));
    first[i] = Math.floor(at);
    second[i] = Math.min(count - 1, first[i] + 1);
    share[i] = at - first[i];
  }
  return { first, second, share };
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

/** Return the map of an answer, grown; null where there is none. @param {Answer} answer */
export function mapOf({ head: { map }, blobs }) {
  if (!map || map.state !== "ok") return null;
  // The bytes of a message need not begin where a number may.
  const raws = blobs.map((blob) => new Float32Array(blob.slice().buffer));
  const [left, top, right, bottom] = map.content, values = grown(map, raws);
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
    if (!map || style.settings.mode === "picture") context.putImageData(pixels, 0, 0);
    else {
      const part = { source: pixels.data, grey: () => pixels.data };
      const picture = /** @type {import("../../browser/draw.js").Picture} */ (/** @type {unknown} */ ({ at: () => part, size: [width, height] }));
      this.#layer.paint(context, picture, map, style, { width, height, rect: [0, 0, width, height], unit: 1 });
    }
    if (style.settings.boxes && style.settings.mode !== "picture") {
      outlineBoxes(context, width, height, [0, 0, width, height], outlined(answer), font);
    }
  }
}
