// Draw a frame with its map and boxes, with the viewer's own tables, and find what is clicked.

import { contextOf, resize } from "../../browser/canvas.js";
import { Layer, createMap } from "../../browser/draw.js";
import { outlineBoxes } from "../viewer/outline.js";
import { grown } from "./raw_map.js";

/**
 * @typedef {import("./link.js").Answer} Answer
 * @typedef {{pixels: ImageData, jpeg: ArrayBuffer|null, taken: number, began: number, ms: {grab: number, encode: number}}} Taken  a frame as
 *   it was taken, when by the camera and by this page, and as it was sent; ms: what that cost
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
  return answers.flatMap(({ box, corners, label, score }, index) => {
    const tag = `${label} ${percent(score)}`;
    return box ? [{ xyxy: box, corners, index, tag, chosen: index === place }] : [];
  });
}

/** Return the smallest box around a point, by its place; null where there is none. @param {Answer} answer @param {number} x @param {number} y */
export function boxAt({ head: { answers } }, x, y) {
  let found = null, least = Infinity;
  answers.forEach(({ box }, place) => {
    if (!box || x < box[0] || x > box[2] || y < box[1] || y > box[3]) return;
    const area = (box[2] - box[0]) * (box[3] - box[1]);
    if (area < least) [found, least] = [place, area];
  });
  return /** @type {number|null} */ (found);
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
      const picture = /** @type {import("../../browser/draw.js").Picture} */ (/** @type {unknown} */ ({ at: () => part }));
      this.#layer.paint(context, picture, map, style, { width, height, rect: [0, 0, width, height], unit: 1 });
    }
    if (style.settings.boxes && style.settings.mode !== "picture") {
      outlineBoxes(context, width, height, [0, 0, width, height], outlined(answer), font);
    }
  }
}
