// The instruments of a page's maps: distribution with threshold, colours, opacity, and numbers that follow them.

import { broadcast, component, find, hearIn, onBroadcast, onceAFrame, onResize, write } from "../../browser/component.js";
import { DEFAULTS } from "../../common/style.js";
import { drawDistribution, gradientOf } from "./distribution.js";
import { numbersOf } from "./numbers.js";
import { fillTable, NONE } from "./numbers_table.js";

/**
 * @typedef {import("../../browser/component.js").Shown} Shown
 * @typedef {{of: string, numbers: (Record<string, string>|string)[], rows: import("./numbers.js").Label[], swatches: string[],
 *   more: Record<string, string[]>, names: string[]}} Head  numbers: of each map, or why there are none; more: rows below the others by
 *   their names, each value by the place of its column; names: of the columns, where they are not the titles of their maps
 */

/** Milliseconds that numbers stand at least while a hand moves. */
const NUMBERS_MS = 100;
/** Numbers of a single map: a table of several stays short. */
const ALONE = new Set(["scatter", "peak"]);
const TITLES = { jet: "jet: the colours of many guides", cividis: "cividis: also for people who confuse red and green" };

/** Return a button of a colormap, coloured by it. @param {string} name @param {Uint8Array} lut @param {boolean} named */
function swatchOf(name, lut, named) {
  const words = name.replaceAll("_", " ");
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("role", "radio");
  button.dataset.name = name;
  button.title = Reflect.get(TITLES, name) ?? words;
  button.setAttribute("aria-label", button.title);
  const strip = document.createElement("i");
  strip.style.background = gradientOf(lut);
  button.append(strip);
  if (named) button.append(words);
  return button;
}

/** Return a typed share, 0..1; null for what is no number. @param {string} text with a point or a comma */
export function shareOf(text) {
  const value = Number(text.replace(",", "."));
  return text.trim() === "" || Number.isNaN(value) ? null : Math.min(1, Math.max(0, value));
}

