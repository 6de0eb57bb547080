// One picture on the stage: the picture below, its map over it, which fades in, and boxes over both; and answers as bars.

import { DEFAULTS } from "../../common/style.js";
import { contextOf, density, resize } from "../../browser/canvas.js";
import { percent } from "../../browser/curves.js";
import { make } from "../../browser/elements.js";
import { Layer } from "../../browser/draw.js";

/** @typedef {import("./scenes.js").Scene} Scene @typedef {import("./state.js").State} State @typedef {import("./scenes.js").Item} Item */

/** Canvas pixels of the longer side, and of all of a map while a hand moves. */
const MOST_SIDE = 2560;
const WHILE_MOVING = 4e5;
/** Thickness of lines by the height of the picture: of 540 pixels it is the viewer's. */
const LINES = 540;

export class PanelView {
  #layer = new Layer();
  #painted = "";
  /** CSS pixels. */
  size = [0, 0];
  /** The places of the boxes that the shown map explains. @type {number[]} */
  chosen = [];
  /** @type {{picture: import("../../browser/picture.js").Picture, maps: import("../../browser/draw.js").HeatMap[]}|null} */
  #decoded = null;

  /** @param {Scene} scene @param {Extract<Item, {type: "Sight"}>} item @param {(held: boolean) => void} hold @param {() => void} show */
  constructor(scene, item, hold, show) {
    this.scene = scene;
    this.item = item;
    this.panel = scene.panels[item.panel] ?? { name: "", answers: [], maps: [], boxes: false, size: scene.size, seen: null };
    this.base = make("canvas", "base");
    this.over = make("canvas", "over");
    this.veil = make("canvas", "veil");
    this.base.setAttribute("role", "img");
    const name = this.panel.name || "the model";
    this.base.setAttribute("aria-label", item.map === null ? `The picture, ${name}` : `The picture, and the heat map of ${name}`);
    for (const canvas of [this.over, this.veil]) canvas.setAttribute("aria-hidden", "true");
    this.boxes = make("div", "boxes");
    this.frame = make("div", "frame", "", [this.base, this.over, this.veil, this.boxes]);
    this.frame.dataset.panel = String(item.panel);
    this.frame.classList.toggle("plain", item.map === null);
    if (item.boxes) this.#outline();
    if (this.panel.seen) this.#fade(this.panel.seen);
    this.#holds(hold);
    this.frame.addEventListener("dblclick", show);
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

  /** Lay the ground, half clear, over what the model did not see. @param {number[]} seen */
  #fade([x0, y0, x1, y1]) {
    for (const part of [[0, 0, 1, y0], [0, y1, 1, 1], [0, y0, x0, y1], [x1, y0, 1, y1]]) this.frame.append(placed("faded", part));
  }

  #outline() {
    for (const { box } of this.panel.answers) if (box) this.boxes.append(placed("box", box));
  }

  /** @param {import("../../browser/picture.js").Picture} picture @param {import("../../browser/draw.js").HeatMap[]} maps */
  take(picture, maps) {
    this.#decoded = { picture, maps };
    this.#painted = "";
    this.#drawBase();
  }

  /** Take the size that the layout gives it. */
  fit() {
    const { clientWidth: width, clientHeight: height } = this.frame;
    if (!width || (this.size[0] === width && this.size[1] === height)) return;
    this.size = [width, height];
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
    const [width, height] = this.size, ratio = Math.min(density(), MOST_SIDE / Math.max(1, width, height));
    const share = Math.min(1, Math.sqrt(most / Math.max(1, width * height * ratio ** 2)));
    return [width, height].map((side) => Math.round(side * ratio * share));
  }

  /**
   * Paint the map, unless it is there: before it fades in, so that no frame waits for it.
   * @param {number} map @param {State} state @param {import("./scenes.js").Colours} colours @param {boolean} moving @param {boolean} dark
   */
  paint(map, { mode, opacity, threshold, colormap }, colours, moving, dark) {
    this.fit();
    const key = [map, mode, opacity, threshold, colormap, moving, dark, ...this.size].join(), [width, height] = this.#pixels(moving ? WHILE_MOVING : Infinity);
    const heat = this.#decoded?.maps[map];
    if (key === this.#painted || !heat || !this.#decoded || !width) return;
    this.#painted = key;
    const { over, panel } = this;
    resize(over, width, height);
    const unit = (width / this.size[0]) * Math.max(1, this.size[1] / LINES), frame = { width, height, rect: [0, 0, ...panel.size], unit };
    const settings = { ...DEFAULTS, mode, alpha: opacity, threshold, colormap, layout: /** @type {const} */ ("single") };
    const style = { settings, lut: colours.lut, dark, range: null, quick: moving };
    this.#layer.clear().paint(contextOf(over, true), this.#decoded.picture, heat, style, frame);
    over.dataset.drawn = key;
  }

  /** @param {import("./state.js").Step|"later"} shown @param {number|null} map @param {boolean} plain */
  show(shown, map, plain) {
    this.frame.dataset.shown = shown;
    this.frame.classList.toggle("heated", map !== null && shown === "looked" && !plain);
  }

  /** Mark the boxes of an answer, or of all that share its map. @param {number} answer */
  mark(answer) {
    const { answers } = this.panel, own = answers[answer];
    this.chosen = answers.flatMap((one, i) => (one.box && (one === own || (one.map !== null && one.map === own?.map)) ? [i] : []));
    for (const [i, node] of [...this.boxes.children].entries()) node.classList.toggle("chosen", this.chosen.includes(i));
  }

  /** The map of a panel as it is decoded, for a proof. @param {number} map */
  heat(map) {
    const heat = this.#decoded?.maps[map];
    return this.#decoded && heat ? { bitmap: this.#decoded.picture.bitmap, map: heat } : null;
  }
}

