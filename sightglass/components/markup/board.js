// The picture with its marks: their state, how they are drawn, and what is sent to Python.

import { blobOf, find, fractionOf, onceAFrame } from "../../browser/component.js";
import { svgElement } from "../../browser/elements.js";
import { Steps } from "../../browser/hands.js";
import { WHOLE, placer, pointIn, visible, zoomAt } from "../../browser/geometry.js";
import { drawMark, listMarks, showStatus, MAX_MARKS, drawingOf, inside, isLargeEnough, textBox, unitOf } from "./shapes.js";

/**
 * @typedef {import("./shapes.js").Mark} Mark @typedef {import("./shapes.js").Point} Point
 * @typedef {import("../../browser/geometry.js").Viewport} Viewport
 * @typedef {{id: string, size: number[], marks: Mark[], height: number, about: string}} BoardHead
 * @typedef {{kind: "draw", mark: Mark}|{kind: "move", place: number, from: Point, mark: Mark}|
 *   {kind: "bend", place: number, point: number}|{kind: "pan", viewport: Viewport, x: number, y: number}} Drag
 */

const SEND_MS = 150;
/** Marks outlive the place on the page that they are drawn in. @type {Map<string, MarkSteps>} */
const pages = new Map();

/** @extends {Steps<Mark[]>} */
export class MarkSteps extends Steps {
  maxSteps = 200;

  /** @param {Mark} mark @param {string} [run] @returns {number} its place */
  add(mark, run) {
    this.set([...this.value, mark], run);
    return this.value.length - 1;
  }

  /** @param {number} place @param {Mark} mark @param {string} [run] */
  change(place, mark, run) {
    if (this.value[place]) this.set(this.value.map((one, i) => (i === place ? mark : one)), run);
  }

  /** @param {number} place */
  remove(place) {
    if (this.value[place]) this.set(this.value.filter((_, i) => i !== place));
  }
}

export class Board {
  page = new MarkSteps(/** @type {Mark[]} */ ([]));
  id = "";
  size = [1, 1];
  about = "";
  viewport = WHOLE;
  tool = "choose";
  /** Index of the selected mark, and of the one whose text is being written; -1: none. */
  chosen = -1;
  editing = -1;
  /** @type {Mark["ink"]} */
  ink = "accent";
  /** @type {Drag|null} */
  drag = null;
  /** The pen that keys move, and where a mark was begun with it. */
  pen = { at: /** @type {Point} */ ([0, 0]), shown: false, from: /** @type {Point|null} */ (null) };
  /** @type {import("../../browser/component.js").Send} */
  send = () => {};
  redraw = onceAFrame(() => this.#draw());
  #maxHeight = 496;
  #timer = 0;
  #url = "";

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.stage = /** @type {SVGSVGElement} */ (root.querySelector(".stage"));
    this.entry = find(root, ".words");
  }

