// Touch the picture: a hand covers a part of it, and the bars of the answers follow.

import { drawStroke, hiddenContext, resize } from "../../browser/canvas.js";
import { broadcast } from "../../browser/component.js";
import { reduced } from "../../browser/geometry.js";
import { Hand } from "../painter/edits.js";

/** Diameter of the disc, as a share of the picture's shorter side, and how far the wheel changes it. */
export const DISC = 0.12;
const SIZES = [0.04, 0.4];
/** Pixels of the longer side of a copy so small that it is a blur, and of the same enlarged: between its own pixels it is smooth. */
const BLUR = 14;
const SMOOTH = 224;

export class Touch {
  /** What moved, in words; empty while nothing is covered. */
  sentence = "";
  #hand = new Hand();
  /** The blurred picture: what the trail shows. @type {{size: number[], pattern: CanvasPattern}|null} */
  #blur = null;
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
    const { head, panels } = this.viewer.state;
    const photographs = panels.filter(({ pictured }) => !pictured);
    // Of several the answers are in sight on the whole screen alone.
    if (head.spread && panels.length > 1 && !this.viewer.isFull()) return false;
    const plain = photographs.filter(({ maps }) => !maps.length);
    return Boolean(head.touch) && (plain.length ? plain : photographs).some(({ canvas }) => stage.contains(canvas));
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
    this.viewer.root.classList.remove("covered");
    broadcast("touched", { rows: null });
    this.viewer.painter.redraw(false);
    this.viewer.readOut();
  }

  #makeBlur() {
    const { picture, head } = this.viewer.state;
    let source = /** @type {CanvasImageSource|undefined} */ (picture?.bitmap);
    for (const longest of [BLUR, SMOOTH]) {
      const context = hiddenContext(), [width, height] = reduced(head.size, longest);
      resize(context.canvas, width, height);
      context.imageSmoothingQuality = "high";
      if (source) context.drawImage(source, 0, 0, width, height);
      const pattern = /** @type {CanvasPattern} */ (context.createPattern((source = context.canvas), "no-repeat"));
      this.#blur = { size: [width, height], pattern };
    }
  }

  #show() {
    const { painter, state } = this.viewer;
    // The question first: the server works while the trail is drawn.
    void this.#ask();
    state.cover = (context, rect) => this.#draw(context, rect);
    painter.redraw(false);
  }

  /** Draw the trail, and no pixel beside it: the server needs the processor. @param {CanvasRenderingContext2D} context @param {number[]} rect */
  #draw(context, [x0, y0, x1, y1]) {
    if (!this.#blur) return;
    const { canvas: { width, height } } = context, { size: [wide, high], pattern } = this.#blur, [w, h] = this.viewer.state.head.size;
    const [across, down] = [w / (x1 - x0), h / (y1 - y0)];
    context.save();
    context.setTransform(across, 0, 0, down, (-x0 * width * across) / w, (-y0 * height * down) / h);
    pattern.setTransform(new DOMMatrix([width / wide, 0, 0, height / high, 0, 0]));
    context.strokeStyle = context.fillStyle = pattern;
    for (const { points, size } of this.edit.marks) drawStroke(context, points, size * Math.max(width, height));
    context.restore();
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
      viewer.root.classList.add("covered");
      // Read out once, after the hand is gone.
      viewer.readOut(exact && !this.#changed);
    }
    if (this.#changed) void this.#ask();
  }
}

/** @param {object} question @returns {Promise<{rows?: import("../../browser/component.js").Touches, sentence: string}>} */
async function send(question) {
  const address = new URL("api/touch", location.href);
  const headers = { "Content-Type": "application/json" };
  try {
    const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(question) });
    const { rows, sentence, detail } = await answer.json();
    return { rows, sentence: sentence ?? detail };
  } catch {
    return { sentence: "The server does not answer: try again." };
  }
}
