// The panels of a viewer on the page: their elements and their sizes.

import { contextOf, density, resize } from "../../browser/canvas.js";
import { find } from "../../browser/component.js";

/**
 * @typedef {import("./state.js").Listed & {element: HTMLElement, canvas: HTMLCanvasElement, base: CanvasRenderingContext2D,
 *   lines: CanvasRenderingContext2D, layer: import("../../browser/draw.js").Layer, width: number, height: number, density: number,
 *   fine: number, quick: number, flying: number, dirty: boolean, outlined: string,
 *   labels: import("./marks.js").Label[]}} Panel  width, height: CSS pixels;
 *   fine, quick, flying: canvas pixels in one of them, at rest, while a control moves and while the picture does;
 *   outlined: what the lines over it were drawn from; labels: which of them choose a box
 * @typedef {{size: number[], height: number, columns: number|null}} Wanted  size of the picture, height of a panel
 */

const PHONE = 640;
/** CSS pixels between panels; of the narrowest one, and of the narrowest where the number of columns is fixed. */
const GAP = 16;
const MIN_WIDTH = 150;
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
    '<figcaption><span class="title cut"></span><span class="note cut"></span></figcaption>' +
    '<div class="stage"><canvas class="base" role="img" tabindex="0"></canvas>' +
    '<canvas class="lines" aria-hidden="true"></canvas><i class="cross across"></i><i class="cross down"></i></div>' +
    '<div class="legend aligned" hidden><span class="second cut"></span><i></i><span class="first cut"></span></div><p class="facts"></p>';
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

/** Return the width for all panels: that of the place around them, without the scale beside them. @param {HTMLElement} holder */
export function widthOf(holder) {
  const { parentElement: area, nextElementSibling: scale } = holder;
  const beside = onPhone() ? 0 : /** @type {HTMLElement} */ (scale).offsetWidth;
  return (area?.clientWidth ?? 0) - (beside && beside + GAP / 2);
}

/**
 * Return the most that a panel may be high: what is below stays in sight. Rows that do not fit one window anyway use most of one.
 * @param {Wanted} head @param {number} rows @param {boolean} full on the whole screen
 */
function mostHigh(head, rows, full) {
  if (full) return Math.max(120, (innerHeight - 130 - GAP * (rows - 1)) / rows);
  return onPhone() ? 480 : Math.max(300, head.height + innerHeight - 900, rows > 1 && innerHeight < 900 ? 0.6 * innerHeight : 0);
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
 * @param {HTMLElement} holder @param {Panel[]} panels @param {Wanted} head @param {boolean} full on the whole screen
 * @returns {boolean} false where there is no room yet
 */
export function arrange(holder, panels, head, full) {
  const room = widthOf(holder), count = panels.length, aspect = head.size[0] / head.size[1];
  if (!room || !count) return false;
  const sizeOf = (/** @type {number} */ across) => {
    const wide = Math.min((room - GAP * (across - 1)) / across, mostHigh(head, Math.ceil(count / across), full) * aspect);
    return [Math.max(1, Math.floor(wide)), Math.max(1, Math.round(wide / aspect))];
  };
  let columns = columnsFor(count, room, head.columns);
  if (full) {
    const sizes = panels.map((_, i) => sizeOf(i + 1)[0]);
    columns = sizes.lastIndexOf(Math.max(...sizes)) + 1;
  }
  const [width, height] = sizeOf(columns);
  // A tower of a picture leaves its column wide enough for a title.
  const column = Math.max(width, Math.min(120, Math.floor((room - GAP * (columns - 1)) / columns)));
  holder.style.gridTemplateColumns = `repeat(${columns}, ${column}px)`;
  const dense = density(3), fine = Math.min(dense, MAX_SIDE / Math.max(width, height));
  const [quick, flying] = [MOVING, FLYING].map((most) => Math.min(fine, Math.sqrt(most / (width * height * count))));
  for (const panel of panels) {
    Object.assign(panel, { width, height, density: dense, fine, quick, flying });
    Object.assign(find(panel.element, ".stage").style, { width: `${width}px`, height: `${height}px` });
    resize(panel.lines.canvas, width * dense, height * dense);
  }
  return true;
}