class Instruments {
  /** @type {Head} */
  #head = { of: "", numbers: [], rows: [], swatches: [], more: {}, names: [] };
  /** @type {Shown|null} */
  #shown = null;
  #colormaps = 0;
  #marked = "";
  #written = 0;
  #waiting = 0;
  #draw = onceAFrame(() => this.#show());

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    const hear = hearIn(root, signal);
    onBroadcast("shown", (shown) => {
      this.#shown = shown;
      this.#show();
    }, signal);
    for (const name of ["alpha", "threshold"]) {
      hear(name, "input", ({ value }) => this.#set({ [name]: Math.abs(Number(value)) }, false));
      hear(name, "change", ({ value }) => this.#set({ [name]: Math.abs(Number(value)) }));
      // The two clicks have moved the handle to where they were.
      hear(name, "dblclick", () => this.#set({ [name]: Reflect.get(DEFAULTS, name) }));
    }
    hear("from", "change", ({ value }) => this.#set({ threshold: shareOf(value) ?? this.#shown?.settings.threshold ?? 0 }));
    hear("show", "change", ({ checked }) => this.#set({ outlines: checked }));
    for (const list of [".swatches", ".colormaps"]) this.#listen(find(root, list));
    const all = find(root, ".colormaps");
    all.addEventListener("beforetoggle", ({ newState }) => {
      if (newState === "open") this.#placeColours(all);
      else if (all.matches(":focus-within")) find(root, ".more").focus();
    }, { signal });
    all.addEventListener("toggle", () => {
      const chosen = all.querySelector('[aria-checked="true"]');
      if (all.matches(":popover-open") && chosen instanceof HTMLElement) chosen.focus();
    }, { signal });
    onResize(root, this.#draw, signal);
    window.addEventListener("resize", this.#draw, { signal });
  }

  /** @param {import("../../browser/component.js").Payload<Head>} payload */
  show({ data }) {
    this.#head = data;
    // Whatever shows maps says so at once; what is mounted later says so by itself.
    broadcast("look", null);
    this.#draw();
  }

  /** @param {Partial<import("../../common/style.js").Style>} changes @param {boolean} [done] */
  #set(changes, done = true) {
    broadcast("restyle", { changes, done });
  }

  /** Put all colours above or below the distribution, which shows what they do. @param {HTMLElement} all */
  #placeColours(all) {
    const { clientWidth, clientHeight } = document.documentElement;
    const { right, bottom } = find(this.root, ".more").getBoundingClientRect();
    const { top } = find(this.root, ".distribution").getBoundingClientRect();
    const [above, below] = [top, clientHeight - bottom].map((room) => room - 12);
    const over = above > below;
    all.style.right = `${Math.max(8, clientWidth - right)}px`;
    all.style.top = over ? "auto" : `${bottom + 4}px`;
    all.style.bottom = over ? `${clientHeight - top + 4}px` : "auto";
    all.style.maxHeight = `${Math.min(400, Math.max(above, below))}px`;
  }

  /** Choose colours by a click or the arrow keys. @param {HTMLElement} list */
  #listen(list) {
    list.addEventListener("click", ({ target }) => {
      const button = target instanceof Element ? target.closest("button") : null;
      if (button) this.#set({ colormap: button.dataset.name });
    });
    list.addEventListener("keydown", (event) => {
      // It closes the list alone.
      if (event.key === "Escape" && list.matches(":popover-open")) event.stopPropagation();
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const buttons = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("button")]);
      const at = buttons.findIndex((button) => button.matches(":focus"));
      const next = buttons[(at + step + buttons.length) % buttons.length];
      next.focus();
      next.click();
    });
  }

  #show() {
    const { root } = this;
    const shown = this.#shown;
    // Until then it keeps its place: what is below does not move.
    root.classList.toggle("waiting", !shown?.columns.length);
    if (!shown?.columns.length) return this.#reserve();
    root.classList.toggle("mapless", !shown.maps.length);
    if (!shown.maps.length) return this.#showNumbersInTurn();
    this.#fillColours(shown);
    this.#markColours(shown);
    const { settings } = shown;
    const coloured = ["overlay", "blend", "spotlight"].includes(settings.mode);
    find(root, ".alpha").value = String(settings.alpha);
    find(root, ".alpha").disabled = !coloured;
    find(root, ".alpha").setAttribute("aria-valuetext", `${Math.round(100 * settings.alpha)} %`);
    write(find(root, ".percent"), `${Math.round(100 * settings.alpha)}\u00a0%`);
    find(root, ".outlines").hidden = !shown.boxed;
    find(root, ".show").checked = settings.outlines;
    this.#showDistribution(shown);
    this.#showNumbersInTurn();
  }

