// The slides of a deck as rows. What is typed is sent at each pause; a row that is being typed in is never overwritten.

import { blobOf, component } from "../../sightglass/browser/component.js";
import { icon, make } from "../../sightglass/browser/elements.js";

/**
 * @typedef {{id: string, kind: string, title: string, sentence: string, notes: string, hidden: boolean}} Row
 * @typedef {{id: string, deck: string, rows: Row[], limits: Record<string, number>}} Head
 * @typedef {import("../../sightglass/browser/component.js").Send} Send
 * @typedef {"title"|"sentence"|"notes"} Field
 * @typedef {HTMLInputElement|HTMLTextAreaElement} Input
 * @typedef {{act: (kind: string, value: unknown) => void, move: (id: string, by: number, focus: HTMLElement) => void,
 *   drag: (event: PointerEvent, node: HTMLElement) => void}} Hands
 */

const PAUSE_MS = 500;
/** @type {Field[]} */
const FIELDS = ["title", "sentence", "notes"];

/**
 * Return the ids with one of them moved by some places, no further than the ends.
 * @param {string[]} ids @param {string} id @param {number} by @returns {string[]}
 */
export function moved(ids, id, by) {
  const from = ids.indexOf(id), to = Math.max(0, Math.min(ids.length - 1, from + by));
  if (from < 0 || from === to) return ids;
  const rest = ids.filter((one) => one !== id);
  rest.splice(to, 0, id);
  return rest;
}

/**
 * Return at which place a dragged row is dropped, given where the others' middles are, from top to bottom.
 * @param {number[]} middles @param {number} y
 */
export function placeAt(middles, y) {
  return middles.filter((middle) => middle < y).length;
}

/** Acts that are sent again with the next: a request may be dropped for a newer one. */
const ACTS = 12;

/** What was done, numbered. */
export class Acts {
  /** @type {{board: string, n: number, kind: string, value: unknown}[]} */
  #acts = [];
  #last = 0;

  /** @param {string} board  a name of its own, so that Python follows a board that is mounted anew from its first act */
  constructor(board) {
    this.board = board;
  }

  /** Note an act and return those to send. @param {string} kind @param {unknown} value */
  add(kind, value) {
    this.#last += 1;
    this.#acts = [...this.#acts, { board: this.board, n: this.#last, kind, value }].slice(-ACTS);
    return this.#acts;
  }
}

/** @param {string} sign @param {string} label @param {string} className @param {(event: Event) => void} [press] */
function iconButton(sign, label, className, press) {
  const node = Object.assign(make("button", className, "", [icon(sign)]), { title: label });
  node.setAttribute("aria-label", label);
  if (press) node.addEventListener("click", press);
  return node;
}

/** The texts of one row, sent at each pause and where a field is left. */
class Texts {
  #timer = 0;
  #sent = "";

