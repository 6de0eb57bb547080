// The panel that proves a map. Everything here follows the slider in the same frame: no pass and no rerun is behind it.

import { blobOf, broadcast, componentOf, find, onBroadcast, onceAFrame, onResize } from "../../browser/component.js";
import { make, write } from "../../browser/elements.js";
import { layOut } from "../../browser/canvas.js";
import { fitted } from "../../browser/geometry.js";
import { Composer } from "../../browser/compose.js";
import { drawCurves, markAt, moveMark, percent, sampleOf, scoreAt, stepAt, writtenAt } from "../../browser/curves.js";

/**
 * @typedef {import("../../browser/curves.js").Curve} Curve
 * @typedef {{of: string, label: string, fillings: {id: string, words: string}[], curves: Curve[],
 *   sentence: string, line: string, every_line: string, columns: string[], table: string[][], every_row: string[][],
 *   steps: number, start: number}} Proof  `of`: the id of the picture and order; `every_`: with the measures that are shown only when asked for;
 *   `steps`: of the slider, `start`: the share that the sentence is of
 * @typedef {{id: string, label: string, size: number[], grid: number[], mean: number[]}} Head
 */

const MAX_HEIGHT = 420;
const MARGINS = { left: 46, right: 14, top: 8, bottom: 44 };

