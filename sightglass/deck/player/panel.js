// One picture on the stage: the picture below, its map over it, which fades in, and boxes over both.

import { DEFAULTS } from "../../common/style.js";
import { contextOf, density, resize } from "../../browser/canvas.js";
import { percent } from "../../browser/curves.js";
import { make } from "../../browser/elements.js";
import { Layer } from "../../browser/draw.js";
import { barOf } from "./make.js";

/** @typedef {import("./scenes.js").Scene} Scene @typedef {import("./state.js").State} State */

/** Canvas pixels of the longer side, and of all of a map while a hand moves. */
const MOST_SIDE = 2560;
const WHILE_MOVING = 4e5;
/** Thickness of lines by the height of the stage: of 540 pixels it is the viewer's. */
const LINES = 540;

export class PanelView {
  #layer = new Layer();
  #painted = "";
  #size = [0, 0];
  /** @type {{picture: import("../../browser/picture.js").Picture, maps: import("../../browser/draw.js").HeatMap[]}|null} */
  #decoded = null;

  /**
   * @param {Scene} scene @param {number} index @param {boolean} single  its answers stand beside it, and not below
   * @param {{answer: (index: number) => void, show: () => void, hold: (held: boolean) => void}} on
   */
  constructor(scene, index, single, on) {
    this.scene = scene;
    this.index = index;
    this.panel = scene.panels[index] ?? { name: "", answers: [], maps: [], boxes: false };
    this.base = make("canvas", "base");
    this.over = make("canvas", "over");
    this.veil = make("canvas", "veil");
    this.base.setAttribute("role", "img");
    this.base.setAttribute("aria-label", `The picture, and the heat map of ${this.panel.name || "the model"}`);
    for (const canvas of [this.over, this.veil]) canvas.setAttribute("aria-hidden", "true");
    this.boxes = make("div", "boxes");
    this.frame = make("div", "frame", "", [this.base, this.over, this.veil, this.boxes]);
    this.space = make("div", "space", "", [this.frame]);
    this.list = answerList(this.panel.answers, on.answer);
    this.seal = make("p", "seal");
    this.element = make("figure", "panel", "", [this.space]);
    if (!single) {
      const name = make("button", "name", this.panel.name);
      name.title = `Show this ${scene.kind === "classes" ? "class" : "model"} alone, or all`;
      name.addEventListener("click", on.show);
      this.element.prepend(name);
      this.element.append(this.list, this.seal);
    }
    this.#outline();
    this.#holds(on.hold);
  }

