// A picture to paint on: the browser shows the edited picture at once, Python explains it as soon as it can.

import { contextOf, density, resize } from "../../browser/canvas.js";
import { ARROWS, blobOf, componentOf, find, onResize, onceAFrame } from "../../browser/component.js";
import { KeyPen, wireHands, BROWSER, post } from "../../browser/hands.js";
import { Canvases, Edits, Hand, corners, described } from "./edits.js";

/**
 * @typedef {import("./edits.js").Tool} Tool @typedef {import("./edits.js").Fill} Fill
 * @typedef {import("./edits.js").Edit} Edit @typedef {import("./edits.js").Corners} Corners @typedef {import("../../browser/component.js").Send} Send
 * @typedef {{id: string, name: string, size: [number, number], mean: number[], strongest: number[], turn: number,
 *   edit: Edit}} Head
 */

/** Milliseconds from a change to its message while the hand is still down; a finished stroke is sent at once. */
const SOON = 60;
const KEYS = /** @type {Record<string, Tool>} */ ({ b: "brush", r: "rectangle", p: "patch" });
/** Edits outlive the place on the page that they are made in. @type {Map<string, Edits>} */
const made = new Map();
/** @type {Edit} */
const NOTHING = { marks: [], fill: "blur", keep: false };

class Painter {
  #edits = new Edits(NOTHING);
  #hand = new Hand();
  #canvases = new Canvases();
  #id = "";
  /** @type {Tool} */
  #tool = "brush";
  #original = false;
  /** Whether Python covered something, and nobody painted yet. */
  #example = false;
  /** @type {import("./edits.js").Sources | null} */
  #sources = null;
  /** The area that a button covers. @type {number[]} */
  #strongest = [];
  #name = "";
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
    return Number(find(this.root, ".size").value);
  }

  /** @param {AbortSignal} signal */
  #wireButtons(signal) {
    const { root } = this, on = (/** @type {string} */ name, /** @type {() => void} */ act) =>
      find(root, name).addEventListener("click", act, { signal });
    for (const tool of Object.values(KEYS)) on(`.${tool}`, () => this.#take(tool));
    on(".undo", () => this.#step("undo"));
    on(".redo", () => this.#step("redo"));
    on(".clear", () => this.#step("clear"));
    on(".keep", () => this.#step("flip"));
    on(".strongest", () => this.#cover());
    const fill = find(root, ".fill"), original = find(root, ".original");
    fill.addEventListener("change", () => {
      this.#edits.fillWith(/** @type {Fill} */ (fill.value));
      this.#changed(true);
    }, { signal });
    original.addEventListener("pointerdown", (event) => {
      original.setPointerCapture(event.pointerId);
      this.#show(true);
    }, { signal });
    for (const name of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture", "blur"])) {
      original.addEventListener(name, () => this.#show(false), { signal });
    }
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
    const scale = canvas.width / (canvas.clientWidth || canvas.width);
    const { selected, mark } = this.#hand;
    if (selected) frame(paint, selected, scale);
    if (mark?.kind === "rectangle") {
      frame(paint, corners(mark.points[0], mark.points[1], mark.points[2], mark.points[3]), scale);
    }
    if (this.#key.shown) this.#drawKey(paint, scale);
  }

  /** @param {CanvasRenderingContext2D} paint @param {number} scale */
  #drawKey(paint, scale) {
    const { x, y } = this.#key, { width, height } = paint.canvas;
    const radius = this.#tool === "brush" ? (this.#size * Math.max(width, height)) / 2 : 6 * scale;
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
    this.canvas.setAttribute("aria-label", `${this.#name}, to paint on. ${text}`);
    if (find(root, ".said").textContent !== text) find(root, ".said").textContent = text;
    find(root, ".undo").disabled = !this.#edits.back;
    find(root, ".redo").disabled = !this.#edits.forth;
    find(root, ".clear").disabled = !edit.marks.length;
    find(root, ".strongest").disabled = !this.#strongest.length;
    find(root, ".fill").value = edit.fill;
    find(root, ".size").disabled = this.#tool !== "brush";
    find(root, ".keep").setAttribute("aria-pressed", String(edit.keep));
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
    if (this.#hand.mark?.kind === "brush") this.#changed(false);
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

  #cover() {
    if (!this.#strongest.length) return;
    this.#hand.drop();
    this.#edits.add({ kind: "area", points: this.#strongest, size: this.#size });
    this.#changed(true);
  }

  /** @param {Tool} tool */
  #take(tool) {
    this.#tool = tool;
    this.#hand.drop();
    for (const one of Object.values(KEYS)) find(this.root, `.${one}`).setAttribute("aria-pressed", String(one === tool));
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
      const typed = event.key.toLowerCase(), held = event.ctrlKey || event.metaKey;
      const at = /** @type {HTMLElement} */ (event.composedPath()[0]);
      if (typed === " " && (at === canvas || at.matches(".original"))) this.#show(true);
      else if (at.matches("select") || event.altKey) return;
      else if (held && typed === "z") this.#step(event.shiftKey ? "redo" : "undo");
      else if (held || !((at === canvas && this.#press(event, typed)) || this.#letter(event, typed))) return;
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

  /** Move, lower or lift the tool; return whether the key does. @param {KeyboardEvent} event @param {string} typed */
  #press(event, typed) {
    const arrow = ARROWS[event.key], key = this.#key;
    if (!arrow && typed !== "enter") return false;
    key.shown = true;
    if (arrow) {
      key.move(arrow, event.shiftKey);
      if (this.#hand.move(key.x, key.y)) this.#moved();
    } else if (this.#hand.down) this.#lift();
    else {
      this.#hand.begin(this.#tool, key.x, key.y, this.#size);
      if (this.#hand.mark) this.#changed(false);
    }
    this.#redraw();
    return true;
  }

  /** Return whether the key means anything. @param {KeyboardEvent} event @param {string} typed */
  #letter(event, typed) {
    const size = /** @type {HTMLSelectElement} */ (/** @type {unknown} */ (find(this.root, ".size")));
    if (typed in KEYS) this.#take(KEYS[typed]);
    else if (typed === "u") this.#step(event.shiftKey ? "redo" : "undo");
    else if (typed === "c") this.#step("clear");
    else if (typed === "k") this.#step("flip");
    else if (typed === "h") this.#cover();
    else if (typed === "[" || typed === "]") {
      size.selectedIndex = Math.min(2, Math.max(0, size.selectedIndex + (typed === "]" ? 1 : -1)));
    } else if (typed === "escape") {
      const begun = this.#hand.mark;
      this.#hand.drop();
      if (begun) this.#changed(true);
    } else return false;
    this.#redraw();
    return true;
  }

  /** @param {import("../../browser/component.js").Given<Head>} given */
  show({ data: head, blobs, setStateValue }) {
    this.#send = setStateValue;
    this.#strongest = head.strongest;
    if (head.id !== this.#id) this.#open(head, blobs);
    this.#post.heard(head.turn);
    this.root.toggleAttribute("data-busy", head.turn < this.#told);
    this.#describe();
  }

  /** @param {number} turn */
  #tell(turn) {
    this.#told = turn;
    this.root.toggleAttribute("data-busy", true);
    this.#send("edit", { id: this.#id, turn, edit: this.#edit() });
  }

  /** Take another picture. @param {Head} head @param {Uint8Array[]} blobs */
  #open(head, blobs) {
    // On the server a restart forgets them, this page does not.
    const edits = made.get(head.id) ?? new Edits(head.edit);
    made.set(head.id, edits);
    this.#hand.drop();
    [this.#id, this.#edits, this.#name, this.#example] = [head.id, edits, head.name, !head.turn];
    this.#post = post((turn) => this.#tell(turn), BROWSER, head.turn, SOON);
    this.canvas.style.setProperty("--ratio", String(head.size[0] / head.size[1]));
    const opened = blobs.map((blob) => createImageBitmap(blobOf(blob)));
    void Promise.all(opened).then(([picture, blur]) => {
      if (head.id !== this.#id) return;
      this.#sources = { picture, blur, mean: head.mean };
      this.#resize();
      this.#draw();
    });
  }
}

/** @param {CanvasRenderingContext2D} paint @param {Corners} corners @param {number} scale */
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