  /** Write as many rows as a map's numbers have. */
  #reserve() {
    const table = find(this.root, ".numbers");
    if (table.children.length) return;
    const { numbers: [first], rows } = this.#head;
    table.classList.add("single");
    table.replaceChildren(...rows.filter(({ id }) => typeof first === "object" && id in first).map(() => document.createElement("div")));
  }

  /** @param {Shown} shown */
  #fillColours({ colormaps }) {
    if (this.#colormaps === colormaps.size) return;
    this.#colormaps = colormaps.size;
    const buttons = (/** @type {string[]} */ names, /** @type {boolean} */ named) =>
      names.map((name) => swatchOf(name, /** @type {Uint8Array} */ (colormaps.get(name)), named));
    find(this.root, ".swatches").replaceChildren(...buttons(this.#head.swatches.filter((name) => colormaps.has(name)), false));
    find(this.root, ".colormaps").replaceChildren(...buttons([...colormaps.keys()], true));
  }

  /** Mark the chosen colours; maps with two sides have their own. @param {Shown} shown */
  #markColours({ maps, settings: { colormap } }) {
    const heats = maps.some(({ map }) => map.kind === "heat");
    const mark = `${colormap} ${heats} ${this.#colormaps}`;
    if (mark === this.#marked) return;
    this.#marked = mark;
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (this.root.querySelectorAll("[role=radio]"))) {
      const chosen = button.dataset.name === colormap;
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
      button.disabled = !heats;
    }
  }

  /** @param {Shown} shown */
  #showDistribution(shown) {
    const { root } = this;
    const { maps, settings, pointed } = shown;
    const item = maps[pointed] ?? maps[0];
    const signed = item.map.kind !== "heat";
    const range = find(root, ".threshold");
    range.min = signed ? "-1" : "0";
    range.value = String(settings.threshold);
    range.setAttribute("aria-valuetext", settings.threshold ? `from ${settings.threshold.toFixed(2)}` : "all values");
    find(root, ".from").value = settings.threshold.toFixed(2);
    const shared = shown.style.settings.scale === "shared";
    const title = shared ? `${item.map.title}, scale shared by all maps` : item.map.title;
    write(find(root, ".name"), maps.length > 1 ? title : "");
    write(find(root, ".low"), item.ends[0]);
    write(find(root, ".high"), item.ends[1]);
    drawDistribution(find(root, "canvas"), item, shown);
  }

  /** Write the numbers at once, or as soon as the last ones stood long enough: counting takes longer than a frame has. */
  #showNumbersInTurn() {
    clearTimeout(this.#waiting);
    const wait = this.#written + NUMBERS_MS - performance.now();
    if (wait > 0) {
      this.#waiting = window.setTimeout(() => this.#showNumbersInTurn(), wait);
      return;
    }
    this.#written = performance.now();
    if (this.#shown?.columns.length) this.#showNumbers(this.#shown);
  }

  /** Write the numbers: of one map as a list, of several as columns that stand under their maps. @param {Shown} shown */
  #showNumbers(shown) {
    const table = find(this.root, ".numbers");
    const aligned = this.#place(table, shown);
    const columns = shown.columns.map((column) => this.#columnOf(column, shown));
    if (columns.some(({ numbers, facts }) => numbers.length + facts.length)) fillTable(table, columns, aligned);
    else table.replaceChildren(columns[0].reason);
  }

  /** Return what a table says of a panel. @param {import("../../browser/component.js").Column} column @param {Shown} shown */
  #columnOf({ title, place, facts, item }, shown) {
    const { rows, numbers, of, more, names } = this.#head;
    const known = of === shown.id ? numbers[place] : undefined;
    const reason = typeof known === "string" ? known : "";
    const compared = shown.columns.length > 1 ? rows.filter(({ id }) => !ALONE.has(id)) : rows;
    const costs = Object.entries(more).map(([name, texts]) => [name, texts[place] ?? NONE, ""]);
    return {
      title: names[place] ?? title,
      reason,
      numbers: item && typeof known !== "string" ? numbersOf(item, shown, compared, known) : [],
      facts: [...facts, ...costs].map(([label, text, help]) => ({ id: label, label, text, help })),
    };
  }

  /** Give a table the columns of the panels above it; return whether they stand under them. @param {HTMLElement} table @param {Shown} shown */
  #place(table, { columns, aligned }) {
    const { left, right } = this.root.getBoundingClientRect();
    const [first, second] = columns;
    const last = columns[columns.length - 1];
    // Beside the maps, in a column of their own, the numbers cannot stand under them.
    const under = aligned && first.left >= left - 1 && last.left + last.width <= right + 1;
    table.classList.toggle("single", columns.length === 1);
    table.classList.toggle("under", under);
    table.style.gridTemplateColumns = under ? columns.map(({ width }) => `${width}px`).join(" ") : "";
    table.style.marginLeft = under ? `${Math.max(0, first.left - left)}px` : "";
    table.style.columnGap = under ? `${second.left - first.left - first.width}px` : "";
    table.style.setProperty("--count", String(columns.length));
    return under;
  }
}

export default component(".instruments", Instruments);
