// The state of one viewer and what is derived from it, without the page.

import { contextOf, density, resize } from "../../browser/canvas.js";
import { find } from "../../browser/component.js";
import { columnsFor, GAP, heightFor, panelSize, pointIn, visible, WHOLE } from "../../browser/geometry.js";
import { createMarker } from "./region.js";
import { defaults } from "./settings.js";

/**
 * @typedef {import("../../browser/draw.js").HeatMap} HeatMap
 * @typedef {{title: string, note: string, maps: HeatMap[], boxes: import("./marks.js").Box[]|null}} Listed  boxes: its own; null: the
 *   viewer's
 * @typedef {Listed & {element: HTMLElement, canvas: HTMLCanvasElement, base: CanvasRenderingContext2D,
 *   lines: CanvasRenderingContext2D, layer: import("../../browser/draw.js").Layer, width: number, height: number, density: number,
 *   fine: number, quick: number, flying: number, dirty: boolean, outlined: string,
 *   labels: import("./marks.js").Label[],
 *   parts: {key: string, steps: ReturnType<import("../../browser/draw.js").Layer["prepare"]>,
 *     made: import("../../browser/picture.js").Part|null}|null}} Panel  width, height: CSS pixels;
 *   fine, quick, flying: canvas pixels in one of them, at rest, while a control moves and while the picture does;
 *   outlined: what the lines over it were drawn from; labels: which of them choose a box;
 *   parts: of what is being drawn at rest
 */

const PHONE = 640;
/** Canvas pixels of a panel's longer side at rest; of all panels together what a frame has time for while a hand moves. */
const MAX_SIDE = 2560;
const MOVING = 1.4e6;
const FLYING = 0.6e6;
/** CSS pixels over each panel, and between two rows. */
const CAPTION = 24, ROW_GAP = 12;

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
    '<canvas class="lines" aria-hidden="true"></canvas><i class="cross across"></i><i class="cross down"></i>' +
    '<input type="range" class="split" min="0" max="1" step="0.005" aria-label="Divider between picture and map">' +
    '<span class="hint" hidden>Ctrl or \u2318 with the wheel zooms</span></div>' +
    '<div class="legend aligned" hidden><span class="second"></span><i></i><span class="first"></span></div>';
  return element;
}

/**
 * @param {Listed} listed @param {HTMLElement} element @param {import("../../browser/draw.js").Layer} layer @returns {Panel}
 */
export function panelOf(listed, element, layer) {
  const [canvas, over] = element.querySelectorAll("canvas");
  const sizes = { width: 0, height: 0, density: 1, fine: 1, quick: 1, flying: 1, dirty: true, outlined: "", parts: null };
  return { ...listed, element, canvas, base: contextOf(canvas, true), lines: contextOf(over), layer, labels: [], ...sizes };
}

/**
 * Keep as much room for panels as they will take: pictures come a moment later, and what is below must not jump.
 * @param {HTMLElement} holder @param {number} count @param {{size: number[], height: number, columns: number|null}} head
 */
export function reserve(holder, count, head) {
  const room = holder.clientWidth;
  if (!room || !count) return;
  const columns = columnsFor(count, room, head.columns), rows = Math.ceil(count / columns);
  const most = onPhone() ? 480 : heightFor(head.height, innerHeight, rows);
  const [, height] = panelSize(room, columns, head.size[0] / head.size[1], most);
  holder.style.minHeight = `${rows * (height + CAPTION) + (rows - 1) * ROW_GAP}px`;
}

/**
 * Give every panel its size; all are equal.
 * @param {HTMLElement} holder @param {Panel[]} panels
 * @param {{size: number[], height: number, columns: number|null}} head @param {boolean} full on the whole screen
 * @returns {boolean} false where there is no room yet
 */
export function arrange(holder, panels, head, full) {
  const room = holder.clientWidth, count = panels.length, aspect = head.size[0] / head.size[1];
  if (!room || !count) return false;
  const maxHeight = (/** @type {number} */ across) => {
    const rows = Math.ceil(count / across);
    if (full) return Math.max(120, (innerHeight - 220 - 40 * (rows - 1)) / rows);
    return onPhone() ? 480 : heightFor(head.height, innerHeight, rows);
  };
  let columns = columnsFor(count, room, head.columns);
  if (full) {
    const sizes = panels.map((_, i) => panelSize(room, i + 1, aspect, maxHeight(i + 1))[0]);
    columns = sizes.lastIndexOf(Math.max(...sizes)) + 1;
  }
  const [width, height] = panelSize(room, columns, aspect, maxHeight(columns));
  holder.style.minHeight = "";
  // A tower of a picture leaves its column wide enough for a title.
  const column = Math.max(width, Math.min(120, Math.floor((room - GAP * (columns - 1)) / columns)));
  holder.style.gridTemplateColumns = `repeat(${columns}, ${column}px)`;
  const dense = density(3), fine = Math.min(dense, MAX_SIDE / Math.max(width, height));
  const [quick, flying] = [MOVING, FLYING].map((most) => Math.min(fine, Math.sqrt(most / (width * height * count))));
  // Beside a long note a name would lose its end: then all have a line for each.
  holder.classList.remove("narrow");
  const cut = panels.some(({ element }) => find(element, ".title").scrollWidth > find(element, ".title").clientWidth);
  holder.classList.toggle("narrow", cut);
  for (const panel of panels) {
    Object.assign(panel, { width, height, density: dense, fine, quick, flying });
    Object.assign(find(panel.element, ".stage").style, { width: `${width}px`, height: `${height}px` });
    resize(panel.lines.canvas, width * dense, height * dense);
  }
  return true;
}

