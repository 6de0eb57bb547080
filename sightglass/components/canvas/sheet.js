// The strokes of a drawing. Every step can be undone, clearing too.

import { Steps } from "../../browser/steps.js";

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
