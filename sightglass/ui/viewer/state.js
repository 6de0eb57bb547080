// The state of one viewer and what is derived from it, without the page.

import { visible, WHOLE } from "../../browser/geometry.js";
import { DEFAULTS } from "../../common/style.js";
import { corners, Hand } from "../painter/edits.js";
import { onPhone, PANORAMA } from "./painter.js";

/**
 * @typedef {import("../../browser/draw.js").HeatMap} HeatMap
 * @typedef {{title: string, note: string, facts: import("../../browser/component.js").Fact[], maps: HeatMap[],
 *   boxes: import("./marks.js").Box[]|null, pictured?: boolean, picture?: import("../../browser/canvas.js").Picture,
 *   place?: number}} Listed  boxes: its own; null: the viewer's; pictured: it has a picture of its own; place: of its first map in the
 *   list of all maps, and of all panels that have facts alone
 * @typedef {import("./painter.js").Panel} Panel
 * @typedef {Omit<Listed, "maps"> & {maps: import("../../browser/draw.js").MapHead[]}} PanelHead
 * @typedef {{id: string, picture: string, size: number[], panels: PanelHead[], plain: Listed, grids: number[][],
 *   boxes: import("./marks.js").Box[], choice: number|null, keys: string[], spread: boolean, height: number,
 *   columns: number|null, line: string, beside: boolean, area: boolean, touch: string, private: string, keeps: number|null, lacks: string[], dimmed: boolean, together: boolean,
 *   initial: Record<string, string>|null, colormaps: import("./controls.js").Colormap[]}} Head  as Python packs it
 */

/** @type {Head} before the first payload, which has an id */
const EMPTY = {
  ...{ id: "", picture: "", size: [1, 1], panels: [], plain: { title: "", note: "", facts: [], maps: [], boxes: null } },
  ...{ grids: [], boxes: [], choice: null, keys: [], spread: false, height: 0, columns: null, line: "", beside: false, area: false, touch: "" },
  ...{ private: "", keeps: null, lacks: [], dimmed: false, together: false, initial: null, colormaps: [] },
};

export class State {
  head = EMPTY;
  /** @type {import("../../browser/canvas.js").Picture|null} */
  picture = null;
  /** @type {Listed[]} */
  listed = [];
  /** @type {Panel[]} those of them that are on the page, and the plain picture beside them */
  panels = [];
  settings = { ...DEFAULTS };
  /** @type {Map<string, Uint8Array>} */
  colormaps = new Map();
  viewport = WHOLE;
  /** @type {number|null} the map that panels of several maps show */
  choice = null;
  /** Whether it fills the screen with what stands beside it. */
  staged = false;
  /** The panel that is shown without the others, by its place. @type {number|null} */
  alone = null;
  /** @type {number[]|null} where a person points, in original pixels */
  point = null;
  /** Whether the plain picture covers the maps just now. */
  plain = false;
  /** Whether the small picture and the map have changed places. */
  swapped = false;
  /** Draws what a hand has put over the picture. @type {((context: CanvasRenderingContext2D, rect: number[]) => void)|null} */
  cover = null;
  /** What a check shows in place of the maps. @type {import("../../browser/component.js").Play|null} */
  play = null;
  dark = false;
  font = "sans-serif";
  /** Whether the next drag measures an area. */
  measuring = false;
  /** The measured area, xyxy in original pixels. @type {number[]|null} */
  region = null;
  #hand = new Hand();

  lut() {
    return this.colormaps.get(this.settings.colormap) ?? [...this.colormaps.values()][0];
  }

  /** Return the map a panel is about, whether or not the plain picture covers it just now. @param {Panel} panel */
  mapOf({ maps }) {
    return maps.length === 1 ? maps[0] : (maps[this.choice ?? 0] ?? null);
  }

  /** Return what a check shows on a panel, if anything. @param {Panel} panel */
  shot(panel) {
    return this.play?.shots[this.panels.length - 1 - this.panels.indexOf(panel)];
  }

  /** Return the map a panel shows. @param {Panel} panel */
  shown(panel) {
    // While it is held the space bar shows what is not there.
    return this.plain !== this.swapped ? null : (this.shot(panel) ?? { map: this.mapOf(panel) }).map;
  }

  maps() {
    return this.listed.flatMap(({ maps }) => maps);
  }

  /** Whether one of the panels is shown at a time. */
  get single() {
    return this.head.keys.length > 0 && !this.head.spread;
  }

