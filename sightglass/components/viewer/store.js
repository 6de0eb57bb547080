// The state of one viewer and what is derived from it, without the page.

import { WHOLE, pointIn, visible } from "../../browser/geometry.js";
import { onPhone } from "./panels.js";
import { createMarker } from "./region.js";
import { defaults } from "./settings.js";

/**
 * @typedef {import("../../browser/component.js").Send} Send
 * @typedef {import("../../browser/draw.js").HeatMap} HeatMap
 * @typedef {import("../../browser/geometry.js").Rect} Rect
 * @typedef {import("./panels.js").Panel} Panel
 * @typedef {import("./panels.js").Listed} Listed
 * @typedef {Omit<Listed, "maps"> & {maps: import("../../browser/draw.js").MapHead[]}} PanelHead
 * @typedef {{id: string, picture: string, size: number[], panels: PanelHead[], plain: Listed, grids: number[][],
 *   boxes: import("./outline.js").Box[], range: number[]|null, reach: number|null, choice: number|null, height: number,
 *   columns: number|null, line: string, beside: boolean, marks: boolean, asks: boolean, hides: boolean, files: boolean, private: boolean,
 *   dimmed: boolean,
 *   initial: Record<string, string>|null, colormaps: import("./controls.js").Colormap[]}} Head  as Python packs it
 */

/** @type {Head} before the first payload, which has an id */
const EMPTY = {
  ...{ id: "", picture: "", size: [1, 1], panels: [], plain: { title: "", note: "", maps: [], boxes: null }, grids: [] },
  ...{ boxes: [], range: null, reach: null, choice: null, height: 0, columns: null, line: "", beside: false, marks: false },
  ...{ asks: false, hides: false, files: true, private: false, dimmed: false, initial: null, colormaps: [] },
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
  /** A part of the picture that is hidden, in original pixels. @type {import("./outline.js").Disc|null} */
  disc = null;
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
}
