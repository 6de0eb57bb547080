// The panels of a viewer: their elements, their sizes, and when they are drawn: at most once a frame, coarser while the user drags.

import { contextOf, density, resize } from "../../browser/canvas.js";
import { find, onceAFrame } from "../../browser/component.js";
import { boxesShown, outlineBoxes, outlineRegion } from "./marks.js";

/** @typedef {import("../../browser/draw.js").Painted} Painted */
/**
 * @typedef {import("./state.js").Listed & {element: HTMLElement, canvas: HTMLCanvasElement, base: CanvasRenderingContext2D,
 *   lines: CanvasRenderingContext2D, layer: import("../../browser/draw.js").Layer, width: number, height: number, density: number,
 *   fine: number, quick: number, flying: number, dirty: boolean, outlined: string,
 *   labels: import("./marks.js").Label[]}} Panel  width, height: CSS pixels;
 *   fine, quick, flying: canvas pixels in one of them, at rest, while a control moves and while the picture does;
 *   outlined: what the lines over it were drawn from; labels: which of them choose a box
 * @typedef {{size: number[], height: number, columns: number|null}} Sizes  of the picture, and the height of a panel in a window of 900 CSS pixels
 */

/** Milliseconds without a movement after which all is drawn as it stays. */
const STILL_MS = 150;
/** Milliseconds of work in one frame, the rest is left to the next: while dragging, and otherwise. */
const FRAME_MS = 20;
const REST_MS = 10;

/** CSS pixels of a window that is wider than a phone's. */
const PHONE = 640;
/** CSS pixels between panels; of the narrowest one, and of the narrowest where the number of columns is fixed. */
const GAP = 16;
const MIN_WIDTH = 150;
/** Width by height from which up to so many pictures stand below each other, each more than 80 % as wide as the page. */
export const PANORAMA = 2.9;
const STACKED = 3;
/** CSS pixels of the narrowest place of a title. */
const TITLE_WIDTH = 200;
const MIN_FIXED_WIDTH = 96;
/** Canvas pixels of a panel's longer side at rest; of all panels together what a frame has time for while a hand moves. */
const MAX_SIDE = 2560;
const MOVING = 1.4e6;
const FLYING = 0.4e6;

export function onPhone() {
  return innerWidth < PHONE;
}

/** Return the elements of one panel, empty. */
export function createFigure() {
  const element = document.createElement("figure");
  element.className = "panel";
  element.innerHTML =
    '<figcaption><span class="title cut"></span><span class="note cut"></span><span class="hint cut"></span></figcaption>' +
    '<div class="stage"><canvas class="base" role="img" tabindex="0"></canvas>' +
    '<canvas class="lines" aria-hidden="true"></canvas><i class="cross across"></i><i class="cross down"></i></div>' +
    '<div class="legend aligned" hidden><span class="second cut"></span><i></i><span class="first cut"></span></div>';
  return element;
}

/**
 * @param {import("./state.js").Listed} listed @param {HTMLElement} element @param {import("../../browser/draw.js").Layer} layer @returns {Panel}
 */
export function panelOf(listed, element, layer) {
  const [canvas, over] = element.querySelectorAll("canvas");
  const sizes = { width: 0, height: 0, density: 1, fine: 1, quick: 1, flying: 1, dirty: true, outlined: "" };
  return { ...listed, element, canvas, base: contextOf(canvas, true), lines: contextOf(over), layer, labels: [], ...sizes };
}

/** Return the width for all panels: that of the place around them. @param {HTMLElement} holder */
export function widthOf(holder) {
  return holder.parentElement?.clientWidth ?? 0;
}

/**
 * Return the most that a panel may be high: what is below stays in sight. Rows that do not fit one window anyway use most of one.
 * @param {Sizes} head @param {number} rows @param {number} full CSS pixels for all rows on the whole screen, else 0
 */
function mostHigh(head, rows, full) {
  if (full) return Math.max(120, (full - GAP * (rows - 1)) / rows);
  if (onPhone()) return 480;
  // A phone on its side shows a whole picture below its first row.
  const least = Math.min(300, innerHeight - 130);
  return Math.max(least, head.height + innerHeight - 900, rows > 1 && innerHeight < 900 ? 0.6 * innerHeight : 0);
}

/**
 * Fit as many columns as there is room for, in rows of equal length: four panels where three fit are two by two.
 * @param {number} count @param {number} room CSS pixels @param {number|null} fixed  so many, which may be narrower, where
 * there is room for them
 */
