// Schedule drawing: at most once a frame, coarser while the user drags, in parts otherwise.

import { resize } from "../../browser/canvas.js";
import { COARSEST, paced } from "../../browser/geometry.js";
import { boxesShown, outlineBoxes, outlineCells, outlineDisc, outlineRegion } from "./outline.js";

/** @typedef {import("./panels.js").Panel} Panel @typedef {import("../../browser/draw.js").Painted} Painted */

const STILL_MS = 150;
/** Milliseconds of work in one frame, the rest is left to the next: while dragging, otherwise, and for the first map. */
const FRAME_MS = 20;
const REST_MS = 10;
export const FIRST_MS = 40;

export class Painter {
  #frame = 0;
  #moving = 0;
  #flying = false;
  // In the first frame of a move neither memory nor compiled code is ready: it starts coarse.
  #pace = COARSEST;
  #tick = () => this.draw();

  /**
   * @param {HTMLElement} root @param {import("./store.js").Store} store
   * @param {(rect: number[]) => void} rested  called when a frame was drawn at rest
   */
  constructor(root, store, rested) {
    this.root = root;
    this.store = store;
    this.rested = rested;
  }

  redraw(withPixels = true) {
    if (withPixels) {
      for (const panel of this.store.panels) {
        panel.dirty = true;
        panel.parts = null;
      }
      this.root.removeAttribute("data-still");
    }
    this.#frame ||= requestAnimationFrame(this.#tick);
  }

  /** Draw coarser while the user drags: a missed frame is visible, a coarse pixel is not. @param {boolean} [flying] the picture moves */
  stir(flying = this.#flying) {
    this.#flying = flying;
    clearTimeout(this.#moving);
    this.#moving = window.setTimeout(() => {
      this.#moving = 0;
      this.#flying = false;
      this.redraw();
    }, STILL_MS);
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#moving);
  }

  /** @param {number} [most] milliseconds @param {boolean} [quick] the picture less smooth */
  draw(most = this.#moving ? FRAME_MS : REST_MS, quick = this.#flying) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { store, root } = this, { panels } = store;
    if (!store.picture) return;
    const rect = store.visible(), style = store.style(quick), began = performance.now();
    const late = () => performance.now() - began > most;
    let painted = false;
    for (const panel of panels) {
      if (!panel.width) continue;
      if (panel.dirty) painted = this.#paint(panel, rect, style, late) || painted;
      this.outline(panel.lines, panel, panel.density, rect);
    }
    if (this.#flying && painted) {
      const before = this.#pace;
      this.#pace = paced(before, performance.now() - began);
      // Sharper at once, not only at the next movement.
      if (this.#pace > before) this.redraw();
    }
    if (this.#moving) return;
    // All is drawn, except for what was requested from Python.
    if (!panels.some(({ dirty, width }) => dirty && width)) root.setAttribute("data-still", "");
    this.rested(rect);
  }

  /**
   * Paint a panel unless it is too late: a large picture, or a dozen of them, would block the page, so the rest is left to
   * the next frame. While dragging nothing is left over, as the next frame shows something else.
   * @param {Panel} panel @param {number[]} rect @param {Painted} style @param {() => boolean} late
   */
  #paint(panel, rect, style, late) {
    const { store } = this;
    const ratio = this.#flying ? panel.flying * Math.sqrt(this.#pace) : this.#moving ? panel.quick : panel.fine;
    const [width, height] = [panel.width, panel.height].map((side) => Math.max(1, Math.round(side * ratio)));
    const frame = { width, height, rect, unit: ratio };
    if (!(this.#moving ? !late() : this.#prepared(panel, frame, style, late))) {
      this.#frame ||= requestAnimationFrame(this.#tick);
      return false;
    }
    resize(panel.canvas, width, height);
    const picture = /** @type {import("../../browser/picture.js").Picture} */ (store.picture);
    panel.layer.paint(panel.base, picture, store.shown(panel), style, frame, panel.parts?.made);
    panel.dirty = false;
    panel.parts = null;
    return true;
  }

  /**
   * Prepare a panel for painting, and return whether it is ready; the next frame continues.
   * @param {Panel} panel @param {import("../../browser/draw.js").Frame} frame @param {Painted} style @param {() => boolean} late
   */
  #prepared(panel, frame, style, late) {
    const { store } = this, picture = /** @type {import("../../browser/picture.js").Picture} */ (store.picture);
    const key = [frame.width, frame.height, frame.unit, style.quick, ...frame.rect].join();
    if (panel.parts?.key !== key) {
      panel.parts = { key, steps: panel.layer.prepare(picture, store.shown(panel), style, frame), made: null };
    }
    const { parts } = panel;
    for (;;) {
      const { done, value } = parts.steps.next();
      if (done) parts.made ??= value ?? null;
      if (late() || done) return !late();
    }
  }

  /**
   * Draw what is over the pixels, unless it is there already.
   * @param {CanvasRenderingContext2D} context @param {Panel} panel @param {number} scale @param {number[]} rect
   */
  outline(context, panel, scale, rect) {
    const { store } = this, { settings, head, plain, choice, marker, disc } = store, { width, height } = panel;
    const { canvas } = context, own = context === panel.lines, map = store.shown(panel), boxed = !plain && settings.boxes;
    const celled = map && settings.cells && !["picture", "contour"].includes(settings.mode);
    const cellsFrom = store.layout() === "swipe" ? settings.split * width : 0, chosen = boxed ? [head.id, choice] : "";
    const covered = disc ? [disc.x, disc.y, disc.radius, Boolean(disc.blurred)] : "";
    const key = [canvas.width, canvas.height, width, ...rect, chosen, celled, cellsFrom, plain, marker.version, covered].join();
    if (own && panel.outlined === key) return;
    if (own) panel.outlined = key;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.lineCap = context.lineJoin = "round";
    outlineDisc(context, width, height, rect, disc);
    if (map && celled) outlineCells(context, width, height, rect, map, cellsFrom);
    const boxes = boxed ? boxesShown(panel, store.panels, head.boxes, choice) : [];
    const labels = outlineBoxes(context, width, height, rect, boxes, store.font);
    if (own) panel.labels = panel.boxes ? [] : labels;
    for (const drawn of plain ? [] : [marker.region, marker.question]) {
      outlineRegion(context, width, height, rect, drawn, head.size);
    }
  }
}