  /** @param {string} id @param {Record<Field, Input>} inputs @param {Hands["act"]} act */
  constructor(id, inputs, act) {
    this.id = id;
    this.inputs = inputs;
    this.act = act;
    for (const input of Object.values(inputs)) {
      input.addEventListener("input", () => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.flush(), PAUSE_MS);
      });
      input.addEventListener("blur", () => this.flush());
      // Streamlit's shortcuts are not meant for what is typed.
      input.addEventListener("keydown", (event) => {
        const { key } = /** @type {KeyboardEvent} */ (event);
        if (key === "Enter" && input === inputs.title) input.blur();
        event.stopPropagation();
      });
    }
  }

  get value() {
    const [title, sentence, notes] = FIELDS.map((name) => this.inputs[name].value);
    return { id: this.id, title, sentence, notes };
  }

  flush() {
    clearTimeout(this.#timer);
    const now = JSON.stringify(this.value);
    if (now === this.#sent) return;
    this.#sent = now;
    this.act("edit", this.value);
  }

  /** Show what is stored, unless somebody types here. @param {Row} row */
  show(row) {
    const root = /** @type {Document|ShadowRoot} */ (this.inputs.title.getRootNode());
    const typing = Object.values(this.inputs).some((input) => input === root.activeElement);
    if (typing) return;
    for (const name of FIELDS) this.inputs[name].value = row[name];
    this.#sent = JSON.stringify(this.value);
  }
}

/** @param {Row} row @param {Uint8Array} picture @param {Record<string, number>} limits @param {Hands} hands */
function rowOf(row, picture, limits, hands) {
  const title = Object.assign(make("input", "title"), { type: "text", placeholder: "Title", maxLength: limits.title });
  const sentence = Object.assign(make("textarea"), { rows: 2, placeholder: "A sentence", maxLength: limits.sentence });
  const notes = Object.assign(make("textarea"), { rows: 4, placeholder: "What you want to say", maxLength: limits.notes });
  title.setAttribute("aria-label", "Title of the slide");
  sentence.setAttribute("aria-label", "Sentence of the slide");
  notes.setAttribute("aria-label", "Speaker's notes");
  const node = make("li", "row surface");
  node.dataset.id = row.id;
  const handle = iconButton("drag_indicator", "Move this slide: drag it, or press the arrow keys", "handle");
  handle.addEventListener("pointerdown", (event) => hands.drag(event, node));
  handle.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    hands.move(row.id, by, handle);
  });
  const play = Object.assign(make("button", "thumb framing"), { title: "Present from this slide" });
  play.setAttribute("aria-label", "Present from this slide");
  play.addEventListener("click", () => hands.act("play", row.id));
  if (picture.length) play.append(Object.assign(make("img"), { src: URL.createObjectURL(blobOf(picture)), alt: "", decoding: "async" }));
  else play.append(icon("notes"));
  const up = iconButton("arrow_upward", "Move up", "up", () => hands.move(row.id, -1, up));
  const down = iconButton("arrow_downward", "Move down", "down", () => hands.move(row.id, 1, down));
  const copy = iconButton("content_copy", "Duplicate this slide", "copy", () => hands.act("copy", row.id));
  const hide = iconButton("visibility", "Hide this slide from the room", "hide", () => hands.act("hide", row.id));
  const remove = iconButton("delete", "Delete this slide", "remove", () => hands.act("remove", row.id));
  const mark = make("summary", "", "Speaker's notes"), more = make("details", "", "", [mark, notes]), number = make("span", "number");
  const texted = make("div", "texts column", "", [title, sentence, more]), kind = make("span", "kind", row.kind);
  node.append(make("span", "grip column", "", [handle, number]), play, texted, make("span", "tools", "", [up, down, copy, hide, remove, kind]));
  const texts = new Texts(row.id, { title, sentence, notes }, hands.act);
  return { node, texts, number, up, down, hide, mark, play, img: play.querySelector("img") };
}

/** @typedef {ReturnType<typeof rowOf>} Made */

/** Show the slide as it is now. @param {Made} made @param {Uint8Array} picture */
function repaint(made, picture) {
  const key = `${picture.length} ${picture.subarray(-64).join()}`;
  if (!made.img || made.play.dataset.shown === key) return;
  made.play.dataset.shown = key;
  URL.revokeObjectURL(made.img.src);
  made.img.src = URL.createObjectURL(blobOf(picture));
}

/**
 * Let a row follow the pointer; `done` gets the order when it is let go.
 * @param {PointerEvent} event @param {HTMLElement} node @param {HTMLElement} list @param {() => void} done
 */
function drag(event, node, list, done) {
  if (event.button) return;
  const handle = /** @type {HTMLElement} */ (event.currentTarget), gone = new AbortController(), { signal } = gone;
  const before = [...list.children];
  handle.setPointerCapture(event.pointerId);
  node.classList.add("dragged");
  handle.addEventListener("pointermove", ({ clientY }) => {
    const others = [...list.children].filter((one) => one !== node);
    const middles = others.map((one) => one.getBoundingClientRect()).map(({ top, height }) => top + height / 2);
    const place = placeAt(middles, clientY);
    if (list.children[place] === node) return;
    // The others move around it: taken out of the page, it would lose the pointer.
    others.slice(0, place).forEach((one) => list.insertBefore(one, node));
    others.slice(place).reverse().forEach((one) => list.insertBefore(one, node.nextSibling));
  }, { signal });
  const end = (/** @type {boolean} */ keep) => {
    gone.abort();
    node.classList.remove("dragged");
    if (!keep) list.replaceChildren(...before);
    done();
  };
  handle.addEventListener("pointerup", () => end(true), { signal });
  handle.addEventListener("pointercancel", () => end(false), { signal });
  window.addEventListener("keydown", ({ key }) => key === "Escape" && end(false), { signal });
}

