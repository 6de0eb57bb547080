// A picture to paint on, or a blank paper: the browser shows the result at once, Python explains it as soon as it can.

import { contextOf, density, hiddenContext, resize } from "../../browser/canvas.js";
import { ARROWS, blobOf, componentOf, find, onResize, onceAFrame } from "../../browser/component.js";
import { KeyPen, wireHands, BROWSER, post } from "../../browser/hands.js";
import { Canvases, Edits, Hand, corners, described } from "./edits.js";

/**
 * @typedef {import("./edits.js").Tool} Tool @typedef {import("./edits.js").Fill} Fill
 * @typedef {import("./edits.js").Edit} Edit @typedef {import("../../browser/component.js").Send} Send
 * @typedef {{id: string, name: string, size: [number, number], mean: number[], strongest: number[], brushes: number[],
 *   paper: string, pen?: boolean, turn: number, edit: Edit}} Head  strongest: the area that a button covers; brushes: its diameters; paper:
 *   the colour of a blank one, which is drawn on in the colour `mean`; empty for a picture; pen: only lines are drawn on it
 */

/** Milliseconds from a change to its message while the hand is still down; a finished stroke is sent at once. */
const SOON = 60;
const TOOLS = /** @type {Tool[]} */ (["brush", "erase", "rectangle", "patch"]);
const ERASER = 2;
/** Edits outlive the place on the page that they are made in. @type {Map<string, Edits>} */
const made = new Map();
/** @type {Edit} */
const NOTHING = { marks: [], fill: "blur", keep: false };