/**
 * @typedef {import("../../browser/component.js").Send} Send
 * @typedef {import("../../browser/geometry.js").Rect} Rect
 * @typedef {Omit<Listed, "maps"> & {maps: import("../../browser/draw.js").MapHead[]}} PanelHead
 * @typedef {{id: string, picture: string, size: number[], panels: PanelHead[], plain: Listed, grids: number[][],
 *   boxes: import("./marks.js").Box[], range: number[]|null, reach: number|null, choice: number|null, height: number,
 *   columns: number|null, line: string, beside: boolean, marks: boolean, asks: boolean, files: boolean, private: boolean,
 *   dimmed: boolean,
 *   initial: Record<string, string>|null, colormaps: import("./controls.js").Colormap[]}} Head  as Python packs it
 */

/** @type {Head} before the first payload, which has an id */
const EMPTY = {
  ...{ id: "", picture: "", size: [1, 1], panels: [], plain: { title: "", note: "", maps: [], boxes: null }, grids: [] },
  ...{ boxes: [], range: null, reach: null, choice: null, height: 0, columns: null, line: "", beside: false, marks: false },
  ...{ asks: false, files: true, private: false, dimmed: false, initial: null, colormaps: [] },
};

export class Store {
  /** @type {{setStateValue: Send, setTriggerValue: Send}} */
  send = { setStateValue: () => {}, setTriggerValue: () => {} };
  head = EMPTY;
  /** @type {import("../../browser/picture.js").Picture|null} */
  picture = null;
  /** @type {Listed[]} */
  listed = [];
  /** @type {Panel[]} those of them that are on the page, and the plain picture beside them */
  panels = [];
  settings = defaults();
  /** @type {Map<string, {lut: Uint8Array, hot: string}>} */
  colormaps = new Map();
  viewport = WHOLE;
  /** @type {number|null} the map that panels of several maps show */
  choice = null;
  /** @type {number[]|null} where a person points, in original pixels */
  point = null;
  /** Whether the plain picture covers the maps just now. */
  plain = false;
  dark = false;
  font = "sans-serif";
  /** @type {{shown: string, texts: string[], recipes: (string|null)[]}|null} */
  texts = null;

  /** Whether the settings are those of a file that was opened again, which end with its map. */
  passing = false;

  /** @param {(done: boolean) => void} marked @param {(xyxy: number[]) => void} asked */
  constructor(marked, asked) {
    this.marker = createMarker(marked, asked);
  }

  lut() {
    const { colormaps, settings } = this;
    return (colormaps.get(settings.colormap) ?? [...colormaps.values()][0]).lut;
  }

  /** Return the map a panel is about, whether or not the plain picture covers it just now. @param {Panel} panel */
  mapOf({ maps }) {
    return maps.length === 1 ? maps[0] : (maps[this.choice ?? 0] ?? null);
  }

  /** Return the map a panel shows. @param {Panel} panel */
  shown(panel) {
    return this.plain ? null : this.mapOf(panel);
  }

  maps() {
    return this.listed.flatMap(({ maps }) => maps);
  }

  heats() {
    return this.maps().filter(({ kind }) => kind === "heat");
  }

  /** Return the maps that have raw values, and so other scales than their own. */
  scaled() {
    return this.maps().filter(({ kind }) => kind !== "difference");
  }

  /** @param {HeatMap|null} map */
  textOf(map) {
    const late = map && this.texts?.shown === this.head.id ? this.texts.texts[this.maps().indexOf(map)] : "";
    return map?.text || late || "";
  }

  /** Return the recipe that a file of the view carries. */
  recipe() {
    const first = this.panels.map((panel) => this.mapOf(panel)).find(Boolean);
    return first && this.texts?.shown === this.head.id ? this.texts.recipes[this.maps().indexOf(first)] : null;
  }

  layout() {
    const { settings: { layout }, head: { beside, size } } = this;
    if (layout !== "auto") return layout;
    return beside && size[1] >= size[0] && !onPhone() ? "beside" : "single";
  }

  /** Whether every map can be shown on a scale that is not its own. @param {string} scale */
  scaleFits(scale) {
    return this.scaled().every(({ raw, shared }) => raw || (scale === "shared" && shared));
  }

  scale() {
    return this.scaleFits(this.settings.scale) ? this.settings.scale : "own";
  }

  style(quick = false) {
    const settings = { ...this.settings, layout: this.layout(), scale: this.scale() };
    return { settings, lut: this.lut(), dark: this.dark, range: this.head.range, reach: this.head.reach, quick };
  }

  /** Return what is visible, in original pixels. */
  visible() {
    return visible(this.viewport, this.head.size);
  }

  /** Return a point of a panel, in fractions of it, in original pixels. @param {number} fx @param {number} fy */
  original(fx, fy) {
    return pointIn(this.visible(), fx, fy);
  }

  /**
   * Return the point one step of an arrow key beside another, or beside the middle.
   * @param {number[]|null} at @param {[number, number]} arrow @param {boolean} near
   */
  beside(at, arrow, near) {
    const by = (near ? 0.01 : 0.05) / this.viewport.zoom, from = at ?? this.original(0.5, 0.5);
    return this.head.size.map((side, i) => Math.min(side - 0.5, Math.max(0.5, from[i] + by * side * arrow[i])));
  }
}
