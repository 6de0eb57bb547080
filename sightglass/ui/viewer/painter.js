// Schedule drawing: at most once a frame, coarser while the user drags.

import { resize } from "../../browser/canvas.js";
import { onceAFrame } from "../../browser/component.js";
import { boxesShown, outlineBoxes, outlineRegion } from "./marks.js";

/** @typedef {import("./panels.js").Panel} Panel @typedef {import("../../browser/draw.js").Painted} Painted */

const STILL_MS = 150;
/** Milliseconds of work in one frame, the rest is left to the next: while dragging, and otherwise. */
const FRAME_MS = 20;
const REST_MS = 10;

export class Painter {
  #moving = 0;
  #flying = false;
  #next = onceAFrame(() => this.draw());

  /** @param {HTMLElement} root @param {import("./state.js").State} state */
  constructor(root, state) {
    this.root = root;
    this.state = state;
  }

  redraw(withPixels = true) {
    if (withPixels) {
      for (const panel of this.state.panels) panel.dirty = true;
      this.root.removeAttribute("data-still");
    }
    this.#next();
  }

  /** Let what a panel shows fade out over what comes next. @param {Panel} panel */
  fade({ canvas, element }) {
    const ghost = /** @type {HTMLCanvasElement} */ (canvas.cloneNode()), stage = canvas.parentElement;
    if (!canvas.width || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    for (const before of element.querySelectorAll(".ghost")) before.remove();
    for (const name of ["role", "tabindex", "aria-label"]) ghost.removeAttribute(name);
    ghost.className = "ghost";
    ghost.getContext("2d")?.drawImage(canvas, 0, 0);
    ghost.addEventListener("animationend", () => ghost.remove());
    stage?.append(ghost);
  }

  /** Draw coarser while the user drags: a missed frame is visible, a coarse pixel is not. @param {boolean} [flying] the picture moves */
  stir(flying = this.#flying) {
    this.#flying = flying;
    clearTimeout(this.#moving);
    this.#moving = window.setTimeout(() => this.rest(), STILL_MS);
  }

  /** Draw as it stays. */
  rest() {
    clearTimeout(this.#moving);
    this.#moving = 0;
    this.#flying = false;
    this.redraw();
  }

  /** @param {number} [most] milliseconds */
  draw(most = this.#moving ? FRAME_MS : REST_MS) {
    const { state, root } = this, { panels, picture } = state;
    if (!picture || !root.isConnected) return;
    const rect = state.visible(), style = state.style(this.#flying), began = performance.now();
    for (const panel of panels) {
      if (!panel.width) continue;
      // A dozen panels would block the page: the rest is left to the next frame.
      if (panel.dirty && performance.now() - began > most) this.#next();
      else if (panel.dirty) this.#paint(panel, picture, rect, style);
      this.#outline(panel, rect);
    }
    if (!this.#moving && !panels.some(({ dirty, width }) => dirty && width)) root.setAttribute("data-still", "");
  }

  /** @param {Panel} panel @param {import("../../browser/picture.js").Picture} picture @param {number[]} rect @param {Painted} style */
  #paint(panel, picture, rect, style) {
    const ratio = this.#flying ? panel.flying : this.#moving ? panel.quick : panel.fine;
    const [width, height] = [panel.width, panel.height].map((side) => Math.max(1, Math.round(side * ratio)));
    resize(panel.canvas, width, height);
    panel.layer.paint(panel.base, panel.picture ?? picture, this.state.shown(panel), style, { width, height, rect, unit: ratio });
    panel.dirty = false;
  }

  /** Draw what is over the pixels, unless it is there already. @param {Panel} panel @param {number[]} rect */
  #outline(panel, rect) {
    const { state } = this, { settings, head, plain, choice, region } = state, { width, height, density: scale, lines: context } = panel;
    const { canvas } = context, key = [head.id, canvas.width, canvas.height, width, ...rect, choice, plain, region, settings.boxes].join();
    const covers = state.shot(panel)?.cover, cover = covers && state.picture ? covers(state.picture) : null;
    if (panel.outlined === key && !cover && !state.cover) return;
    panel.outlined = cover || state.cover ? "" : key;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.lineCap = context.lineJoin = "round";
    if (cover && !plain) {
      const [x0, y0, x1, y1] = rect, across = cover.width / head.size[0], down = cover.height / head.size[1];
      context.drawImage(cover, x0 * across, y0 * down, (x1 - x0) * across, (y1 - y0) * down, 0, 0, width, height);
    } else if (!plain && !panel.pictured) state.cover?.(context, rect);
    const boxes = plain ? [] : boxesShown(panel, state.panels, head.boxes, choice);
    const labels = outlineBoxes(context, width, height, rect, boxes, state.font, settings.boxes);
    panel.labels = panel.boxes ? [] : labels;
    if (region && !plain) outlineRegion(context, width, height, rect, region);
  }
}
