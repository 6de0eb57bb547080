// Two pictures with maps of what makes them similar or different; pointing at a place joins it to its best match.

import { OPACITY } from "../../common/style.js";
import { ARROWS, blobOf, componentOf, find, fractionOf, keepStored, onResize, onceAFrame, stored, themeOf } from "../../browser/component.js";
import { svgElement, svgText } from "../../browser/elements.js";
import { bytes, grids, inflate } from "../../browser/unpack.js";
import { differenceGradient } from "../../browser/table.js";
import { asHeat, beside, best, cellBox, cellUnder, columnsOf, placeOf, similarTo, sizes, PairPicture } from "./picture.js";

/**
 * @typedef {{side: number, cell: number}} Cell
 * @typedef {import("./picture.js").PictureHead} PictureHead
 * @typedef {{id: string, sides: [PictureHead, PictureHead], cells: number[], pairs: number[][], line: string,
 *   words: Record<"both"|"lines"|"upper"|"low"|"high", string>, height: number, lut: string,
 *   outlined: boolean}} PairsHead  outlined: whether lines are the mode to begin with
 */

const MODES = [["both", "compare"], ["lines", "highlight_alt"], ["upper", "join_inner"], ["picture", "image"]];
const GAP = 16;
const MIN_HEIGHT = 220;
const PHONE = 640;
/** CSS pixels: a narrower picture has room for its name only. */
const MIN_NOTED = 170;
/** Width over height from which pictures are stacked on a phone. */
const WIDE = 1.15;
const STORE = "sightglass:pairs";

