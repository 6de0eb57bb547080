// A canvas to draw on with fingers, mouse, pen or keys; what is drawn goes to Python while it is drawn.

import { contextOf, density, drawStroke, resize } from "../../browser/canvas.js";
import { ARROWS, componentOf, find, onceAFrame, onResize } from "../../browser/component.js";
import { KeyPen, wireHands, Steps, BROWSER, post } from "../../browser/hands.js";

/** @typedef {{points: number[], width: number, erases: boolean}} Stroke  x, y, x, y, ... and width as shares of the side */

const STEP = 0.003;

/** @extends {Steps<Stroke[]>} */
export class Sheet extends Steps {
  /** @param {number} x @param {number} y @param {number} width @param {boolean} erases */
  begin(x, y, width, erases) {
    const stroke = { points: [round(x), round(y)], width, erases };
    this.set([...this.value, stroke]);
    return stroke;
  }

  /** Return whether there was anything to clear. */
  clear() {
    if (!this.value.length) return false;
    this.set([]);
    return true;
  }
}

/** Add a point, unless it is at the last one. @param {Stroke} stroke @param {number} x @param {number} y */
export function extend({ points }, x, y) {
  const [lastX, lastY] = points.slice(-2);
  if (Math.hypot(x - lastX, y - lastY) < STEP) return false;
  points.push(round(x), round(y));
  return true;
}

/** @param {number} share */
function round(share) {
  return Math.round(share * 1e4) / 1e4;
}

/** Describe what a drawing covers, for a screen reader. @param {Stroke[]} strokes */
export function described(strokes) {
  const lines = strokes.filter(({ erases }) => !erases), count = lines.length;
  if (!count) return "The canvas is empty.";
  const xs = lines.flatMap(({ points }) => points.filter((_, i) => i % 2 === 0));
  const ys = lines.flatMap(({ points }) => points.filter((_, i) => i % 2 === 1));
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const rows = span(top, bottom, ["top", "bottom"]), columns = span(left, right, ["left", "right"]);
  const parts = [rows, columns].filter((word) => word !== "middle");
  const where = rows === "all" && columns === "all" ? "across the whole canvas" :
    parts.some((word) => word !== "all") ? `at the ${parts.filter((word) => word !== "all").join(" ")}` : "in the middle";
  return `${count} ${count === 1 ? "line" : "lines"}, ${where}.`;
}

/** @param {number} low @param {number} high @param {string[]} ends */
function span(low, high, [first, last]) {
  if (high - low > 0.5) return "all";
  const centre = (low + high) / 2;
  return centre < 0.38 ? first : centre > 0.62 ? last : "middle";
}

/**
 * @typedef {import("../../browser/component.js").Send} Send
 * @typedef {{id: string, paper: string, ink: string, turn: number, strokes: Stroke[]}} Drawing
 */

/** Shares of the canvas's side. @type {Record<string, number>} */
const WIDTHS = { thin: 1 / 28, medium: 1 / 16, thick: 1 / 9 };
const ERASER = 2;
/** Drawings outlive the place on the page that they are drawn in. @type {Map<string, Sheet>} */
const sheets = new Map();

