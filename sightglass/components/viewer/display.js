// The viewer on the page: panels and their captions, toolbar, read-out and crosshair, as the state has them.

import { broadcast, find } from "../../browser/component.js";
import { bytes } from "../../browser/unpack.js";
import { listColormaps, showControls } from "./controls.js";
import { Layer, readingAt } from "../../browser/draw.js";
import { contains, outOfSight, placer } from "../../browser/geometry.js";
import { arrange, createFigure, onPhone, panelOf } from "./store.js";
import { readout, sentence, changesOf, isDefault } from "./settings.js";

/** What was read once is not shown again in this browser. */
/** CSS pixels of height in a window of 900, for one panel that has the room of two. */
const SWIPED = 680;
const HINT = "Point at a picture to read the value of every map there.";

/** @param {HTMLElement} element @param {import("./settings.js").Line} line */
function write(element, line) {
  const parts = line.map(([text, bold]) => Object.assign(document.createElement(bold ? "b" : "span"), { textContent: text }));
  element.replaceChildren(...parts);
}

export class Display {
  #figures = new AbortController();
  /** Connect a new panel to what a person does. @type {(figure: HTMLElement, signal: AbortSignal) => void} */
  onFigure = () => {};

  /**
   * @param {HTMLElement} root @param {import("./store.js").Store} store @param {import("./painter.js").Painter} painter
   */
  constructor(root, store, painter) {
    this.root = root;
    this.store = store;
    this.painter = painter;
  }

  build() {
    const { root, store } = this, { head, listed } = store, layout = store.layout(), holder = find(root, ".panels");
    const mapped = listed.filter(({ maps }) => maps.length);
    let wanted = listed;
    if (mapped.length && layout === "beside" && mapped.length === listed.length) wanted = [head.plain, ...listed];
    else if (mapped.length && (layout === "swipe" || onPhone())) wanted = mapped;
    if (store.panels.length !== wanted.length) this.#replaceFigures(holder, wanted.length);
    const layers = store.panels.map(({ layer }) => layer.clear());
    store.panels = wanted.map((panel, i) =>
      panelOf(panel, /** @type {HTMLElement} */ (holder.children[i]), layers[i] ?? new Layer()));
    const heats = store.heats();
    root.classList.toggle("bare", !mapped.length);
    root.classList.toggle("dimmed", head.dimmed);
    root.classList.toggle("swiping", layout === "swipe");
    find(root, ".celled").hidden = !store.maps().some(({ cells }) => cells);
    find(root, ".boxes").hidden = !head.boxes.length && !listed.some(({ boxes }) => boxes);
    find(root, ".mark").hidden = !head.marks;
    find(root, ".ask").hidden = !head.asks;
    find(root, ".share").hidden = !head.files;
    find(root, ".colormap").hidden = !heats.length;
    const scaled = store.scaled();
    find(root, ".why").hidden = scaled.every(({ raw }) => raw);
    for (const name of ["shared", "fixed"]) {
      find(root, `[value="${name}"]`).disabled = !scaled.length || !store.scaleFits(name);
    }
    this.caption();
    this.arrange();
  }

  /** @param {HTMLElement} holder @param {number} count */
  #replaceFigures(holder, count) {
    this.#figures.abort();
    this.#figures = new AbortController();
    holder.replaceChildren(...Array.from({ length: count }, createFigure));
    for (const figure of holder.children) this.onFigure(/** @type {HTMLElement} */ (figure), this.#figures.signal);
  }

  /** Write the titles, notes and labels of all panels. */
  caption() {
    for (const panel of this.store.panels) {
      const map = this.store.mapOf(panel), title = map?.title ?? panel.title, { element } = panel;
      find(element, ".title").textContent = find(element, ".title").title = title;
      panel.canvas.setAttribute("aria-label", (this.store.textOf(map) || title || "The picture").replaceAll("**", ""));
      find(element, ".legend").hidden = !map?.sides;
      if (!map?.sides) continue;
      find(element, ".first").textContent = `more ${map.sides[0]}`;
      find(element, ".second").textContent = `more ${map.sides[1]}`;
    }
    this.#reserve();
    this.readOut();
    find(this.root, ".key").hidden = !this.store.panels.some((panel) => this.store.mapOf(panel)?.kind === "signed");
  }

