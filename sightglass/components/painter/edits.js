// What is painted on a picture: marks, what stands in their place, and whether they hide or keep. Every step can be undone.

import { Steps } from "../../browser/steps.js";

/**
 * @typedef {"brush"|"rectangle"|"patch"} Tool
 * @typedef {{kind: Tool|"area", points: number[], size: number}} Mark  x, y, x, y, ... as shares of width and height: a path;
 *   two corners; two corners of a patch and the top left of where it goes; two corners of each rectangle of an area.
 *   `size`: as a share of the longer side
 * @typedef {"blur"|"grey"|"mean"|"linear"} Fill
 * @typedef {{marks: Mark[], fill: Fill, keep: boolean}} Edit
 * @typedef {[number, number, number, number]} Corners  left, top, right, bottom
 */

/** Least distance of two points of a path, as a share of the brush: closer ones change no pixel. */
const CLOSE = 0.12;
/** A rectangle narrower than this was a click. */
const SMALLEST = 0.004;

/** @extends {Steps<Edit>} */
export class Edits extends Steps {
  /** Add marks as one step. @param {Mark[]} marks */
  add(...marks) {
    this.set({ ...this.value, marks: [...this.value.marks, ...marks] });
  }

  /** Return whether there was anything to clear. */
  clear() {
    if (!this.value.marks.length) return false;
    this.set({ ...this.value, marks: [] });
    return true;
  }

  /** @param {Fill} fill */
  fillWith(fill) {
    if (fill !== this.value.fill) this.set({ ...this.value, fill });
  }

  flip() {
    this.set({ ...this.value, keep: !this.value.keep });
  }
}

/** A hand with a tool in it: what it does between going down and up, whichever finger, mouse or key it is. */
export class Hand {
  /** The mark that is being made. @type {Mark | null} */
  mark = null;
  /** What a patch is to be taken from. @type {Corners | null} */
  selected = null;
  /** Where the hand went down, or where it holds a patch. @type {[number, number] | null} */
  #from = null;

  get down() {
    return this.#from !== null;
  }

  /** @param {Tool} tool @param {number} x @param {number} y @param {number} size */
  begin(tool, x, y, size) {
    [x, y] = [short(x), short(y)];
    this.#from = [x, y];
    if (tool === "brush") this.mark = { kind: tool, points: [x, y], size };
    else if (tool === "rectangle") this.mark = { kind: tool, points: [x, y, x, y], size };
    else if (this.selected && inside(this.selected, x, y)) {
      const [left, top] = this.selected;
      this.#from = [x - left, y - top];
      this.mark = { kind: tool, points: [...this.selected, left, top], size };
    } else this.selected = [x, y, x, y];
  }

  /** Return whether anything changed. @param {number} x @param {number} y */
  move(x, y) {
    const from = this.#from, mark = this.mark;
    if (!from) return false;
    [x, y] = [short(x), short(y)];
    if (!mark) this.selected = corners(from[0], from[1], x, y);
    else if (mark.kind === "rectangle") mark.points.splice(2, 2, x, y);
    else if (mark.kind === "patch") mark.points.splice(4, 2, short(x - from[0]), short(y - from[1]));
    else {
      const [lastX, lastY] = mark.points.slice(-2);
      if (Math.hypot(x - lastX, y - lastY) < CLOSE * mark.size) return false;
      mark.points.push(x, y);
    }
    return true;
  }

  /** Return the mark that was made, if it is one. */
  end() {
    const { mark } = this;
    this.#from = this.mark = null;
    if (this.selected && !mark && tiny(this.selected)) this.selected = null;
    if (mark?.kind === "rectangle") {
      const found = corners(mark.points[0], mark.points[1], mark.points[2], mark.points[3]);
      return tiny(found) ? null : { ...mark, points: [...found] };
    }
    const still = mark?.kind === "patch" && mark.points[0] === mark.points[4] && mark.points[1] === mark.points[5];
    return still ? null : mark;
  }

  /** Let go of everything. */
  drop() {
    this.#from = this.mark = this.selected = null;
  }
}

/** @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 @returns {Corners} inside the picture */
export function corners(x0, y0, x1, y1) {
  const [left, top, right, bottom] = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
  return [Math.max(0, left), Math.max(0, top), Math.min(1, right), Math.min(1, bottom)];
}

/** @param {Corners} corners @param {number} x @param {number} y */
function inside([left, top, right, bottom], x, y) {
  return x >= left && x <= right && y >= top && y <= bottom;
}

/** @param {Corners} corners */
function tiny([left, top, right, bottom]) {
  return right - left < SMALLEST || bottom - top < SMALLEST;
}

/** @param {number} share */
function short(share) {
  // Not -0, which JSON and tests tell from 0.
  return Math.round(Math.min(2, Math.max(-1, share)) * 1e4) / 1e4 + 0;
}

/** @type {Record<Mark["kind"], [string, string]>} */
const NOUNS = {
  brush: ["stroke", "strokes"], rectangle: ["rectangle", "rectangles"], area: ["area", "areas"], patch: ["patch", "patches"],
};

/** Say what is on the picture, for a screen reader too. @param {Edit} edit @param {boolean} [example]  not painted by hand */
export function described({ marks, keep }, example = false) {
  if (!marks.length) return "Nothing is painted: this is the original.";
  if (example) return "An example: paint more, or clear it with the bin.";
  const counted = /** @type {Mark["kind"][]} */ (Object.keys(NOUNS)).flatMap((kind) => {
    const count = marks.filter((mark) => mark.kind === kind).length;
    return count ? [`${count} ${NOUNS[kind][count === 1 ? 0 : 1]}`] : [];
  });
  const last = counted.pop();
  const all = counted.length ? `${counted.join(", ")} and ${last}` : last;
  return keep ? `${all}; all else is hidden.` : `${all}.`;
}
