// The panels of a viewer on the page: their elements and their sizes.

import { contextOf, density, resize } from "../../browser/canvas.js";
import { find } from "../../browser/component.js";
import { columnsFor, GAP, heightFor, panelSize } from "../../browser/geometry.js";

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

/** Return the most that a panel may be high. @param {Wanted} head @param {number} rows @param {boolean} full on the whole screen */
function mostHigh(head, rows, full) {
  if (full) return Math.max(120, (innerHeight - 130 - GAP * (rows - 1)) / rows);
  return onPhone() ? 480 : heightFor(head.height, innerHeight, rows);
}

/**
 * Give every panel its size; all are equal.
 * @param {HTMLElement} holder @param {Panel[]} panels @param {Wanted} head @param {boolean} full on the whole screen
 * @returns {boolean} false where there is no room yet
 */
export function arrange(holder, panels, head, full) {
  const room = widthOf(holder), count = panels.length, aspect = head.size[0] / head.size[1];
  if (!room || !count) return false;
  const sizeOf = (/** @type {number} */ across) => panelSize(room, across, aspect, mostHigh(head, Math.ceil(count / across), full));
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
