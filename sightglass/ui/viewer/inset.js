// The plain picture, small, beside or in a corner of a landscape picture's map; a click or a key swaps the two.

import { Picture, contextOf, density, resize } from "../../browser/canvas.js";
import { find } from "../../browser/component.js";
import { Layer } from "../../browser/draw.js";
import { onPhone } from "./painter.js";

/** CSS pixels of the longer side; of the narrowest place beside the map that it is put into. */
const INSET_SIDE = 220;
const INSET_LEAST = 120;
const INSET_GAP = 16;
/** Its share of the map's width where it lies in a corner of it. */
const CORNER_SHARE = 0.2;

export class Inset {
  #layer = new Layer();
  /** @type {Picture|null} */
  #picture = null;

  /** @param {HTMLElement} root @param {import("./state.js").State} state */
  constructor(root, state) {
    this.button = find(root, ".inset");
    this.context = contextOf(/** @type {HTMLCanvasElement} */ (this.button.querySelector("canvas")), true);
    this.state = state;
  }

  /** Whether there is a plain picture that is nowhere else on the page. */
  get offered() {
    const { state } = this;
    const { head, panels } = state;
    const single = panels.length === 1 && panels[0].maps.length > 0 && !panels[0].pictured;
    return Boolean(head.id) && head.beside && single && state.layout() === "single" && !onPhone();
  }

  /** Give it its size, and its place: beside the panel where there is room, else in a corner of it. @param {number} room CSS pixels */
  place(room) {
    const { button, state } = this;
    button.hidden = !this.offered;
    if (button.hidden) return;
    const [{ width, height }] = state.panels;
    const spare = room - width - INSET_GAP;
    const beside = spare >= INSET_LEAST;
    const most = beside ? Math.min(INSET_SIDE, spare) : CORNER_SHARE * width;
    const scale = Math.min(most / width, INSET_SIDE / height);
    button.classList.toggle("corner", !beside);
    const canvas = /** @type {HTMLCanvasElement} */ (this.context.canvas);
    Object.assign(canvas.style, { width: `${width * scale}px`, height: `${height * scale}px` });
    button.style.left = beside ? "" : `${width - width * scale - 10}px`;
    button.style.top = beside ? "" : `${height - height * scale - 10}px`;
  }

  /** Draw what the panel does not show. @param {import("../../browser/draw.js").Painted} style */
  draw(style) {
    const { button, context, state } = this;
    if (button.hidden || !state.picture) return;
    if (this.#picture?.bitmap !== state.picture.bitmap) this.#picture = new Picture(state.picture.bitmap, state.head.size);
    const canvas = /** @type {HTMLCanvasElement} */ (context.canvas);
    const unit = density(2);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * unit)));
    resize(canvas, width, height);
    const map = state.swapped ? state.mapOf(state.panels[0]) : null;
    this.#layer.paint(context, this.#picture, map, style, { width, height, rect: [0, 0, ...state.head.size], unit });
    find(button, "span").textContent = state.swapped ? "Map" : "Picture";
  }
}
