// Hide what is under the pointer: a blurred disc on the picture, of which Python tells how it changes the answers.

import { ARROWS, blobOf, broadcast, byTouch } from "../../browser/component.js";
import { BROWSER, post } from "../../browser/hands.js";

/** The disc's radius, in shares of the visible part's longer side: at first, and the least and the most. */
const RADIUS = 0.1, LEAST = 0.02, MOST = 0.4, STEP = 1.25;
/** Milliseconds between two looks whether an answer is lost, and after which it is: a slow model takes seconds. */
const LOOK = 50, LOST = 30_000;
const LABEL = "Hiding what is under the pointer";

/** @typedef {import("../../browser/component.js").Hidden} Hidden */

export class Hiding {
  on = false;
  /** The middle of the disc in original pixels, while there is one. @type {number[]|null} */
  at = null;
  /** The part of the picture that the model saw. @type {{bitmap: ImageBitmap, rect: number[]}|null} */
  #blurred = null;
  #radius = RADIUS;
  /** @type {Hidden|null} */
  #answer = null;
  #post = post(() => {}, BROWSER, 0);
  #turn = 0;
  /** Whether the disc was last moved by keys: its score is then said aloud. */
  #aloud = false;

  /**
   * @param {import("./store.js").Store} store @param {import("./painter.js").Painter} painter
   * @param {import("./display.js").Display} display
   */
  constructor(store, painter, display) {
    this.store = store;
    this.painter = painter;
    this.display = display;
  }

  /** In original pixels. */
  get radius() {
    return (this.#radius * Math.max(...this.store.head.size)) / this.store.viewport.zoom;
  }

  toggle() {
    if (this.on) this.end();
    else if (this.store.head.hides) this.#begin();
  }

  #begin() {
    const { store, display } = this;
    store.marker.use(null);
    [this.on, this.#answer] = [true, null];
    this.#open();
    this.move(store.point ?? store.original(0.5, 0.5));
    display.pointAt(null);
    display.showControls();
    store.panels.at(-1)?.canvas.focus({ preventScroll: true });
    display.readOut(true);
  }

  end() {
    if (!this.on) return;
    this.#open();
    this.#blurred?.bitmap.close();
    [this.on, this.at, this.#blurred, this.#answer] = [false, null, null, null];
    broadcast("scores", null);
    this.display.showControls();
    this.#show();
  }

  /** Ask from now on, only for the newest place of those that come while an answer is awaited. */
  #open() {
    const before = this.#post;
    const own = post((turn) => this.#post === own && this.#ask(turn), BROWSER, this.#turn, LOOK, LOST);
    this.#post = own;
    before.heard(this.#turn);
  }

  /** Ask at once, unless an answer is awaited. */
  #touch() {
    this.#post.touch();
    this.#post.flush();
  }

  /** @param {number} turn */
  #ask(turn) {
    const { at, radius, store } = this;
    this.#turn = turn;
    // The pointer has left the picture: nothing is hidden, and nothing to be computed.
    if (!at) return this.#post.heard(turn);
    const [x, y] = at, { picture } = store.head;
    broadcast("hide", { picture, turn, x, y, radius, blurred: !this.#blurred });
  }

  /** @param {number[]|null} at in original pixels; null: nowhere @param {boolean} [aloud] */
  move(at, aloud = false) {
    [this.at, this.#aloud] = [at, aloud];
    if (!at) {
      this.#answer = null;
      broadcast("scores", null);
    }
    this.#touch();
    this.#show();
  }

  /** @param {number} factor */
  #resize(factor) {
    this.#radius = Math.min(MOST, Math.max(LEAST, this.#radius * factor));
    if (this.at) this.move(this.at, true);
  }

  /** Move the disc, or change its size; return whether the key does. @param {KeyboardEvent} event */
  press({ key, shiftKey }) {
    if (!this.on) return false;
    if (ARROWS[key]) this.move(this.store.beside(this.at, ARROWS[key], shiftKey), true);
    else if ("+=]".includes(key)) this.#resize(STEP);
    else if ("-[".includes(key)) this.#resize(1 / STEP);
    else return false;
    return true;
  }

  /** Take an answer of Python's. @param {Hidden} answer */
  async take(answer) {
    if (!this.on || answer.picture !== this.store.head.picture) return;
    // A run of the whole page came between: what was asked is not answered any more.
    if (!answer.turn) {
      this.#open();
      return this.#touch();
    }
    if (answer.sorry) {
      this.end();
      return this.display.say(answer.sorry);
    }
    this.#post.heard(answer.turn);
    this.#post.flush();
    if (this.at && answer.rows) {
      this.#answer = answer;
      broadcast("scores", answer.rows);
    }
    this.#show();
    if (this.#aloud) this.display.readOut(true);
    if (answer.seen && !this.#blurred) await this.#decode(answer.seen, answer.blob);
  }

  /** @param {number[]} rect @param {Uint8Array} jpeg */
  async #decode(rect, jpeg) {
    const bitmap = await createImageBitmap(blobOf(jpeg));
    if (!this.on || this.#blurred) return bitmap.close();
    this.#blurred = { bitmap, rect };
    this.#show();
  }

  /** Keep the disc's size on the screen: the visible part of the picture has changed. */
  settle() {
    if (this.at) this.move(this.at);
  }

  #show() {
    const { at, radius } = this;
    this.store.disc = at && { x: at[0], y: at[1], radius, blurred: this.#blurred };
    this.painter.redraw(false);
    this.display.readOut();
  }

  /** Return what is left of a class's score. @param {string} title */
  scoreOf(title) {
    return this.#answer?.rows?.find(({ name }) => name === title);
  }

  /** Return the line below the picture: of the class whose map is shown. */
  line() {
    return sayHidden(this.scoreOf(this.#title()));
  }

  /** Return the longest line that there may be, for which room is kept. */
  widest() {
    return sayHidden({ name: this.#title(), text: "100\u00a0% \u2192 100\u00a0%", boxes: "", share: 1, label: "" });
  }

  #title() {
    const { store } = this;
    return store.panels.map((panel) => store.mapOf(panel)).find(Boolean)?.title ?? "";
  }
}

/** @param {import("../../browser/component.js").Score} [row] @returns {import("./settings.js").Line} */
function sayHidden(row) {
  const keys = byTouch() ? " Drag to move it, press the button again to end." : " Arrow keys move it, + and \u2212 size it, Esc ends.";
  if (!row) return [[`${LABEL}.`, true], [keys, false]];
  return [[`${LABEL}: `, false], [`${row.name} ${row.text}`, true], [`${row.boxes && `, ${row.boxes}`}.`, false], [keys, false]];
}
