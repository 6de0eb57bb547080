// A proof on the stage: the hottest part of the picture is hidden, and two lines say what is left of the answer.

import { make, svgElement, write } from "../../browser/elements.js";
import { layOut } from "../../browser/canvas.js";
import { Composer } from "../../browser/compose.js";
import { drawCurves, moveMark, percent, sampleOf, stepAt, valueOf } from "../../browser/curves.js";
import { fillings, orderOf } from "./hiding.js";

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
    this.element = make("div", "proof", "", [
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