class Painter {
  #edits = new Edits(NOTHING);
  #hand = new Hand();
  #canvases = new Canvases();
  /** @type {Head|null} */
  #head = null;
  /** @type {Tool} */
  #tool = "brush";
  #original = false;
  /** Whether Python covered something, and nobody painted yet. */
  #example = false;
  /** @type {import("./edits.js").Sources | null} */
  #sources = null;
  /** Number of the last edit that Python was told. */
  #told = 0;
  #key = new KeyPen();
  /** Whether a finger, pen or mouse paints. */
  #pressed = false;
  #redraw = onceAFrame(() => this.#draw());
  /** @type {Send} */
  #send = () => {};
  #post = post(() => {}, BROWSER, 0);

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
    const { root } = this, fill = find(root, ".fill"), original = find(root, ".original");
    const on = (/** @type {string} */ name, /** @type {() => void} */ act) =>
      find(root, name).addEventListener("click", act, { signal });
    for (const tool of TOOLS) on(`.${tool}`, () => this.#take(tool));
    on(".undo", () => this.#step("undo"));
    on(".redo", () => this.#step("redo"));
    on(".clear", () => this.#step("clear"));
    on(".keep", () => this.#step("flip"));
    on(".strongest", () => this.#cover());
    fill.addEventListener("change", () => {
      this.#edits.fillWith(/** @type {Fill} */ (fill.value));
      this.#changed(true);
    }, { signal });
    original.addEventListener("pointerdown", () => this.#show(true), { signal });
    for (const name of ["pointerup", "pointercancel", "blur"]) window.addEventListener(name, () => this.#show(false), { signal });
    original.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
  }

  #resize() {
    const { canvas, canvas: { clientWidth, clientHeight } } = this;
    if (clientWidth && clientHeight && resize(canvas, clientWidth * density(), clientHeight * density())) this.#draw();
  }

  #draw() {
    const { canvas } = this, paint = contextOf(canvas);
    if (!this.#sources) return;
    this.#canvases.draw(paint, this.#sources, this.#original ? NOTHING : this.#edit());
    if (this.#original) return;
    const scale = canvas.width / (canvas.clientWidth || canvas.width), { selected, mark } = this.#hand;
    if (selected) frame(paint, selected, scale);
    if (mark?.kind === "rectangle") frame(paint, corners(mark.points), scale);
    if (this.#key.shown) this.#drawKey(paint, scale);
  }

  /** @param {CanvasRenderingContext2D} paint @param {number} scale */
  #drawKey(paint, scale) {
    const { x, y } = this.#key, { width, height } = paint.canvas;
    const round = this.#tool === "brush" || this.#tool === "erase";
    const radius = round ? (this.#size * Math.max(width, height)) / 2 : 6 * scale;
    for (const [colour, thick] of /** @type {const} */ ([["#000", 4], ["#fff", 2]])) {
      paint.strokeStyle = colour;
      paint.lineWidth = thick * scale * (this.#hand.down ? 1.5 : 1);
      paint.beginPath();
      paint.arc(x * width, y * height, radius, 0, 2 * Math.PI);
      paint.stroke();
    }
  }

  /** What is on the picture, with the mark that is being made. @returns {Edit} */
  #edit() {
    const edit = this.#edits.value, { mark } = this.#hand;
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
    const { root } = this, edit = this.#edits.value;
    const text = this.#original ? "This is the original." : described(edit, this.#example && !this.#edits.back);
    this.canvas.setAttribute("aria-label", `${this.#head?.name}, to paint on. ${text}`);
    if (find(root, ".said").textContent !== text) find(root, ".said").textContent = text;
    find(root, ".undo").disabled = !this.#edits.back;
    find(root, ".redo").disabled = !this.#edits.forth;
    find(root, ".clear").disabled = !edit.marks.length;
    find(root, ".strongest").disabled = !this.#head?.strongest.length;
    find(root, ".fill").value = edit.fill;
    find(root, ".keep").setAttribute("aria-pressed", String(edit.keep));
    for (const tool of TOOLS) find(root, `.${tool}`).setAttribute("aria-pressed", String(tool === this.#tool));
  }

  /** @param {AbortSignal} signal */
  #wirePointer(signal) {
    const hand = this.#hand;
    wireHands(this.canvas, {
      begin: (_, at) => {
        this.#key.shown = false;
        this.#pressed = true;
        hand.begin(this.#tool, ...at, this.#size);
        if (hand.mark) this.#changed(false);
        else this.#redraw();
      },
      move: (_, places) => places.filter((at) => hand.move(...at)).length && this.#moved(),
      end: () => {
        this.#pressed = false;
        this.#lift();
      },
    }, 1, signal);
  }

  #moved() {
    // A frame that is being drawn or a patch that is being dragged is no edit yet.
    const kind = this.#hand.mark?.kind;
    if (kind === "brush" || kind === "erase") this.#changed(false);
    else this.#redraw();
  }

  #lift() {
    if (!this.#hand.down) return;
    const mark = this.#hand.end();
    if (mark) this.#edits.add(mark);
    this.#changed(true);
  }

  /** @param {"undo"|"redo"|"clear"|"flip"} name */
  #step(name) {
    this.#hand.drop();
    if (this.#edits[name]() !== false) this.#changed(true);
    this.#describe();
  }

  /** Cover the strongest part. */
  #cover() {
    this.#hand.drop();
    this.#edits.add({ kind: "area", points: this.#head?.strongest ?? [], size: this.#size });
    this.#changed(true);
  }

  /** @param {Tool} tool */
  #take(tool) {
    this.#tool = tool;
    this.#hand.drop();
    this.#describe();
    this.#redraw();
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
      if ((event.ctrlKey || event.metaKey) && typed === "z") this.#step(event.shiftKey ? "redo" : "undo");
      else if (event.ctrlKey || event.metaKey || event.altKey || !onCanvas || !this.#press(event, typed)) return;
      event.preventDefault();
      // The page must not handle the key as well.
      event.stopPropagation();
    }, { signal });
    root.addEventListener("keyup", ({ key }) => key === " " && this.#show(false), { signal });
    canvas.addEventListener("blur", () => {
      this.#key.shown = false;
      this.#show(false);
      if (!this.#pressed) this.#lift();
      this.#redraw();
    }, { signal });
  }

  /** Do what a key means on the canvas; return whether it means anything. @param {KeyboardEvent} event @param {string} typed */
  #press(event, typed) {
    const arrow = ARROWS[event.key], key = this.#key, hand = this.#hand;
    if (typed === " ") this.#show(true);
    else if (typed === "escape") this.#drop();
    else if (arrow) {
      key.move(arrow, event.shiftKey);
      if (hand.move(key.x, key.y)) this.#moved();
    } else if (typed === "enter") {
      key.shown = true;
      if (hand.down) this.#lift();
      else {
        hand.begin(this.#tool, key.x, key.y, this.#size);
        if (hand.mark) this.#changed(false);
      }
    } else return false;
    this.#redraw();
    return true;
  }

  /** Let go of a mark that is being made. */
  #drop() {
    const begun = this.#hand.mark;
    this.#hand.drop();
    if (begun) this.#changed(true);
  }

  /** @param {import("../../browser/component.js").Given<Head>} given */
  show({ data: head, blobs, setStateValue }) {
    const before = this.#head;
    this.#send = setStateValue;
    this.#head = head;
    if (head.id !== before?.id) this.#open(head);
    if (head.id !== before?.id || head.paper !== before.paper) void this.#load(head, blobs);
    this.#post.heard(head.turn);
    this.root.toggleAttribute("data-busy", head.turn < this.#told);
    this.#describe();
  }

  /** @param {number} turn */
  #tell(turn) {
    this.#told = turn;
    this.root.toggleAttribute("data-busy", true);
    this.#send("edit", { id: this.#head?.id, turn, edit: this.#edit() });
  }

  /** Take another picture. @param {Head} head */
  #open(head) {
    // On the server a restart forgets them, this page does not.
    const edits = made.get(head.id) ?? new Edits(head.edit);
    made.set(head.id, edits);
    this.#hand.drop();
    [this.#edits, this.#example, this.#sources] = [edits, !head.turn, null];
    this.#post = post((turn) => this.#tell(turn), BROWSER, head.turn, SOON);
    this.root.toggleAttribute("data-paper", Boolean(head.paper));
    this.root.toggleAttribute("data-pen", head.pen === true);
    this.canvas.style.setProperty("--ratio", String(head.size[0] / head.size[1]));
    const sizes = /** @type {NodeListOf<HTMLOptionElement>} */ (this.root.querySelectorAll(".size option"));
    head.brushes.forEach((share, i) => (sizes[i].value = String(share)));
  }

  /** @param {Head} head @param {Uint8Array[]} blobs */
  async #load(head, blobs) {
    const [picture, blur] = await Promise.all(blobs.map((blob) => createImageBitmap(blobOf(blob))));
    if (head.id !== this.#head?.id || head.paper !== this.#head.paper) return;
    this.#sources = { picture: head.paper ? blank(head.paper) : picture, blur: blur ?? null, mean: head.mean };
    this.#resize();
    this.#draw();
  }
}

/** @param {string} colour */
function blank(colour) {
  const paint = hiddenContext(1, 1);
  paint.fillStyle = colour;
  paint.fillRect(0, 0, 1, 1);
  return paint.canvas;
}

/** @param {CanvasRenderingContext2D} paint @param {number[]} corners @param {number} scale */
function frame(paint, [left, top, right, bottom], scale) {
  const { width, height } = paint.canvas;
  for (const [colour, dash] of /** @type {const} */ ([["#000", []], ["#fff", [6 * scale, 4 * scale]]])) {
    paint.strokeStyle = colour;
    paint.lineWidth = 1.5 * scale;
    paint.setLineDash([...dash]);
    paint.strokeRect(left * width, top * height, (right - left) * width, (bottom - top) * height);
  }
  paint.setLineDash([]);
}

export default componentOf(".painter", Painter);