class Panel {
  /** @type {Head|null} */
  #head = null;
  /** @type {Proof|null} */
  #proof = null;
  /** @type {Composer|null} */
  #composer = null;
  /** @type {"hidden"|"kept"} */
  #way = "hidden";
  #filling = "blur";
  #steps = 20;
  #top = 1;
  #frame = { width: 500, height: 280, ...MARGINS };
  /** Whether somebody chose the slider's share. */
  #moved = false;
  /** The step under the pointer. @type {number|null} */
  #pointed = null;
  #redraw = onceAFrame(() => this.#draw());

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    this.signal = signal;
    this.canvas = /** @type {HTMLCanvasElement} */ (/** @type {unknown} */ (find(root, "canvas")));
    this.chart = /** @type {SVGElement} */ (/** @type {unknown} */ (find(root, ".chart")));
    this.slider = find(root, "input[type=range]");
    this.menu = find(root, "select");
    this.legend = find(root, ".legend");
    this.#listen();
    onBroadcast("proof", (given) => this.#take(given), signal);
    onResize(root, () => this.#sized(), signal);
  }

  #listen() {
    const { slider, menu, chart, root } = this;
    slider.addEventListener("input", () => {
      this.#moved = true;
      this.#redraw();
    });
    menu.addEventListener("change", () => {
      this.#filling = menu.value;
      this.#chartAgain();
    });
    find(root, ".ways").addEventListener("change", (event) => {
      this.#way = /** @type {HTMLInputElement} */ (event.target).value === "kept" ? "kept" : "hidden";
      this.#chartAgain();
    });
    find(root, ".every input").addEventListener("change", () => this.#numbers());
    chart.addEventListener("pointermove", (event) => this.#point(event, event.buttons > 0));
    chart.addEventListener("pointerdown", (event) => this.#point(event, true));
    chart.addEventListener("pointerleave", () => {
      this.#pointed = null;
      this.#redraw();
    });
    // Streamlit's shortcuts and the viewer's keys are not meant for what is moved here.
    root.addEventListener("keydown", (event) => event.stopPropagation());
  }

  /** @param {PointerEvent} event @param {boolean} moves the slider */
  #point(event, moves) {
    this.#pointed = stepAt(event.clientX - this.chart.getBoundingClientRect().left, this.#frame, this.#steps);
    if (moves) [this.slider.value, this.#moved] = [String(this.#pointed), true];
    this.#redraw();
  }

  get #share() {
    return Number(this.slider.value) / this.#steps;
  }

  get #curves() {
    return this.#proof?.curves.filter((curve) => curve.filling === this.#filling) ?? [];
  }

  #draw() {
    if (!this.#head) return;
    const now = percent(this.#share), keeps = this.#way === "kept", { canvas, root } = this;
    this.#composer?.draw(Math.round(100 * this.#share), keeps, this.#filling);
    find(root, ".slide .name").textContent = keeps ? `Keep only the hottest ${now}` : `Hide the hottest ${now}`;
    this.slider.setAttribute("aria-valuetext", now);
    canvas.setAttribute("aria-label", keeps ? `The picture with only its hottest ${now} left` : `The picture without its hottest ${now}`);
    canvas.dataset.shown = `${this.#way} ${now} ${this.#filling}`;
    this.#figure(".own", "map", `This map: ${now} ${keeps ? "kept" : "hidden"}`);
    const rival = this.#curves.find(({ name }) => name === "strongest") ?? { name: "random", title: "Random places" };
    this.#figure(".random", rival.name, `${rival.title}: ${now} ${keeps ? "kept" : "hidden"}`);
    this.#mark();
    this.#values();
  }

  /** @param {string} place @param {string} name @param {string} words */
  #figure(place, name, words) {
    const shown = this.#curves, curve = shown.find((one) => one.name === name);
    find(this.root, `${place} b`).textContent = writtenAt(curve, this.#way, this.#share, shown.length < 2) || "…";
    find(this.root, `${place} span`).textContent = words;
  }

  /** Mark the slider's place in the chart, and the pointer's. */
  #mark() {
    const frame = this.#frame, share = this.#share;
    this.chart.querySelectorAll(".pointed").forEach((node) => node.remove());
    if (this.#pointed !== null) markAt(this.chart, this.#pointed / this.#steps, frame, "pointed");
    const [first] = this.#curves, score = first ? scoreAt(first[this.#way], share) : null;
    moveMark(this.chart, share, frame, this.#top, score === null ? {} : { map: score });
  }

  /** Write each curve's value at the pointer, or else at the slider. */
  #values() {
    const at = this.#pointed === null ? this.#share : this.#pointed / this.#steps, shown = this.#curves;
    this.legend.querySelectorAll(".value").forEach((node, i) => {
      node.textContent = writtenAt(shown[i], this.#way, at, shown.length < 2);
    });
  }

  /** Draw the chart and its legend anew: other curves, another size. */
  #chartAgain() {
    const { width, height } = this.chart.getBoundingClientRect(), curves = this.#curves;
    if (width < 1) return;
    this.#frame = { width, height, ...MARGINS };
    this.#top = drawCurves(this.chart, curves, this.#way, this.#frame);
    this.legend.replaceChildren(...curves.map(entry));
    this.chart.setAttribute("aria-label", `Score over the share that is ${this.#way}, for ${curves.length} orders; the values are in the list below`);
    this.#redraw();
  }

  #sized() {
    if (!this.#head) return;
    const [width, height] = fitted(this.#head.size, find(this.root, ".left").clientWidth, MAX_HEIGHT);
    layOut(this.canvas, width, height);
    this.#chartAgain();
  }

  /** @param {Proof} given */
  #take(given) {
    if (!this.#head || given.of !== this.#head.id) return;
    this.#proof = given;
    this.#offer(given.fillings);
    this.#step(given.steps);
    if (!this.#moved) this.slider.value = String(Math.max(1, Math.round(given.start * this.#steps)));
    write(find(this.root, ".sentence"), given.sentence);
    find(this.root, "details").hidden = !given.table.length;
    find(this.root, "thead").replaceChildren(rowOf(given.columns, "col"));
    this.#numbers();
    this.#chartAgain();
  }

  /** Keep the slider at its share where the number of steps changes. @param {number} steps */
  #step(steps) {
    if (steps === this.#steps) return;
    const share = this.#share;
    [this.#steps, this.slider.max] = [steps, String(steps)];
    this.slider.value = String(Math.max(1, Math.round(share * steps)));
  }

  /** Write the measures that agree with known causes, or all of them. */
  #numbers() {
    if (!this.#proof) return;
    const every = find(this.root, ".every input").checked, { line, every_line, table, every_row } = this.#proof;
    write(find(this.root, ".shares"), every ? every_line : line);
    find(this.root, "tbody").replaceChildren(...(every ? every_row : table).map((cells) => rowOf(cells, "row")));
  }

  /** @param {Proof["fillings"]} fillings */
  #offer(fillings) {
    const ids = fillings.map(({ id }) => id), { menu } = this;
    const listed = [...menu.children].map((option) => /** @type {HTMLOptionElement} */ (option).value);
    if (ids.join() !== listed.join()) {
      menu.replaceChildren(...fillings.map(({ id, words }) => new Option(words, id)));
    }
    if (ids.length && !ids.includes(this.#filling)) this.#filling = ids[0];
    menu.value = this.#filling;
  }

  /** @param {import("../../browser/component.js").Given<Head>} run */
  async show({ data: given, blobs: [file, soft, order] }) {
    if (given.id === this.#head?.id) return;
    [this.#head, this.#proof, this.#moved] = [given, null, false];
    const [picture, blurred] = await Promise.all([file, soft].map((bytes) => createImageBitmap(blobOf(bytes))));
    if (this.#head !== given || this.signal.aborted) return;
    this.#composer = new Composer(this.canvas, picture, blurred, order.slice(), given.grid, given.mean);
    this.#sized();
    broadcast("ask-proof", null);
  }
}

/** @param {Curve} curve */
function entry({ name, title }) {
  return make("li", name, "", [sampleOf(name), make("span", "", title), make("span", "value")]);
}

/** @param {string[]} texts @param {"row"|"col"} scope  of the headings: the first cell, or all */
function rowOf(texts, scope) {
  return make("tr", "", "", texts.map((words, i) =>
    scope === "col" || !i ? Object.assign(make("th", "", words), { scope }) : make("td", "", words)));
}

export default componentOf(".proof", Panel);