/** The rows of one deck, and what is done with them. */
class Board {
  #acts = new Acts(`${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`);
  #list = make("ol", "rows column");
  #said = make("p", "said unseen");
  /** @type {Map<string, Made>} */
  #made = new Map();
  #shown = "";
  #deck = "";
  /** @type {Send} */
  send = () => {};
  /** @type {Hands} */
  #hands = {
    act: (kind, value) => this.send("acts", this.#acts.add(kind, value)),
    move: (id, by, focus) => {
      const before = this.#order, ids = moved(before, id, by);
      if (ids === before) return;
      this.#place(ids);
      this.#arranged(id);
      focus.focus();
    },
    drag: (event, node) => {
      const before = this.#order.join();
      drag(event, node, this.#list, () => this.#order.join() !== before && this.#arranged(node.dataset.id ?? ""));
    },
  };

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#said.setAttribute("role", "status");
    root.append(this.#list, this.#said);
  }

  get #order() {
    return [...this.#list.children].map((node) => /** @type {HTMLElement} */ (node).dataset.id ?? "");
  }

  /** @param {string} id */
  #arranged(id) {
    const ids = this.#order;
    this.#number();
    this.#said.textContent = `Slide ${ids.indexOf(id) + 1} of ${ids.length} now.`;
    this.#hands.act("arrange", ids);
  }

  #number() {
    this.#order.forEach((id, i, { length }) => {
      const one = this.#made.get(id);
      if (!one) return;
      one.number.textContent = `${i + 1}`;
      [one.up.disabled, one.down.disabled] = [i === 0, i === length - 1];
    });
  }

  /** @param {string[]} ids */
  #place(ids) {
    ids.forEach((id, i) => {
      const node = this.#made.get(id)?.node, there = this.#list.children[i] ?? null;
      if (node && there !== node) this.#list.insertBefore(node, there);
    });
  }

  /** Remove all rows but those of some ids. @param {string[]} [keep] */
  drop(keep = []) {
    for (const [id, one] of this.#made) {
      if (keep.includes(id)) continue;
      if (one.img) URL.revokeObjectURL(one.img.src);
      one.node.remove();
      this.#made.delete(id);
    }
  }

  flush() {
    for (const one of this.#made.values()) one.texts.flush();
  }

  /** @param {Head} head @param {Uint8Array[]} pictures */
  show(head, pictures) {
    if (head.id === this.#shown) return;
    if (head.deck !== this.#deck) this.drop();
    [this.#shown, this.#deck] = [head.id, head.deck];
    const ids = head.rows.map((row) => row.id);
    this.drop(ids);
    head.rows.forEach((row, i) => {
      const one = this.#made.get(row.id) ?? rowOf(row, pictures[i], head.limits, this.#hands);
      this.#made.set(row.id, one);
      one.texts.show(row);
      one.node.classList.toggle("hidden", row.hidden);
      one.hide.setAttribute("aria-pressed", String(row.hidden));
      one.hide.title = row.hidden ? "Show this slide again" : "Hide this slide from the room";
      one.mark.textContent = row.notes ? "Speaker's notes: written" : "Speaker's notes";
      repaint(one, pictures[i]);
    });
    this.#place(ids);
    this.#number();
  }
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
function mount(root, signal) {
  const board = new Board(root);
  window.addEventListener("pagehide", () => board.flush(), { signal });
  signal.addEventListener("abort", () => {
    board.flush();
    board.drop();
  });

  /** @param {import("../../sightglass/browser/component.js").Given<Head>} given */
  return ({ data, blobs, setStateValue }) => {
    board.send = setStateValue;
    board.show(data, blobs);
  };
}

export default component(".board", mount);
