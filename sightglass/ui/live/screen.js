// Draw a frame with its map and boxes, with the viewer's own tables.

import { contextOf, hiddenContext, resize } from "../../browser/canvas.js";
import { createMap, Layer } from "../../browser/draw.js";
import { withLightness } from "../../browser/picture.js";
import { outlineBoxes } from "../viewer/marks.js";

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

/** Return the map of an answer; null where there is none. @param {Answer} answer */
export function mapOf({ head: { map }, blobs }) {
  if (!map || map.state !== "ok") return null;
  // The bytes of a message need not begin where a number may.
  const values = new Uint16Array(blobs[0].slice().buffer), { shape, grid: [rows, columns], seen, extent } = map;
  // What has hardly fewer cells than values comes without cells.
  const celled = 2 * rows <= shape[0] && 2 * columns <= shape[1];
  const head = {
    ...{ title: map.label, note: "", text: "", kind: "heat", sides: null, raw: null, seen, extent, own: 0, shared: null },
    ...{ shape: celled ? shape : [rows, columns], cells: celled ? [rows, columns] : null },
  };
  return createMap(head, () => values, null, celled ? { values, w: columns, h: rows, extent, kind: "heat" } : null);
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
  #plain = hiddenContext(true);
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
    resize(this.#plain.canvas, taken.pixels.width, taken.pixels.height);
    this.#plain.putImageData(taken.pixels, 0, 0);
  }

  /** @param {Painted} style @param {string} font */
  draw(style, font) {
    if (!this.shown) return;
    const { taken: { pixels }, answer, map } = this.shown, { canvas, context } = this, { width, height } = pixels;
    resize(canvas, width, height);
    canvas.style.setProperty("--ratio", String(width / height));
    const rect = [0, 0, width, height], picture = { at: () => this.#plain.canvas, pixels: () => withLightness(pixels), size: [width, height] };
    this.#layer.paint(context, picture, map, style, { width, height, rect, unit: 1 });
    if (style.settings.mode !== "picture") outlineBoxes(context, width, height, rect, outlined(answer), font, style.settings.boxes);
  }
}