class Pairs {
  /** @type {import("./picture.js").PairSettings} those of before, also of before a reload */
  #settings = { mode: "", alpha: OPACITY.pair, lines: false, ...stored(sessionStorage, STORE) };
  /** @type {PairPicture[]} */
  #pictures = [];
  /** @type {PairsHead|null} */
  #head = null;
  /** @type {import("./picture.js").Matrix} */
  #matrix = { scores: new Float32Array(0), count: [0, 0] };
  /** @type {Cell|null} the cell pointed at */
  #at = null;
  #lut = new Uint8Array(768);
  #dark = false;
  #redraw = onceAFrame(() => this.#draw());
  #loading = "";

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    this.stage = find(root, ".stage");
    this.canvases = [...root.querySelectorAll("canvas")];
    this.#wireControls(signal);
    this.canvases.forEach((canvas, i) => this.#wireCanvas(canvas, i, signal));
    onResize(this.stage, () => this.#arrange(), signal);
    window.addEventListener("resize", () => this.#arrange(), { signal });
  }

  /** @param {AbortSignal} signal */
  #wireControls(signal) {
    const { root } = this, settings = this.#settings, slider = find(root, ".alpha input"), toggle = find(root, ".toggle");
    find(root, ".modes").replaceChildren(...MODES.map(([value, icon]) => {
      const label = document.createElement("label");
      label.innerHTML = `<input type="radio" name="mode" value="${value}">` +
        `<span class="icon" aria-hidden="true">${icon}</span><span class="word"></span>`;
      return label;
    }));
    slider.value = String(Math.round(100 * settings.alpha));
    toggle.setAttribute("aria-pressed", String(settings.lines));
    find(root, ".modes").addEventListener("change", ({ target }) =>
      this.#set({ mode: /** @type {HTMLInputElement} */ (target).value }), { signal });
    slider.addEventListener("input", () => this.#set({ alpha: Number(slider.value) / 100 }), { signal });
    toggle.addEventListener("click", () => {
      toggle.setAttribute("aria-pressed", String(!settings.lines));
      this.#set({ lines: !settings.lines });
    }, { signal });
  }

  /** @param {HTMLCanvasElement} canvas @param {number} side @param {AbortSignal} signal */
  #wireCanvas(canvas, side, signal) {
    /** @param {PointerEvent} event @returns {Cell|null} */
    const under = (event) => {
      if (!this.#pictures[side]) return null;
      const [fx, fy] = fractionOf(canvas, event), { head } = this.#pictures[side], [w, h] = head.size;
      return { side, cell: cellUnder(head, fx * w, fy * h) };
    };
    const mouse = (/** @type {PointerEvent} */ { pointerType }) => pointerType === "mouse";
    canvas.addEventListener("pointermove", (event) => mouse(event) && this.#point(under(event)), { signal });
    // A finger has no hover: a tap joins a place, a second tap there removes the line.
    canvas.addEventListener("pointerdown", (event) => {
      const next = mouse(event) ? null : under(event);
      if (next) this.#point(this.#at?.side === side && this.#at.cell === next.cell ? null : next);
    }, { signal });
    canvas.addEventListener("pointerleave", (event) => mouse(event) && this.#point(null), { signal });
    canvas.addEventListener("blur", () => this.#point(null), { signal });
    canvas.addEventListener("keydown", (event) => {
      const step = ARROWS[event.key];
      if (event.key === "Escape") this.#point(null);
      if (!step || !this.#pictures[side]) return;
      event.preventDefault();
      const { head } = this.#pictures[side], columns = columnsOf(head);
      const middle = Math.floor((head.down.length - 1) / 2) * columns + (columns >> 1);
      this.#point({ side, cell: this.#at?.side === side ? beside(head, this.#at.cell, step[0], step[1]) : middle });
    }, { signal });
  }

  /** @param {Partial<import("./picture.js").PairSettings>} changes */
  #set(changes) {
    Object.assign(this.#settings, changes);
    keepStored(sessionStorage, STORE, this.#settings);
    this.#redraw();
  }

  /** The mode that was chosen, or the one to begin with. */
  get #mode() {
    return this.#settings.mode || (this.#head?.outlined ? "lines" : "both");
  }

  #arrange() {
    if (!this.#head) return;
    const aspects = this.#pictures.map(({ head: { size: [w, h] } }) => w / h);
    const stacked = innerWidth < PHONE && Math.min(...aspects) > WIDE;
    const maxHeight = Math.max(MIN_HEIGHT, this.#head.height + Math.min(0, innerHeight - 900));
    this.stage.classList.toggle("stacked", stacked);
    sizes(this.stage.clientWidth, aspects, maxHeight, stacked, GAP).forEach(([width, height], i) => {
      const figure = /** @type {HTMLElement} */ (this.canvases[i].parentElement);
      figure.style.width = `${width}px`;
      find(figure, "span").hidden = width < MIN_NOTED;
      this.#pictures[i].resize(width, height);
    });
    this.#redraw();
  }

  #draw() {
    if (!this.#head || this.#pictures.some(({ ready }) => !ready)) return;
    for (const picture of this.#pictures) picture.paint({ ...this.#settings, mode: this.#mode }, this.#lut, this.#dark);
    find(this.root, "svg").replaceChildren(...this.#joined(this.#head).flatMap((pair, i) => this.#outline(pair, i)));
    find(this.root, ".line").textContent = this.#line(this.#head);
    find(this.root, ".legend i").style.background = differenceGradient(this.#dark ? 48 : 228);
    find(this.root, ".legend").style.visibility = this.#mode === "picture" ? "hidden" : "visible";
    find(this.root, ".low").textContent = this.#head.words.low + (this.#mode === "lines" ? " (dotted line)" : "");
  }

  /** Return the pairs that are joined now, as [cell of the first, cell of the second, score]. @param {PairsHead} head */
  #joined(head) {
    const at = this.#at;
    if (!at) return this.#settings.lines ? head.pairs : [];
    const scores = similarTo(this.#matrix, at.side, at.cell), other = best(scores);
    return [at.side === 0 ? [at.cell, other, scores[other]] : [other, at.cell, scores[other]]];
  }

  /** Draw the cells of a pair with a dark halo: joined by a line if one is pointed at, else numbered. @param {number[]} pair @param {number} i */
  #outline(pair, i) {
    const from = this.stage.getBoundingClientRect();
    const boxes = this.#pictures.map(({ head, canvas }, side) => {
      const { left, top, width, height } = canvas.getBoundingClientRect(), [w, h] = head.size;
      const [x0, y0, x1, y1] = cellBox(head, pair[side], head.size);
      const [sx, sy, x, y] = [width / w, height / h, left - from.left, top - from.top];
      return [x + x0 * sx, y + y0 * sy, x + x1 * sx, y + y1 * sy];
    });
    const [[ax, ay], [bx, by]] = boxes.map(([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2]);
    const nodes = ["halo", "ink"].flatMap((kind) => [
      ...boxes.map(([x, y, x1, y1]) => svgElement("rect", { x, y, width: x1 - x, height: y1 - y, rx: 2, class: kind })),
      ...(this.#at ? [svgElement("line", { x1: ax, y1: ay, x2: bx, y2: by, class: kind })] : []),
    ]);
    if (this.#at) return nodes;
    return [...nodes, ...boxes.map(([x, y]) => svgText(String(i + 1), x + 4, y + 14, "start"))];
  }

  /** Return the line below the pictures, which a screen reader reads. @param {PairsHead} head */
  #line(head) {
    if (!this.#at) {
      const many = head.pairs.length, places = many === 1 ? "the best match" : `the ${many} best matches`;
      return head.line + (this.#settings.lines && many ? ` Equal numbers mark ${places}.` : "");
    }
    const [[first, second, score]] = this.#joined(head), cells = [first, second];
    const [own, other] = [this.#at.side, 1 - this.#at.side].map((i) => {
      const { head: picture } = this.#pictures[i];
      return `${placeOf(cellBox(picture, cells[i], picture.size), picture.size)} of ${picture.name}`;
    });
    return `${own[0].toUpperCase()}${own.slice(1)} matches ${other} best (similarity ${score.toFixed(2)}); ` +
      "the colours there show how well every place matches.";
  }

  /** @param {Cell|null} next */
  #point(next) {
    if (next?.side === this.#at?.side && next?.cell === this.#at?.cell) return;
    this.#at = next;
    for (const picture of this.#pictures) picture.heat = null;
    if (next) {
      const other = this.#pictures[1 - next.side], { down, across } = other.head;
      const values = asHeat(similarTo(this.#matrix, next.side, next.cell));
      const extent = [across[0], down[0], across[across.length - 1], down[down.length - 1]];
      other.heat = { values, w: columnsOf(other.head), h: down.length - 1, extent, kind: "heat" };
    }
    this.#redraw();
  }

  /** @param {PairsHead} head @param {Uint8Array[]} blobs */
  async #load(head, blobs) {
    this.#loading = head.id;
    const shapes = [head.sides[0].shape, head.sides[1].shape, head.cells];
    const count = shapes.reduce((sum, [h, w]) => sum + h * w, 0);
    const decoded = Promise.all(blobs.slice(0, 2).map((blob) => createImageBitmap(blobOf(blob))));
    const [bitmaps, steps] = await Promise.all([decoded, inflate(blobs[2], count)]);
    // Another pair came while this one was being unpacked.
    if (this.#loading !== head.id) return;
    const [first, second, cells] = grids(steps, shapes).map((grid) => grid());
    this.#matrix = { scores: Float32Array.from(cells, (v) => v / 32767.5 - 1), count: head.cells };
    this.#head = head;
    this.#at = null;
    this.#lut = new Uint8Array(bytes(head.lut));
    this.#pictures = head.sides.map((each, i) => new PairPicture(each, i ? second : first, bitmaps[i], this.canvases[i]));
    this.#name(head);
    this.#arrange();
  }

  /** Write the names of pictures, modes and colours, which depend on what the maps are of. @param {PairsHead} head */
  #name({ sides, words }) {
    sides.forEach(({ name, note, text }, i) => {
      const figure = /** @type {HTMLElement} */ (this.canvases[i].parentElement);
      find(figure, "b").textContent = find(figure, "b").title = name;
      find(figure, "span").textContent = note;
      this.canvases[i].setAttribute("aria-label", `${text} Arrow keys move between its places and name the best match of each.`);
    });
    [...this.root.querySelectorAll("label:has([name=mode])")].forEach((label, i) => {
      const word = [words.both, words.lines, words.upper, "Pictures"][i];
      find(label, "input").setAttribute("aria-label", word);
      find(label, "input").checked = MODES[i][0] === this.#mode;
      find(label, ".word").textContent = /** @type {HTMLElement} */ (label).title = word;
    });
    find(this.root, ".high").textContent = words.high;
  }

  /** @param {import("../../browser/component.js").Given<PairsHead>} given */
  show({ data: head, blobs }) {
    this.#dark = themeOf(this.root).dark;
    if (this.#head?.id === head.id) this.#redraw();
    else this.#load(head, blobs);
  }
}

export default componentOf(".pairs", Pairs);