function columnsFor(count, room, fixed) {
  const fits = Math.max(1, Math.floor((room + GAP) / ((fixed ? MIN_FIXED_WIDTH : MIN_WIDTH) + GAP)));
  const most = Math.min(fixed ?? count, count, fits);
  return most === fixed ? most : Math.ceil(count / Math.ceil(count / most));
}

/**
 * Give every panel its size; all are equal.
 * @param {HTMLElement} holder @param {Panel[]} panels @param {Sizes} head @param {number} full CSS pixels for all rows on the whole screen, else 0
 * @returns {boolean} false where there is no room yet
 */
export function arrange(holder, panels, head, full) {
  const room = widthOf(holder), count = panels.length, aspect = head.size[0] / head.size[1];
  if (!room || !count) return false;
  const stacks = !full && !head.columns && aspect >= PANORAMA && count <= STACKED;
  const sizeOf = (/** @type {number} */ across) => {
    const high = stacks ? mostHigh(head, 1, 0) / count - GAP : mostHigh(head, Math.ceil(count / across), full);
    const wide = Math.min((room - GAP * (across - 1)) / across, high * aspect);
    return [Math.max(1, Math.floor(wide)), Math.max(1, Math.round(wide / aspect))];
  };
  let columns = stacks ? 1 : columnsFor(count, room, head.columns);
  if (full) {
    const sizes = panels.map((_, i) => sizeOf(i + 1)[0]);
    columns = sizes.lastIndexOf(Math.max(...sizes)) + 1;
  }
  const [width, height] = sizeOf(columns);
  // A tower of a picture leaves its column wide enough for a title.
  const column = Math.max(width, Math.min(TITLE_WIDTH, Math.floor((room - GAP * (columns - 1)) / columns)));
  holder.style.gridTemplateColumns = `repeat(${columns}, ${column}px)`;
  const dense = density(3), fine = Math.min(dense, MAX_SIDE / Math.max(width, height));
  const [quick, flying] = [MOVING, FLYING].map((most) => Math.min(fine, Math.sqrt(most / (width * height * count))));
  for (const panel of panels) {
    Object.assign(panel, { width, height, density: dense, fine, quick, flying });
    Object.assign(find(panel.element, ".stage").style, { width: `${width}px`, height: `${height}px` });
    // A canvas whose size changes is empty, also where it has its former size again before it is drawn.
    if (resize(panel.lines.canvas, width * dense, height * dense)) panel.outlined = "";
  }
  return true;
}

export class Painter {
  #moving = 0;
  #flying = false;
  #next = onceAFrame(() => this.draw());
  /** Called once panels are drawn. @type {(style: Painted) => void} */
  after = () => {};

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
    let painted = false;
    for (const panel of panels) {
      if (!panel.width) continue;
      // A dozen panels would block the page: all but one are left to the next frame.
      if (panel.dirty && painted && performance.now() - began > most) this.#next();
      else if (panel.dirty) painted = this.#paint(panel, picture, rect, style);
      this.#outline(panel, rect);
    }
    if (painted) this.after(style);
    if (!this.#moving && !panels.some(({ dirty, width }) => dirty && width)) root.setAttribute("data-still", "");
  }

  /** @param {Panel} panel @param {import("../../browser/canvas.js").Picture} picture @param {number[]} rect @param {Painted} style */
  #paint(panel, picture, rect, style) {
    const ratio = this.#flying ? panel.flying : this.#moving ? panel.quick : panel.fine;
    const [width, height] = [panel.width, panel.height].map((side) => Math.max(1, Math.round(side * ratio)));
    resize(panel.canvas, width, height);
    panel.layer.paint(panel.base, panel.picture ?? picture, this.state.shown(panel), style, { width, height, rect, unit: ratio });
    panel.dirty = false;
    return true;
  }

  /** Draw what is over the pixels, unless it is there already. @param {Panel} panel @param {number[]} rect */
  #outline(panel, rect) {
    const { state } = this, { settings, head, choice, region } = state, { width, height, density: scale, lines: context } = panel;
    const plain = state.plain !== state.swapped;
    const { canvas } = context, key = [head.id, canvas.width, canvas.height, width, ...rect, choice, plain, region, settings.boxes, settings.outlines].join();
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
    const boxes = plain || !settings.outlines ? [] : boxesShown(panel, state.panels, head.boxes, choice);
    const labels = outlineBoxes(context, width, height, rect, boxes, state.font, settings.boxes);
    panel.labels = panel.boxes ? [] : labels;
    if (region && !plain) outlineRegion(context, width, height, rect, region);
  }
}
