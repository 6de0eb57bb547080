// A picture to paint on, or a blank paper: the browser shows the result at once, Python explains it as soon as it can.

import { contextOf, density, haloed, hiddenContext, resize } from "../../browser/canvas.js";
import { ARROWS, blobOf, component, find, fractionOf, hearIn, onResize, onceAFrame, write } from "../../browser/component.js";
import { Canvases, Hand, corners, describeEdit } from "./edits.js";

/**
 * @typedef {import("./edits.js").Tool} Tool @typedef {import("./edits.js").Fill} Fill
 * @typedef {import("./edits.js").Edit} Edit @typedef {import("../../browser/component.js").Send} Send
 * @typedef {{id: string, name: string, size: [number, number], mean: number[], brushes: number[],
 *   paper: string, turn: number, edit: Edit}} Head  brushes: their diameters; paper: the colour of a blank one, which
 *   is drawn on in the colour `mean`; empty for a picture
 */

/** Milliseconds from a change to its message while the hand is still down; a finished stroke is sent at once. */
const SOON_MS = 60;
/** Milliseconds after which a reply will not come any more. */
const LOST_MS = 3_000;
const TOOLS = /** @type {Tool[]} */ (["brush", "erase", "rectangle"]);
/** How much larger an eraser is than the brush of its size. */
const ERASER = 2;
/** @type {Edit} */
const NOTHING = { marks: [], fill: "blur", keep: false };

/**
 * Send Python a drawing while it is drawn: soon, not at every point, and never while it still works on the last one.
 * @param {(turn: number) => void} send
 * @param {number} turn  number of the last drawing that Python has
 * @param {number} wait  milliseconds from a change until it is sent
 */
export function post(send, turn, wait) {
  let changed = false, waiting = false, awaited = 0, since = 0;

  function later() {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      flush();
    }, wait);
  }

  function flush() {
    if (!changed) return;
    // A reply that never comes (a lost connection, an error) must not block the pen for good.
    if (awaited && performance.now() - since < LOST_MS) return later();
    changed = false;
    turn += 1;
    [awaited, since] = [turn, performance.now()];
    send(turn);
  }

  return {
    touch() {
      changed = true;
      later();
    },
    /** Send what has changed at once: a stroke is finished. */
    flush,
    /** Take note that Python has shown this one. @param {number} shown */
    heard(shown) {
      turn = Math.max(turn, shown);
      if (shown < awaited) return;
      awaited = 0;
      if (changed) later();
    },
  };
}

class Painter {
  #edit = NOTHING;
  /** What was there before the last step: undone once more, that step is done again. @type {Edit | null} */
  #before = null;
  #hand = new Hand();
  #canvases = new Canvases();
  /** @type {Head|null} */
  #head = null;
  /** @type {Tool} */
  #tool = "brush";
  #original = false;
  /** @type {import("./edits.js").Sources | null} */
  #sources = null;
  /** @type {ImageBitmap[]} */
  #bitmaps = [];
  /** The tool that arrow keys move, in shares of the canvas. */
  #cursor = { x: 0.5, y: 0.5, shown: false };
  /** The finger, pen or mouse that paints. The page may scroll meanwhile: places are in the canvas as it was at first. @type {{id: number, box: DOMRect}|null} */
  #pointer = null;
  #redraw = onceAFrame(() => this.#draw());
  /** @type {Send} */
  #send = () => {};
  #post = post(() => {}, 0, SOON_MS);

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    this.canvas = /** @type {HTMLCanvasElement} */ (root.querySelector("canvas"));
    this.#wirePointer(signal);
    this.#wireKeys(signal);
    this.#wireButtons(signal);
    onResize(find(root, ".stage"), () => this.#resize(), signal);
  }

  get #size() {
    return Number(find(this.root, ".size").value) * (this.#tool === "erase" ? ERASER : 1);
  }