  /** The picture for as long as it is pressed. @param {(held: boolean) => void} hold */
  #holds(hold) {
    let held = false;
    const turn = (/** @type {boolean} */ on) => {
      if (held !== on) hold((held = on));
    };
    this.frame.addEventListener("pointerdown", () => turn(true));
    for (const type of ["pointerup", "pointercancel", "pointerleave"]) this.frame.addEventListener(type, () => turn(false));
  }

  #outline() {
    this.panel.answers.forEach(({ box, label }, i) => {
      if (!box) return;
      const [x0, y0, x1, y1] = box, node = make("div", "box", "", [make("span", "tag", String(i + 1)), make("span", "tag whole", label)]);
      Object.assign(node.style, { left: `${100 * x0}%`, top: `${100 * y0}%`, width: `${100 * (x1 - x0)}%`, height: `${100 * (y1 - y0)}%` });
      node.classList.toggle("low", y0 < 0.08);
      node.classList.toggle("right", x0 > 0.6);
      this.boxes.append(node);
    });
  }

  /** @param {import("../../browser/picture.js").Picture} picture @param {import("../../browser/draw.js").HeatMap[]} maps */
  take(picture, maps) {
    this.#decoded = { picture, maps };
    this.#painted = "";
    this.#drawBase();
  }

  /** @param {number} width @param {number} height CSS pixels of the picture */
  fit(width, height) {
    Object.assign(this.frame.style, { width: `${width}px`, height: `${height}px` });
    if (this.#size[0] === width && this.#size[1] === height) return;
    this.#size = [width, height];
    this.#painted = "";
    this.#drawBase();
  }

  #drawBase() {
    const [width, height] = this.#pixels(Infinity);
    if (!this.#decoded || !width) return;
    resize(this.base, width, height);
    const context2d = contextOf(this.base);
    context2d.imageSmoothingQuality = "high";
    context2d.drawImage(this.#decoded.picture.bitmap, 0, 0, width, height);
  }

  /** @param {number} most pixels of the canvas */
  #pixels(most) {
    const [width, height] = this.#size, ratio = Math.min(density(), MOST_SIDE / Math.max(1, width, height));
    const share = Math.min(1, Math.sqrt(most / Math.max(1, width * height * ratio ** 2)));
    return [width, height].map((side) => Math.round(side * ratio * share));
  }

  /**
   * Paint the map, unless it is there: before it fades in, so that no frame waits for it.
   * @param {number|null} map @param {State} state @param {import("./scenes.js").Colours} colours @param {boolean} moving
   */
  paint(map, { mode, opacity, threshold, colormap }, colours, moving) {
    const key = [map, mode, opacity, threshold, colormap, moving, ...this.#size].join(), [width, height] = this.#pixels(moving ? WHILE_MOVING : Infinity);
    const heat = map === null ? null : this.#decoded?.maps[map];
    if (key === this.#painted || !heat || !this.#decoded || !width) return;
    this.#painted = key;
    const { over, scene } = this;
    resize(over, width, height);
    const unit = (width / this.#size[0]) * Math.max(1, this.#size[1] / LINES), frame = { width, height, rect: [0, 0, ...scene.size], unit };
    const settings = { ...DEFAULTS, mode, alpha: opacity, threshold, colormap, layout: /** @type {const} */ ("single") };
    const style = { settings, lut: colours.lut, dark: true, range: null, quick: moving };
    this.#layer.clear().paint(contextOf(over, true), this.#decoded.picture, heat, style, frame);
    over.dataset.drawn = key;
  }

  /**
   * @param {import("./state.js").Step|"later"} shown @param {number|null} map @param {number|null} chosen answer @param {boolean} plain
   */
  show(shown, map, chosen, plain) {
    const heated = map !== null && (shown === "looked");
    this.element.dataset.shown = shown;
    this.element.classList.toggle("heated", heated && !plain);
    this.list.classList.toggle("said", shown === "said" || shown === "looked" || shown === "proof");
    mark(this.list, chosen);
    const named = shown === "said" || chosen === null ? [] : this.#boxesOf(chosen);
    for (const [i, node] of [...this.boxes.children].entries()) node.classList.toggle("chosen", named.includes(i));
    this.boxes.classList.toggle("said", shown === "said" || shown === "looked");
  }

  /** The places among the boxes of an answer, or of all that share its map. @param {number} chosen */
  #boxesOf(chosen) {
    const boxed = this.panel.answers.filter(({ box }) => box), answer = this.panel.answers[chosen];
    return boxed.flatMap((one, i) => (one === answer || (one.map !== null && one.map === answer?.map) ? [i] : []));
  }

  /** The map of a panel as it is decoded, for a proof. @param {number} map */
  heat(map) {
    return this.#decoded ? { bitmap: this.#decoded.picture.bitmap, map: this.#decoded.maps[map] } : null;
  }
}

/** @param {import("./scenes.js").Answer[]} answers @param {(index: number) => void} choose */
function answerList(answers, choose) {
  const list = make("ol", "answers");
  list.append(...answers.map(({ label, score, map }, i) => {
    const words = make("span", "label", label), number = make("span", "score", score === null ? "" : percent(score));
    const row = make("button", "", "", [make("span", "place", String(i + 1)), words, number, barOf(score)]);
    row.disabled = map === null;
    row.addEventListener("click", () => choose(i));
    return make("li", "", "", [row]);
  }));
  return list;
}

/** @param {HTMLElement} list @param {number|null} chosen */
function mark(list, chosen) {
  for (const [i, row] of [...list.children].entries()) {
    row.classList.toggle("chosen", i === chosen);
    row.querySelector("button")?.setAttribute("aria-pressed", String(i === chosen));
  }
}