  /** Write beside each title the score. */
  #note() {
    for (const panel of this.store.panels) {
      const text = this.store.mapOf(panel)?.note ?? panel.note, note = find(panel.element, ".note");
      if (note.textContent !== text) note.textContent = text;
    }
  }

  /** Fit the panels into the available room. */
  arrange() {
    const { store } = this, alone = store.layout() === "swipe" && store.panels.length === 1;
    const height = alone ? Math.max(SWIPED, store.head.height) : store.head.height;
    if (!arrange(find(this.root, ".panels"), store.panels, { ...store.head, height }, this.isFull())) return;
    this.#placeCross();
    this.painter.redraw();
  }

  isFull() {
    return /** @type {ShadowRoot} */ (this.root.getRootNode()).fullscreenElement === this.root;
  }

  columns() {
    return getComputedStyle(find(this.root, ".panels")).gridTemplateColumns.split(" ").length;
  }

  /** Write the line under the panels: `message`, the values pointed at, or what the maps show. @param {boolean} [aloud] */
  readOut(aloud = false, message = "") {
    const { store, root } = this, { point: at } = store;
    this.#note();
    const maps = store.panels.map((panel) => store.mapOf(panel)).filter((map) => map !== null);
    let line;
    if (message) line = sentence(message, "");
    else if (at) line = readout(maps.map((map) => readingAt(map, at, store.style())), at[0], at[1]);
    else line = this.#idle(maps);
    write(find(root, ".line"), line);
    if (aloud) find(root, ".spoken").textContent = find(root, ".line").textContent;
  }

  /** Return the line while nothing is pointed at. @param {import("../../browser/draw.js").HeatMap[]} maps */
  #idle(maps) {
    const { store } = this, single = maps.length === 1, changed = maps.length ? changesOf(store.settings, store.scale()) : "";
    const text = store.head.line || (single ? store.textOf(maps[0]) : maps.length ? HINT : "");
    return sentence([text, changed && `Changed view: ${changed}.`].filter(Boolean).join(" "), single ? maps[0].title : "");
  }

  /** Write out of sight what else the line may hold: pointing at a picture must not move what is below it. */
  #reserve() {
    const { store, root } = this, maps = store.panels.map((panel) => store.mapOf(panel)).filter((map) => map !== null);
    const full = store.scale() === "own", [width, height] = store.head.size;
    const readings = maps.map(({ title, kind, raw, unit }) => ({ title, kind, unit, raw: raw && [0, -0.1234], value: -0.88, full }));
    write(find(root, ".room.idle"), this.#idle(maps));
    write(find(root, ".room.read"), maps.length ? readout(readings, width, height) : []);
  }

  /** Show a message, also to screen readers. @param {string} message */
  say(message) {
    this.readOut(true, message);
    broadcast("said", message);
  }

  /** @param {number[]|null} at */
  pointAt(at, aloud = false) {
    const { store } = this;
    store.point = at && contains([0, 0, ...store.head.size], at[0], at[1]) ? at : null;
    this.#placeCross();
    this.readOut(aloud);
  }

  /** A finger that was lifted points at nothing; what was read there stays. */
  hideCross() {
    this.root.classList.remove("pointing");
  }

  #placeCross() {
    const { store, root } = this;
    root.classList.toggle("pointing", Boolean(store.point));
    if (!store.point) return;
    for (const { element, width, height } of store.panels) {
      const { X, Y } = placer(store.visible(), width, height);
      find(element, ".across").style.transform = `translateY(${Y(store.point[1]).toFixed(1)}px)`;
      find(element, ".down").style.transform = `translateX(${X(store.point[0]).toFixed(1)}px)`;
    }
  }

  /** Zoom and pan; without `moving` nothing is drawn yet. @param {import("../../browser/geometry.js").Viewport} viewport */
  view(viewport, moving = true) {
    this.store.viewport = viewport;
    this.root.classList.toggle("zoomed", viewport.zoom > 1);
    find(this.root, ".reset").disabled = isDefault(this.store.settings, viewport);
    if (!moving) return;
    this.#placeCross();
    this.painter.stir(true);
    this.painter.redraw();
  }

  /** Cover the maps with the plain picture, or show them again. @param {boolean} plain */
  cover(plain) {
    if (this.store.plain === plain) return;
    this.store.plain = plain;
    this.painter.redraw();
  }

  /** Show another class's map. @param {number|undefined} index */
  choose(index) {
    const { store } = this;
    if (index === undefined || !Number.isInteger(index) || index < 0 || index === store.choice) return;
    store.choice = index;
    if (!store.head.id) return;
    this.caption();
    for (const panel of store.panels) if (panel.maps.length > 1) panel.layer.clear();
    this.showControls();
    this.painter.redraw();
  }

  /** Bring the maps back into sight after a choice in a list: on a phone the list is a screenful below them. */
  reveal() {
    const holder = find(this.root, ".panels"), { top, bottom, height } = holder.getBoundingClientRect();
    if (!height || !this.store.panels.some(({ maps }) => maps.length > 1) || !outOfSight(top, bottom, innerHeight)) return;
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
    holder.scrollIntoView({ block: "start", behavior });
  }

  listColormaps() {
    const { colormaps, head } = this.store;
    for (const { name, lut, hot } of listColormaps(find(this.root, ".colormap"), head.colormaps)) {
      colormaps.set(name, { lut: bytes(lut), hot });
    }
  }

  showControls() {
    const { store, root } = this, { settings, dark, head } = store, { tool, region } = store.marker, scale = store.scale();
    const maps = store.panels.map((panel) => store.mapOf(panel)), kinds = new Set(maps.map((map) => map?.kind));
    const heated = kinds.has("heat"), signs = maps.filter((map) => map?.kind === "signed");
    /** @type {number[]|null} */
    let ends = null;
    if (scale === "fixed") ends = [0, settings.top];
    else if (scale === "shared") ends = head.range;
    let reach = signs.length === 1 ? (signs[0]?.raw?.[1] ?? null) : null;
    if (scale === "fixed") reach = settings.top;
    else if (scale === "shared") reach = head.reach;
    if (ends && settings.invert) ends = [ends[1], ends[0]];
    const marks = { tool, marked: region !== null }, changed = changesOf(settings, scale);
    const initial = isDefault(settings, store.viewport);
    const facts = { lut: store.lut(), layout: store.layout(), scale, ends, dark, changed, initial, ...marks };
    const signed = kinds.has("signed") && !heated && !kinds.has("difference");
    showControls(root, settings, { ...facts, gaps: !heated && !signed && maps.some(Boolean), signed: signed ? { reach, unit: signs[0]?.unit ?? "" } : null });
    root.classList.toggle("marking", Boolean(tool));
    for (const split of root.querySelectorAll(".split")) {
      /** @type {HTMLInputElement} */ (split).value = String(settings.split);
    }
  }
}