  /** @param {AbortSignal} signal */
  #wireButtons(signal) {
    const hear = hearIn(this.root, signal);
    for (const tool of TOOLS) {
      hear(tool, "click", () => {
        this.#tool = tool;
        this.#hand.mark = null;
        this.#describe();
        this.#redraw();
      });
    }
    hear("undo", "click", () => this.#undo());
    hear("clear", "click", () => this.#step({ ...this.#edit, marks: [] }));
    hear("keep", "click", () => this.#step({ ...this.#edit, keep: !this.#edit.keep }));
    hear("fill", "change", ({ value }) => this.#step({ ...this.#edit, fill: /** @type {Fill} */ (value) }));
  }

  #resize() {
    const { canvas, canvas: { clientWidth, clientHeight } } = this;
    if (clientWidth && clientHeight && resize(canvas, clientWidth * density(), clientHeight * density())) this.#draw();
  }

  #draw() {
    const { canvas } = this, paint = contextOf(canvas);
    if (!this.#sources) return;
    this.#canvases.draw(paint, this.#sources, this.#original ? NOTHING : this.#shown());
    if (this.#original) return;
    const scale = canvas.width / (canvas.clientWidth || canvas.width), { mark } = this.#hand;
    if (mark?.kind === "rectangle") outlineRectangle(paint, corners(mark.points), scale);
    if (this.#cursor.shown) this.#drawCursor(paint, scale);
  }

  /** @param {CanvasRenderingContext2D} paint @param {number} scale */
  #drawCursor(paint, scale) {
    const { x, y } = this.#cursor, { width, height } = paint.canvas, ring = new Path2D();
    const radius = this.#tool === "rectangle" ? 6 * scale : (this.#size * Math.max(width, height)) / 2;
    ring.arc(x * width, y * height, radius, 0, 2 * Math.PI);
    haloed(paint, ring, this.#hand.mark ? 3 : 2, "#fff", scale);
  }

  /** What is on the picture, with the mark that is being made. @returns {Edit} */
  #shown() {
    const edit = this.#edit, { mark } = this.#hand;
    return mark ? { ...edit, marks: [...edit.marks, mark] } : edit;
  }

  /** @param {boolean} finished whether a step is done, and not just going on */
  #changed(finished) {
    this.#redraw();
    this.#post.touch();
    if (!finished) return;
    this.#post.flush();
    this.#describe();
  }

  #describe() {
    const { root } = this, edit = this.#edit, by = (/** @type {string} */ name) => find(root, `.${name}`);
    const text = this.#original ? "This is the original." : describeEdit(edit);
    this.canvas.setAttribute("aria-label", `${this.#head?.name}, to paint on. ${text}`);
    write(by("said"), text);
    by("undo").disabled = !this.#before;
    by("clear").disabled = !edit.marks.length;
    by("fill").value = edit.fill;
    by("keep").setAttribute("aria-pressed", String(edit.keep));
    for (const tool of TOOLS) by(tool).setAttribute("aria-pressed", String(tool === this.#tool));
  }

  /** @param {AbortSignal} signal */
  #wirePointer(signal) {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (this.#pointer || (event.pointerType === "mouse" && event.button !== 0)) return;
      event.preventDefault();
      canvas.focus({ preventScroll: true, focusVisible: false });
      canvas.setPointerCapture(event.pointerId);
      this.#pointer = { id: event.pointerId, box: canvas.getBoundingClientRect() };
      this.#cursor.shown = false;
      this.#hand.begin(this.#tool, ...fractionOf(this.#pointer.box, event), this.#size);
      this.#changed(false);
    }, { signal });
    canvas.addEventListener("pointermove", (event) => {
      const { id, box } = this.#pointer ?? {}, all = event.getCoalescedEvents?.() ?? [];
      if (!box || id !== event.pointerId) return;
      if ((all.length ? all : [event]).filter((each) => this.#hand.move(...fractionOf(box, each))).length) this.#moved();
    }, { signal });
    for (const name of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
      canvas.addEventListener(name, ({ pointerId }) => {
        if (this.#pointer?.id !== pointerId) return;
        this.#pointer = null;
        this.#lift();
      }, { signal });
    }
  }

  #moved() {
    // A rectangle that is being drawn is no edit yet.
    if (this.#hand.mark?.kind === "rectangle") this.#redraw();
    else this.#changed(false);
  }

  #lift() {
    if (!this.#hand.mark) return;
    const mark = this.#hand.end();
    if (mark) this.#step({ ...this.#edit, marks: [...this.#edit.marks, mark] });
    else this.#changed(true);
  }

  /** @param {Edit} edit */
  #step(edit) {
    this.#hand.mark = null;
    [this.#before, this.#edit] = [this.#edit, edit];
    this.#changed(true);
  }

  #undo() {
    if (this.#before) this.#step(this.#before);
  }

  /** @param {boolean} original */
  #show(original) {
    if (original === this.#original) return;
    this.#original = original;
    this.#describe();
    this.#draw();
  }

  /** @param {AbortSignal} signal */
  #wireKeys(signal) {
    const { root, canvas } = this;
    root.addEventListener("keydown", (event) => {
      const typed = event.key.toLowerCase(), onCanvas = event.composedPath()[0] === canvas;
      if ((event.ctrlKey || event.metaKey) && typed === "z") this.#undo();
      else if (event.ctrlKey || event.metaKey || event.altKey || !onCanvas || !this.#press(event, typed)) return;
      event.preventDefault();
      // The page must not handle the key as well.
      event.stopPropagation();
    }, { signal });
    root.addEventListener("keyup", ({ key }) => key === " " && this.#show(false), { signal });
    canvas.addEventListener("blur", () => {
      this.#cursor.shown = false;
      this.#show(false);
      if (!this.#pointer) this.#lift();
      this.#redraw();
    }, { signal });
  }

  /** Do what a key means on the canvas; return whether it means anything. @param {KeyboardEvent} event @param {string} typed */
  #press(event, typed) {
    const arrow = ARROWS[event.key], cursor = this.#cursor, hand = this.#hand;
    if (typed === " ") this.#show(true);
    else if (typed === "escape") {
      const begun = hand.mark;
      hand.mark = null;
      if (begun) this.#changed(true);
    } else if (arrow) {
      const by = event.shiftKey ? 0.1 : 0.02, [x, y] = [cursor.x + by * arrow[0], cursor.y + by * arrow[1]].map((at) => Math.min(1, Math.max(0, at)));
      Object.assign(cursor, { x, y, shown: true });
      if (hand.move(x, y)) this.#moved();
    } else if (typed === "enter") {
      cursor.shown = true;
      if (hand.mark) this.#lift();
      else {
        hand.begin(this.#tool, cursor.x, cursor.y, this.#size);
        this.#changed(false);
      }
    } else return false;
    this.#redraw();
    return true;
  }

  /** @param {import("../../browser/component.js").Payload<Head>} payload */
  show({ data: head, blobs, setStateValue }) {
    const before = this.#head;
    this.#send = setStateValue;
    this.#head = head;
    if (head.id !== before?.id) this.#open(head);
    if (head.id !== before?.id || head.paper !== before.paper) void this.#load(head, blobs);
    this.#post.heard(head.turn);
    this.#describe();
  }

  /** Take another picture. @param {Head} head */
  #open(head) {
    [this.#edit, this.#before, this.#hand.mark, this.#sources] = [head.edit, null, null, null];
    this.#post = post((turn) => {
      this.#send("edit", { id: this.#head?.id, turn, edit: this.#shown() });
    }, head.turn, SOON_MS);
    this.root.toggleAttribute("data-paper", Boolean(head.paper));
    this.canvas.style.setProperty("--ratio", String(head.size[0] / head.size[1]));
    const sizes = /** @type {NodeListOf<HTMLOptionElement>} */ (this.root.querySelectorAll(".size option"));
    head.brushes.forEach((share, i) => (sizes[i].value = String(share)));
  }

  /** @param {Head} head @param {Uint8Array[]} blobs */
  async #load(head, blobs) {
    const bitmaps = await Promise.all(blobs.map((blob) => createImageBitmap(blobOf(blob)))), [picture, blur] = bitmaps;
    const late = head.id !== this.#head?.id || head.paper !== this.#head.paper;
    for (const one of late ? bitmaps : this.#bitmaps) one.close();
    if (late) return;
    this.#bitmaps = bitmaps;
    this.#sources = { picture: head.paper ? blankPaper(head.paper) : picture, blur: blur ?? null, mean: head.mean };
    this.#resize();
    this.#draw();
  }
}

/** @param {string} color */
function blankPaper(color) {
  const paint = hiddenContext();
  paint.fillStyle = color;
  paint.fillRect(0, 0, 1, 1);
  return paint.canvas;
}

/** @param {CanvasRenderingContext2D} paint @param {number[]} corners @param {number} scale */
function outlineRectangle(paint, [left, top, right, bottom], scale) {
  const { width, height } = paint.canvas, path = new Path2D();
  path.rect(left * width, top * height, (right - left) * width, (bottom - top) * height);
  haloed(paint, path, 1.5, "#fff", scale);
}

export default component(".painter", Painter);
