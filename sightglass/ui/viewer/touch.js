// Touch the picture: a hand covers a part of it, and the bars of the answers follow.

import { hiddenContext, resize } from "../../browser/canvas.js";
import { broadcast } from "../../browser/component.js";
import { reduced } from "../../browser/geometry.js";
import { Canvases, Hand } from "../painter/edits.js";

/** Diameter of the disc, as a share of the picture's shorter side, and how far the wheel changes it. */
const DISC = 0.12;
const SIZES = [0.04, 0.4];
/** Pixels of the longer side: of the picture at which the trail is drawn, and of a copy so small that it is a blur. */
const TRAIL = 1000;
const BLUR = 14;

export class Touch {
  /** What moved, in words; empty while nothing is covered. */
  sentence = "";
  #hand = new Hand();
  #canvases = new Canvases();
  #blur = hiddenContext();
  #disc = DISC;
  /** @type {import("../painter/edits.js").Mark[]} */
  #marks = [];
  #asking = false;
  #changed = false;

  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
  }

  /** Whether a panel can be touched: that of the plain picture, where there is one. @param {Element} stage */
  offered(stage) {
    const { head, panels } = this.viewer.state, plain = panels.filter(({ maps }) => !maps.length);
    return Boolean(head.touch) && (plain.length ? plain : panels).some(({ canvas }) => stage.contains(canvas));
  }

  /** What covers the picture. @returns {import("../painter/edits.js").Edit} */
  get edit() {
    return { marks: [...this.#marks, ...(this.#hand.mark ? [this.#hand.mark] : [])], fill: "blur", keep: false };
  }

  /** Put the disc down at a point of the original. @param {number[]} at */
  begin(at) {
    const { size } = this.viewer.state.head;
    if (!this.#marks.length) this.#makeBlur();
    this.#hand.begin("brush", at[0] / size[0], at[1] / size[1], (this.#disc * Math.min(...size)) / Math.max(...size));
    this.viewer.pointAt(null);
    this.#show();
  }

  /** @param {number[]} at */
  move(at) {
    const { size } = this.viewer.state.head;
    if (this.#hand.move(at[0] / size[0], at[1] / size[1])) this.#show();
  }

  /** Let go: the trail stays. */
  end() {
    const mark = this.#hand.end();
    if (!mark) return;
    this.#marks.push(mark);
    void this.#ask();
  }

  /** Make the disc larger or smaller, from where it is. @param {number} factor @param {number[]} at */
  size(factor, at) {
    this.#disc = Math.min(SIZES[1], Math.max(SIZES[0], this.#disc * factor));
    // Before it has moved it is still the same disc.
    if (this.#hand.mark?.points.length === 2) this.#hand.mark = null;
    this.end();
    this.begin(at);
  }

  clear() {
    this.#hand.mark = null;
    this.#marks = [];
    this.sentence = "";
    this.viewer.state.cover = null;
    broadcast("touched", { rows: null });
    this.viewer.painter.redraw(false);
    this.viewer.readOut();
  }

  #makeBlur() {
    const { picture, head } = this.viewer.state, { canvas } = this.#blur, [width, height] = reduced(head.size, BLUR);
    resize(canvas, width, height);
    this.#blur.imageSmoothingQuality = "high";
    if (picture) this.#blur.drawImage(picture.bitmap, 0, 0, width, height);
  }

  #show() {
    const { painter, state, state: { head } } = this.viewer, sources = { blur: this.#blur.canvas, mean: [] };
    // The question first: the server works while the trail is drawn.
    void this.#ask();
    state.cover = this.#canvases.cover(reduced(head.size, TRAIL), sources, this.edit);
    painter.redraw(false);
  }

  /** Ask for the answers; while some are on their way, once more for what is covered by then. */
  async #ask() {
    this.#changed = this.#asking;
    if (this.#asking) return;
    this.#asking = true;
    const { viewer, viewer: { state } } = this, { touch: key } = state.head, exact = !this.#hand.mark;
    const { rows, sentence } = await send({ key, edit: this.edit, exact });
    this.#asking = false;
    if (state.cover && key === state.head.touch) {
      if (rows) broadcast("touched", { rows });
      this.sentence = sentence;
      // Read out once, after the hand is gone.
      viewer.readOut(exact && !this.#changed);
    }
    if (this.#changed) void this.#ask();
  }
}

/** @param {object} question @returns {Promise<{rows?: import("../../browser/component.js").Touches, sentence: string}>} */
async function send(question) {
  const address = new URL("api/touch", location.href.replace(/[?#].*/, ""));
  const headers = { "Content-Type": "application/json" };
  try {
    const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(question) });
    const { rows, sentence, detail } = await answer.json();
    return { rows, sentence: sentence ?? detail };
  } catch {
    return { sentence: "The server does not answer: try again." };
  }
}