/** @param {string} name @param {number[]} box  xyxy, 0..1 of the picture */
function placed(name, [x0, y0, x1, y1]) {
  const node = make("div", name);
  Object.assign(node.style, { left: `${100 * x0}%`, top: `${100 * y0}%`, width: `${100 * (x1 - x0)}%`, height: `${100 * (y1 - y0)}%` });
  return node;
}

export class BarsView {
  /** @param {Scene} scene @param {Extract<Item, {type: "Bars"}>} item @param {(index: number) => void} choose */
  constructor(scene, item, choose) {
    this.item = item;
    const answers = scene.panels[item.panel]?.answers ?? [];
    this.list = make("ol", "answers");
    item.answers.forEach(([label, score], i) => {
      const place = item.places[i] ?? -1, row = make("button", "", "", [make("span", "label", label), make("span", "score", percent(score)), barOf(score)]);
      row.disabled = (answers[place]?.map ?? null) === null;
      row.addEventListener("click", () => choose(place));
      this.list.append(make("li", "", "", [row]));
    });
  }

  /** @param {number|null} chosen  place among the panel's answers, or among its own rows */
  show(chosen) {
    for (const [i, row] of [...this.list.children].entries()) {
      const on = chosen !== null && (this.item.places[i] ?? i) === chosen;
      row.classList.toggle("chosen", on);
      row.querySelector("button")?.setAttribute("aria-pressed", String(on));
    }
  }
}

const ELEMENTS = { Title: "h2", Sentence: "p" };

/** @param {Extract<Item, {type: "Text"}>} item */
export function drawText({ name, words, size, bold, tone, right }) {
  const node = make(/** @type {"h2"} */ (ELEMENTS[/** @type {"Title"} */ (name)] ?? "div"), `text ${tone} ${name.split(" ")[0].toLowerCase()}`, words);
  node.dataset.words = words;
  node.style.setProperty("--size", String(size));
  node.classList.toggle("bold", bold);
  node.classList.toggle("right", right);
  return node;
}

/** @param {Extract<Item, {type: "Key"}>} item */
export function drawKey({ colours, ends, size, heat }) {
  const strip = make("i", "strip"), node = make("div", "key", "", [strip, make("span", "", ends[0]), make("span", "", ends[1])]);
  const stops = colours.map((rgb) => `rgb(${rgb.join(" ")})`);
  node.style.setProperty("--colours", `linear-gradient(90deg, ${stops.join(", ")})`);
  node.style.setProperty("--size", String(size));
  if (heat) node.dataset.heat = "yes";
  return node;
}

/** A score as a bar that grows, below its number. @param {number|null} score 0..1 */
export function barOf(score) {
  const fill = make("i", "fill");
  fill.style.setProperty("--score", String(score ?? 0));
  return make("span", "track", "", [fill]);
}