  /** @param {BoardHead} head @param {Uint8Array} jpeg */
  open(head, jpeg) {
    if (head.id === this.id) return;
    const { id, size, about } = head;
    Object.assign(this, { id, size, about, chosen: -1, editing: -1, viewport: WHOLE, drag: null });
    this.#maxHeight = head.height;
    this.page = pages.get(id) ?? new MarkSteps(head.marks);
    pages.set(id, this.page);
    this.entry.hidden = true;
    this.tool = this.page.value.length ? "choose" : "arrow";
    URL.revokeObjectURL(this.#url);
    this.#url = URL.createObjectURL(blobOf(jpeg));
    const attributes = { href: this.#url, width: size[0], height: size[1] };
    for (const [name, value] of Object.entries(attributes)) find(this.root, ".under").setAttribute(name, String(value));
    listMarks(this);
    showStatus(this);
    this.fit();
  }

  close() {
    if (this.#timer) this.#tell();
    URL.revokeObjectURL(this.#url);
  }

  fit() {
    const aspect = this.size[0] / this.size[1], high = Math.max(300, this.#maxHeight + window.innerHeight - 900);
    const wide = Math.max(1, Math.floor(Math.min(this.root.clientWidth, high * aspect)));
    Object.assign(this.stage.style, { width: `${wide}px`, height: `${Math.round(wide / aspect)}px` });
    this.redraw();
  }

  get unit() {
    return unitOf(this.size, this.viewport.zoom);
  }

  /** Pixels of the picture in one of the screen. */
  get scale() {
    return this.size[0] / this.viewport.zoom / (this.stage.clientWidth || 1);
  }

  get selected() {
    return this.page.value[this.chosen];
  }

  /** @param {{clientX: number, clientY: number}} event @returns {Point} in pixels of the picture */
  pointOf(event) {
    return pointIn(visible(this.viewport, this.size), ...fractionOf(this.stage, event));
  }

  /** Redraw, and say what is selected. */
  refresh() {
    showStatus(this);
    this.redraw();
  }

  #draw() {
    const { viewport, size, unit, drag, page, stage } = this, [x0, y0, x1, y1] = visible(viewport, size);
    stage.setAttribute("viewBox", `${x0} ${y0} ${x1 - x0} ${y1 - y0}`);
    const shown = drag?.kind === "draw" ? [...page.value, drag.mark] : page.value;
    // Text that is being written is shown in its input.
    const marks = shown.filter((_, i) => i !== this.editing).map((mark) => drawMark(mark, unit, size));
    find(this.root, ".marks").replaceChildren(...marks);
    find(this.root, ".aids").replaceChildren(...(drag ? [] : this.#handles()), ...(this.pen.shown ? this.#cross() : []));
    stage.classList.toggle("choosing", this.tool === "choose");
    stage.classList.toggle("whole", viewport.zoom === 1);
    if (!this.entry.hidden) this.#placeEntry();
  }

  /** Return what shows that a mark is selected: a frame around text, handles on the others. */
  #handles() {
    const { selected: mark, scale } = this;
    if (!mark) return [];
    if (mark.kind !== "text") {
      const ring = { r: 5 * scale, fill: "#fff", stroke: "#0b6f78", "stroke-width": 2 * scale };
      return mark.points.map(([cx, cy]) => svgElement("circle", { cx, cy, ...ring }));
    }
    const [left, top, right, bottom] = textBox(mark, this.unit, this.size), far = 4 * scale;
    return [svgElement("rect", { x: left - far, y: top - far, width: right - left + 2 * far, height: bottom - top + 2 * far,
      rx: far, fill: "none", stroke: "#fff", "stroke-width": 1.5 * scale, "stroke-dasharray": 4 * scale })];
  }

  /** Return the cross of the pen that keys move, and the mark that it draws. */
  #cross() {
    const { pen, scale } = this, [x, y] = pen.at, arm = 9 * scale, d = `M${x - arm} ${y}h${2 * arm}M${x} ${y - arm}v${2 * arm}`;
    const strokes = /** @type {[string, number][]} */ ([["#141414", 4], ["#fff", 1.6]]);
    const begun = pen.from && this.begun(pen.from);
    return [
      ...strokes.map(([stroke, wide]) => svgElement("path", { d, stroke, "stroke-width": wide * scale, fill: "none" })),
      ...(begun ? [drawMark({ ...begun, points: [begun.points[0], pen.at] }, this.unit, this.size)] : []),
    ];
  }

  #placeEntry() {
    const { entry, stage, size } = this, mark = this.page.value[this.editing];
    if (!mark) return;
    const { words } = drawingOf({ ...mark, text: mark.text || "x" }, this.unit, size), [x, y] = words?.at ?? mark.points[0];
    const { X, Y } = placer(visible(this.viewport, size), stage.clientWidth, stage.clientHeight);
    const left = stage.getBoundingClientRect().left - find(this.root, ".board").getBoundingClientRect().left;
    entry.style.left = `${left + Math.max(0, Math.min(stage.clientWidth - entry.offsetWidth, X(x)))}px`;
    entry.style.top = `${Math.max(0, Y(y) - entry.offsetHeight / 2)}px`;
  }

  /** Send all marks to Python, without text marks that are still empty. */
  #tell() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    // By the step Python recognizes, in a run that something else triggered, what it has seen already.
    const step = `${Date.now()} ${Math.random()}`;
    const marks = this.page.value.filter(({ kind, text }) => kind !== "text" || text.trim());
    this.send("marks", { id: this.id, step, marks });
  }

  /** Take note of a change. @param {boolean} [listed] whether the list is rebuilt: not while its text is being edited */
  changed(listed = true) {
    if (this.chosen >= this.page.value.length) this.chosen = -1;
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#tell(), SEND_MS);
    if (listed) listMarks(this);
    this.refresh();
  }

  /** @param {number} place */
  choose(place) {
    this.chosen = place;
    this.page.close();
    this.take("choose");
  }

  /** @param {number} place */
  remove(place) {
    this.page.remove(place);
    this.chosen = -1;
    this.changed();
  }

  undo() {
    if (this.page.undo()) this.changed();
  }

  redo() {
    if (this.page.redo()) this.changed();
  }

  /** @param {string} tool */
  take(tool) {
    this.tool = tool;
    this.pen.from = null;
    if (tool !== "choose") this.chosen = -1;
    this.refresh();
  }

  /** @param {Mark["ink"]} ink */
  setInk(ink) {
    this.ink = ink;
    if (!this.selected) return;
    this.page.change(this.chosen, { ...this.selected, ink });
    this.changed();
  }

  /** Zoom around a point of the stage. @param {number} factor @param {Point} [at] */
  zoom(factor, [fx, fy] = [0.5, 0.5]) {
    this.viewport = zoomAt(this.viewport, fx, fy, factor);
    this.refresh();
  }

  /** Return the mark that begins at a point. @param {Point} at @returns {Mark|null} */
  begun(at) {
    const kind = /** @type {Mark["kind"]} */ (this.tool), from = inside(at, this.size);
    return this.tool === "choose" ? null : { kind, points: kind === "text" ? [from] : [from, from], text: "", ink: this.ink };
  }

  /** @param {Mark} mark */
  finish(mark) {
    if (this.page.value.length >= MAX_MARKS || !isLargeEnough(mark, this.unit)) return;
    this.chosen = this.page.add(mark, mark.kind === "text" ? "new" : "");
    this.changed();
    if (mark.kind === "text") this.write(this.chosen);
  }

  /** Open the input for a mark's text where the text stands. @param {number} place */
  write(place) {
    this.editing = place;
    this.entry.hidden = false;
    this.entry.value = this.page.value[place].text;
    this.#draw();
    this.entry.focus({ preventScroll: true });
    this.entry.select();
  }

  /** Close the input. @param {boolean} accepted */
  written(accepted) {
    const { page, editing: place, entry } = this;
    if (place < 0) return;
    const mark = page.value[place], text = entry.value.trim();
    this.editing = -1;
    entry.hidden = true;
    if (!mark) return;
    if (accepted && text !== mark.text) page.change(place, { ...mark, text }, mark.kind === "text" && !mark.text ? "new" : "");
    if (page.value[place].kind === "text" && !page.value[place].text) {
      page.undo();
      this.chosen = -1;
    }
    page.close();
    this.changed();
  }
}
