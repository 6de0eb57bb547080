// A proof on the stage: the hottest part of the picture is hidden, and two lines say what is left of the answer.

import { make, svgElement, write } from "../../browser/elements.js";
import { hiddenContext, layOut } from "../../browser/canvas.js";
import { Composer } from "../../browser/compose.js";
import { drawCurves, moveMark, percent, sampleOf, stepAt, valueOf } from "../../browser/curves.js";
import { reduced } from "../../browser/geometry.js";
import { resample } from "../../browser/sample.js";

/** @typedef {import("./scenes.js").SceneProof} SceneProof @typedef {import("../../browser/curves.js").Curve} Curve */

/** Margins of the chart, whose letters are 13 units high. */
const AROUND = { left: 52, right: 16, top: 10, bottom: 46 };
const LETTERS = 13;

export class ProofView {
  #top = 1;
  #frame = { width: 400, height: 240, ...AROUND };
  /** @type {Composer|null} */
  #composer = null;
  #drawn = "";

  /** @param {SceneProof} proof @param {{share: (share: number) => void, keeps: (keeps: boolean) => void}} on */
  constructor(proof, on) {
    this.proof = proof;
    /** @type {Curve[]} */
    this.curves = [
      { name: "map", title: "", filling: "", hidden: proof.hide, kept: proof.keep },
      { name: "random", title: "", filling: "", hidden: proof.control_hide, kept: proof.control_keep },
    ].filter(({ hidden }) => hidden.length > 1);
    this.chart = /** @type {SVGElement} */ (svgElement("svg", { class: "chart", role: "img" }));
    this.figures = this.curves.map(({ name }) => make("p", `figure ${name}`, "", [sampleOf(name), make("b"), make("span")]));
    this.slider = make("input");
    Object.assign(this.slider, { type: "range", min: "0", max: "20", step: "1" });
    this.named = make("span", "named");
    this.ways = [false, true].map((keeps) => {
      const button = make("button", "way", keeps ? "Keep" : "Hide");
      button.addEventListener("click", () => on.keeps(keeps));
      return button;
    });
    this.element = make("div", "proof column", "", [
      make("div", "figures", "", this.figures), this.chart,
      make("div", "hand", "", [make("div", "ways", "", this.ways), make("label", "slider", "", [this.named, this.slider])]),
    ]);
    this.slider.addEventListener("input", () => on.share(Number(this.slider.value) / 20));
    this.chart.addEventListener("pointermove", (event) => event.buttons && on.share(this.#shareAt(event)));
    this.chart.addEventListener("pointerdown", (event) => on.share(this.#shareAt(event)));
  }

  /** @param {PointerEvent} event */
  #shareAt(event) {
    const { left, width } = this.chart.getBoundingClientRect();
    return stepAt(((event.clientX - left) / width) * this.#frame.width, this.#frame, 20) / 20;
  }

  /** Prepare the picture that is hidden; a moment's work. @param {HTMLCanvasElement} canvas @param {{bitmap: ImageBitmap, map: import("../../browser/draw.js").HeatMap}} of @param {number[]} size */
  async take(canvas, { bitmap, map }, size) {
    const scale = bitmap.width / size[0], { picture, blurred, mean } = await fillings(bitmap, map.seen.map((edge) => edge * scale));
    const { order, grid } = orderOf(map);
    this.#composer = new Composer(canvas, picture, blurred, order, grid, mean);
    this.#drawn = "";
  }

  /** Lay the canvas over what the model saw. @param {HTMLCanvasElement} canvas @param {number[]} seen @param {number[]} size of the picture @param {number[]} shown CSS pixels */
  place(canvas, seen, size, shown) {
    const [x0, y0, x1, y1] = seen.map((edge, i) => (edge / size[i % 2]) * shown[i % 2]);
    Object.assign(canvas.style, { left: `${x0}px`, top: `${y0}px` });
    layOut(canvas, x1 - x0, y1 - y0);
    this.#drawn = "";
  }

  /** Draw the chart in its room, with letters of that many CSS pixels. @param {number} letters @param {boolean} keeps */
  size(letters, keeps) {
    const { width, height } = this.chart.getBoundingClientRect(), scale = letters / LETTERS;
    if (width < 2 || height < 2) return;
    this.#frame = { width: width / scale, height: height / scale, ...AROUND };
    this.#top = drawCurves(this.chart, this.curves, keeps ? "kept" : "hidden", this.#frame);
    this.chart.setAttribute("aria-label", `Score of ${this.proof.label} over the share of the picture that is ${keeps ? "kept" : "hidden"}`);
  }

  /** @param {number} share @param {boolean} keeps */
  show(share, keeps) {
    const way = keeps ? "kept" : "hidden", now = percent(share);
    this.slider.value = String(Math.round(20 * share));
    this.slider.setAttribute("aria-valuetext", now);
    write(this.named, `${now} ${way}`);
    this.slider.setAttribute("aria-label", keeps ? "Hottest part kept" : "Hottest part hidden");
    this.ways.forEach((button, i) => button.setAttribute("aria-pressed", String(keeps === Boolean(i))));
    this.figures.forEach((figure, i) => {
      const { name } = this.curves[i], what = name === "map" ? "hottest places" : this.proof.control.toLowerCase();
      write(/** @type {HTMLElement} */ (figure.querySelector("b")), percent(valueOf(this.curves[i][way], share)));
      write(/** @type {HTMLElement} */ (figure.lastElementChild), `${what} ${way}`);
    });
    moveMark(this.chart, share, this.#frame, this.#top, Object.fromEntries(this.curves.map((curve) => [curve.name, valueOf(curve[way], share)])));
    const key = [share, keeps].join();
    if (!this.#composer || key === this.#drawn) return;
    this.#drawn = key;
    this.#composer.draw(Math.round(100 * share), keeps, "blur");
    this.#composer.canvas.dataset.shown = `${way} ${Math.round(100 * share)}`;
  }

  get ready() {
    return this.#composer !== null;
  }
}

/** Cells of the longer side of the order, and of the picture that is blurred. */
const CELLS = 320;
const BLURRED = 120;
/** As explain/proof/filling.py: by the picture's longer side. */
const SIGMA = 0.05;
const LEVELS = 200;

/**
 * The order in which places are hidden, 0 the hottest, a byte for half a percent; among the coldest those nearest to a hotter one first.
 * @param {import("../../browser/draw.js").HeatMap} map @returns {{order: Uint8Array, grid: number[]}} grid: rows and columns
 */
export function orderOf({ own, seen }) {
  const [w, h] = reduced([seen[2] - seen[0], seen[3] - seen[1]], CELLS);
  const values = resample(own, seen, w, h, (value) => value, new Float32Array(w * h));
  return { order: ranked(values, w, h), grid: [h, w] };
}

/** @param {Float32Array} values @param {number} w @param {number} h @returns {Uint8Array} */
export function ranked(values, w, h) {
  const lowest = values.reduce((least, value) => Math.min(least, value), Infinity), away = distances(values, lowest, w, h);
  const places = Uint32Array.from(values, (_, i) => i).sort((a, b) => values[b] - values[a] || away[a] - away[b] || a - b);
  const order = new Uint8Array(values.length);
  places.forEach((place, i) => {
    order[place] = Math.min(LEVELS - 1, Math.floor((LEVELS * i) / values.length));
  });
  return order;
}

/** How far each place is from one above the lowest, in two passes. @param {Float32Array} values @param {number} lowest @param {number} w @param {number} h */
function distances(values, lowest, w, h) {
  const away = Float32Array.from(values, (value) => (value > lowest ? 0 : 1e6)), across = Math.SQRT2;
  const nearer = (/** @type {number} */ i, /** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ step) => {
    const up = y - step >= 0 && y - step < h, left = x - step >= 0 && x - step < w, right = x + step >= 0 && x + step < w;
    if (left) away[i] = Math.min(away[i], away[i - step] + 1);
    if (!up) return;
    away[i] = Math.min(away[i], away[i - step * w] + 1);
    if (left) away[i] = Math.min(away[i], away[i - step * w - step] + across);
    if (right) away[i] = Math.min(away[i], away[i - step * w + step] + across);
  };
  for (let i = 0; i < away.length; i++) nearer(i, i % w, Math.floor(i / w), 1);
  for (let i = away.length - 1; i >= 0; i--) nearer(i, i % w, Math.floor(i / w), -1);
  return away;
}

/** Blur what is on a canvas, whose edges go on. @param {ImageData} given @returns {ImageData} */
export function softened({ data, width, height }) {
  const sigma = Math.max(1, SIGMA * Math.max(width, height)), reach = Math.ceil(3 * sigma);
  const weights = Float32Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const pass = (/** @type {ArrayLike<number>} */ from, /** @type {number} */ stride, /** @type {number} */ length) => {
    const out = new Float32Array(from.length);
    for (let i = 0; i < from.length; i++) {
      const at = Math.floor(i / stride) % length, base = i - at * stride;
      let sum = 0;
      for (let k = -reach; k <= reach; k++) sum += weights[k + reach] * from[base + Math.min(length - 1, Math.max(0, at + k)) * stride];
      out[i] = sum / total;
    }
    return out;
  };
  const soft = new ImageData(width, height);
  soft.data.set(pass(pass(data, 4, width), 4 * width, height));
  return soft;
}

/**
 * The part of a picture that the model saw, whole and blurred, and its mean colour.
 * @param {ImageBitmap} bitmap @param {number[]} part xyxy in its pixels @returns {Promise<{picture: ImageBitmap, blurred: ImageBitmap, mean: number[]}>}
 */
export async function fillings(bitmap, [x0, y0, x1, y1]) {
  const [w, h] = reduced([x1 - x0, y1 - y0], BLURRED), context2d = hiddenContext(w, h, true);
  context2d.imageSmoothingQuality = "high";
  context2d.drawImage(bitmap, x0, y0, x1 - x0, y1 - y0, 0, 0, w, h);
  const small = context2d.getImageData(0, 0, w, h), count = w * h;
  const mean = [0, 1, 2].map((channel) => {
    let sum = 0;
    for (let i = channel; i < 4 * count; i += 4) sum += small.data[i];
    return Math.round(sum / count);
  });
  const [picture, blurred] = await Promise.all([createImageBitmap(bitmap, x0, y0, x1 - x0, y1 - y0), createImageBitmap(softened(small))]);
  return { picture, blurred, mean };
}