class Pad {
  #sheet = new Sheet(/** @type {Stroke[]} */ ([]));
  #id = "";
  #colours = { ink: "white", paper: "black" };
  #erasing = false;
  #width = WIDTHS.medium;
  #redraw = onceAFrame(() => this.#draw());
  /** @type {Send} */
  #send = () => {};
  #post = post(() => {}, BROWSER, 0);
  /** The stroke of each finger, mouse or pen. @type {Map<number, Stroke>} */
  #hands = new Map();
  #key = new KeyPen();
  /** @type {Stroke | null} */
  #keyStroke = null;

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    this.canvas = /** @type {HTMLCanvasElement} */ (root.querySelector("canvas"));
    this.#wirePointer(signal);
    this.#wireKeys(signal);
    const width = find(root, ".width");
    find(root, ".pen").addEventListener("click", () => this.#take(false), { signal });
    find(root, ".eraser").addEventListener("click", () => this.#take(true), { signal });
    find(root, ".undo").addEventListener("click", () => this.#step("undo"), { signal });
    find(root, ".clear").addEventListener("click", () => this.#step("clear"), { signal });
    width.addEventListener("change", () => (this.#width = WIDTHS[width.value]), { signal });
    onResize(this.canvas, () => {
      const side = this.canvas.clientWidth * density(Infinity);
      if (side && resize(this.canvas, side, side)) this.#draw();
    }, signal);
  }

  #draw() {
    const context = contextOf(this.canvas), side = this.canvas.width;
    const { ink, paper } = this.#colours, key = this.#key;
    context.fillStyle = paper;
    context.fillRect(0, 0, side, side);
    for (const { points, width, erases } of this.#sheet.value) {
      context.strokeStyle = context.fillStyle = erases ? paper : ink;
      drawStroke(context, points, width * side);
    }
    if (!key.shown) return;
    context.strokeStyle = this.#keyStroke ? "#e0568f" : "#888";
    context.lineWidth = Math.max(2, side / 150);
    context.beginPath();
    context.arc(key.x * side, key.y * side, (this.#width * side * (this.#erasing ? ERASER : 1)) / 2 + 3, 0, 2 * Math.PI);
    context.stroke();
  }

  #changed() {
    this.#redraw();
    this.#post.touch();
  }

  #describe() {
    const text = described(this.#sheet.value);
    this.canvas.setAttribute("aria-label", `Canvas to draw on. ${text}`);
    find(this.root, ".said").textContent = text;
    find(this.root, ".undo").disabled = !this.#sheet.back;
    find(this.root, ".clear").disabled = !this.#sheet.value.length;
  }

  /** @param {number} x @param {number} y @param {boolean} [rubber] */
  #begin(x, y, rubber = false) {
    const erases = this.#erasing || rubber;
    return this.#sheet.begin(x, y, erases ? this.#width * ERASER : this.#width, erases);
  }

  /** @param {AbortSignal} signal */
  #wirePointer(signal) {
    const hands = this.#hands;
    wireHands(this.canvas, {
      begin: (hand, at, { buttons }) => {
        this.#key.shown = false;
        // The other end of a pen is its eraser.
        hands.set(hand, this.#begin(...at, (buttons & 32) > 0));
        this.#changed();
      },
      move: (hand, places) => {
        const stroke = hands.get(hand);
        if (stroke && places.filter((at) => extend(stroke, ...at)).length) this.#changed();
      },
      end: (hand) => hands.delete(hand) && this.#describe(),
    }, Infinity, signal);
  }

  /** @param {"undo"|"clear"} name */
  #step(name) {
    this.#hands.clear();
    this.#keyStroke = null;
    if (this.#sheet[name]()) this.#changed();
    this.#describe();
  }

  /** @param {boolean} eraser */
  #take(eraser) {
    this.#erasing = eraser;
    find(this.root, ".pen").setAttribute("aria-pressed", String(!eraser));
    find(this.root, ".eraser").setAttribute("aria-pressed", String(eraser));
    this.#redraw();
  }

  /** @param {AbortSignal} signal */
  #wireKeys(signal) {
    this.canvas.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key], typed = event.key.toLowerCase();
      if ((event.ctrlKey || event.metaKey) && typed === "z") this.#step("undo");
      else if (event.ctrlKey || event.metaKey || event.altKey) return;
      else if (arrow) this.#moveKey(arrow, event.shiftKey);
      else if (typed === " " || typed === "enter") this.#pressKey();
      else if (typed === "e") this.#take(!this.#erasing);
      else if (typed === "u") this.#step("undo");
      else if (typed === "c") this.#step("clear");
      else return;
      event.preventDefault();
      // The page must not handle the key as well.
      event.stopPropagation();
    }, { signal });
    this.canvas.addEventListener("blur", () => {
      this.#key.shown = false;
      this.#keyStroke = null;
      this.#describe();
      this.#redraw();
    }, { signal });
  }

  /** @param {[number, number]} arrow @param {boolean} far */
  #moveKey(arrow, far) {
    this.#key.move(arrow, far);
    if (this.#keyStroke && extend(this.#keyStroke, this.#key.x, this.#key.y)) this.#changed();
    else this.#redraw();
  }

  /** Put the pen of the keyboard down, or lift it. */
  #pressKey() {
    const key = this.#key;
    key.shown = true;
    this.#keyStroke = this.#keyStroke ? null : this.#begin(key.x, key.y);
    if (this.#keyStroke) this.#changed();
    this.#describe();
    this.#redraw();
  }

  /** @param {import("../../browser/component.js").Given<Drawing>} given */
  show({ data, setStateValue }) {
    this.#send = setStateValue;
    this.#colours = { ink: data.ink, paper: data.paper };
    if (data.id !== this.#id) {
      const page = sheets.get(data.id) ?? new Sheet(data.strokes);
      this.#id = data.id;
      this.#sheet = page;
      sheets.set(data.id, page);
      this.#post = post((turn) => this.#send("drawing", { id: data.id, turn, strokes: page.value }), BROWSER, data.turn);
    }
    this.#post.heard(data.turn);
    this.#describe();
    this.#redraw();
  }
}

export default componentOf(".pad", Pad);