  /** Return the panels to put on the page: all of them, or of those that have keys the chosen one. @returns {Listed[]} */
  panelsToShow() {
    const { head: { plain }, listed, choice, single, alone } = this, layout = this.layout();
    const only = single ? (choice ?? 0) : alone;
    const now = listed.filter((_, i) => only === null || i === only), mapped = now.filter(({ maps }) => maps.length);
    if (layout === "beside" && this.maps().length && (single || mapped.length === now.length)) return [plain, ...now];
    return mapped.length && onPhone() ? now.filter(({ maps, pictured, facts }) => maps.length || pictured || facts.length) : now;
  }

  /** Return the place of the map that a key chooses; -1 without one. @param {string} key */
  placeOf(key) {
    const { head: { keys, spread }, listed, panels } = this;
    if (spread && !this.staged) return -1;
    const most = keys.length ? listed.length : Math.max(0, ...panels.map(({ maps }) => maps.length));
    const place = /^[1-9]$/.test(key) ? Number(key) - 1 : keys.indexOf(key.toLowerCase());
    return most > 1 && place < most ? place : -1;
  }

  /** Return the least and the largest raw value of all maps of a kind; null without any. @param {string} kind */
  raw(kind) {
    const ends = this.maps().flatMap((map) => (map.kind === kind ? (map.raw ?? []) : []));
    return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
  }

  layout() {
    const { settings: { layout }, head: { beside, size } } = this;
    if (layout !== "auto") return layout;
    const [width, height] = size;
    return beside && (height >= width || width >= PANORAMA * height) && !onPhone() ? "beside" : "single";
  }

  /** Whether all maps can be shown on one scale. */
  shares() {
    const maps = this.maps().filter(({ kind }) => kind !== "difference");
    return maps.length > 0 && maps.every(({ raw, shared }) => raw || shared);
  }

  /** Return the scale that maps are on, unless a person chose the other one. */
  usualScale() {
    return this.head.together && this.shares() ? "shared" : "own";
  }

  style(quick = false) {
    const { scale: chosen } = this.settings, scale = chosen === "auto" ? this.usualScale() : this.shares() ? chosen : "own";
    const settings = { ...this.settings, layout: this.layout(), scale }, reach = Math.max(...(this.raw("signed") ?? []).map(Math.abs), 0);
    return { settings, lut: this.lut(), dark: this.dark, range: this.raw("heat"), reach: reach || null, quick };
  }

  /** Return what is visible, in original pixels. */
  visible() {
    return visible(this.viewport, this.head.size);
  }

  /** Return a point of a panel, in fractions of it, in original pixels. @param {number} fx @param {number} fy @returns {[number, number]} */
  original(fx, fy) {
    const [x0, y0, x1, y1] = this.visible();
    return [x0 + fx * (x1 - x0), y0 + fy * (y1 - y0)];
  }

  /**
   * Return the point one step of an arrow key beside another, or beside the middle.
   * @param {number[]|null} at @param {[number, number]} arrow @param {boolean} near
   */
  beside(at, arrow, near) {
    const by = (near ? 0.01 : 0.05) / this.viewport.zoom, from = at ?? this.original(0.5, 0.5);
    return this.head.size.map((side, i) => Math.min(side - 0.5, Math.max(0.5, from[i] + by * side * arrow[i])));
  }

  /** Begin to measure, or end it; what was measured goes. @param {boolean} on */
  measure(on) {
    this.measuring = on;
    this.region = this.#hand.mark = null;
  }

  /**
   * Take one step of a drag, at a point of the original; return whether an area was measured.
   * @param {"start"|"move"|"end"|"cancel"} phase @param {number[]} at
   */
  drag(phase, at) {
    const { head: { size } } = this, hand = this.#hand, [x, y] = at.map((place, i) => place / size[i]);
    if (phase === "start") hand.begin("rectangle", x, y, 0);
    if (!hand.mark) return false;
    hand.move(x, y);
    // A mere click measures nothing.
    const mark = phase === "start" || phase === "move" ? hand.mark : hand.end();
    this.region = mark && phase !== "cancel" ? corners(mark.points).map((share, i) => share * size[i % 2]) : null;
    if (phase !== "end" || !mark) return false;
    this.measuring = false;
    return true;
  }

  /** Take a corner by keys; return whether it was the second one. @param {number[]} at */
  corner(at) {
    return this.drag(this.#hand.mark ? "end" : "start", at);
  }
}
