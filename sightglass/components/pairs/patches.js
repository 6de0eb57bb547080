// A picture in patches: a click, or the arrow keys and Enter, choose one, which Python is told.

import { ARROWS, blobOf, componentOf, find, fractionOf, onResize, onceAFrame } from "../../browser/component.js";
import { contextOf, haloed, layOut } from "../../browser/canvas.js";
import { beside, cellBox, cellUnder, columnsOf, placeOf } from "./picture.js";

/**
 * @typedef {{id: string, size: [number, number], down: number[], across: number[], text: string, height: number,
 *   chosen: number|null}} PatchesHead  chosen: a patch, row by row
 */

class Patches {
  /** @type {PatchesHead|null} */
  #head = null;
  /** @type {ImageBitmap|null} */
  #bitmap = null;
  /** @type {number|null} the patch under the pointer, or where the keys are */
  #at = null;
  /** @type {number|null} */
  #chosen = null;
  /** @type {import("../../browser/component.js").Send} */
  #send = () => {};
  #loading = "";
  #redraw = onceAFrame(() => this.#draw());

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    this.canvas = /** @type {HTMLCanvasElement} */ (root.querySelector("canvas"));
    const { canvas } = this;
    canvas.addEventListener("pointermove", (event) => this.#point(this.#under(event)), { signal });
    canvas.addEventListener("pointerleave", () => this.#point(null), { signal });
    canvas.addEventListener("click", (event) => this.#choose(this.#under(event)), { signal });
    canvas.addEventListener("blur", () => this.#point(null), { signal });
    canvas.addEventListener("keydown", (event) => this.#press(event), { signal });
    onResize(root, this.#redraw, signal);
  }

  /** @param {MouseEvent} event @returns {number|null} */
  #under(event) {
    if (!this.#head) return null;
    const [fx, fy] = fractionOf(this.canvas, event), [w, h] = this.#head.size;
    return cellUnder(this.#head, fx * w, fy * h);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const head = this.#head, step = ARROWS[event.key];
    if (!head || !(step || event.key === "Enter" || event.key === " ")) return;
    event.preventDefault();
    const columns = columnsOf(head), middle = ((head.down.length - 1) >> 1) * columns + (columns >> 1);
    const from = this.#at ?? this.#chosen;
    if (step) this.#point(from === null ? middle : beside(head, from, step[0], step[1]));
    else this.#choose(from ?? middle);
  }

  /** @param {number|null} cell */
  #point(cell) {
    if (cell === this.#at) return;
    this.#at = cell;
    this.#redraw();
  }

  /** @param {number|null} cell */
  #choose(cell) {
    if (cell === null || cell === this.#chosen) return;
    this.#chosen = cell;
    this.#redraw();
    this.#send("cell", cell);
  }

  #draw() {
    const head = this.#head;
    if (!head || !this.#bitmap) return;
    const [w, h] = head.size, width = Math.min(this.root.clientWidth, (head.height * w) / h);
    if (width < 1) return;
    layOut(this.canvas, width, (width * h) / w);
    const context = contextOf(this.canvas), across = this.canvas.width / w, down = this.canvas.height / h;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#bitmap, 0, 0, this.canvas.width, this.canvas.height);
    for (const [cell, thick] of /** @type {[number|null, number][]} */ ([[this.#at, 1], [this.#chosen, 2]])) {
      if (cell === null) continue;
      const [x0, y0, x1, y1] = cellBox(head, cell, head.size);
      const path = new Path2D(), unit = this.canvas.width / width;
      path.rect(x0 * across, y0 * down, (x1 - x0) * across, (y1 - y0) * down);
      haloed(context, path, thick * unit, 2 * unit, "#fff", "#000");
    }
    find(this.root, ".line").textContent = this.#line(head);
  }

  /** @param {PatchesHead} head */
  #line(head) {
    const cell = this.#at ?? this.#chosen;
    if (cell === null) return "Click a patch, or use the arrow keys and Enter.";
    const columns = columnsOf(head), place = placeOf(cellBox(head, cell, head.size), head.size);
    const which = cell === this.#chosen ? "Chosen" : "Patch";
    return `${which}: row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1} (${place})`;
  }

  /** @param {import("../../browser/component.js").Given<PatchesHead>} given */
  async show({ data: head, blobs, setStateValue }) {
    this.#send = setStateValue;
    if (this.#loading === head.id) return;
    this.#loading = head.id;
    const bitmap = await createImageBitmap(blobOf(blobs[0]));
    // Another picture came while this one was being unpacked.
    if (this.#loading !== head.id) return;
    this.#head = head;
    this.#bitmap = bitmap;
    this.#chosen = head.chosen;
    this.canvas.setAttribute("aria-label", head.text);
    this.#redraw();
  }
}

export default componentOf(".patches", Patches);
