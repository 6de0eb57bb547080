// The answer over the share that is hidden or kept: curves as paths, their values, and what a chart says of them.

import { svgElement, svgText } from "./elements.js";

/**
 * @typedef {{name: string, title: string, filling: string, hidden: number[], kept: number[]}} Curve  scores at equal steps
 * @typedef {{width: number, height: number, left: number, right: number, top: number, bottom: number}} Frame  of a chart:
 *   its size, and the margins inside
 */

/** Dashes by which the controls are told apart; the map's own line is whole and bold. Python reads the JSON. @type {Record<string, string>} */
export const DASHES = {
  "map": "",
  "strongest": "5 2",
  "random": "7 3",
  "blobs": "2 3",
  "centre": "12 3 2 3",
  "edges": "4 3 1 3 1 3",
  "runner-up": "1 4"
};
const NBSP = "\u00a0";

/** A score as the pages write it. @param {number} score */
export function percent(score) {
  if (score > 0 && score < 0.01) return `<${NBSP}1${NBSP}%`;
  return `${(100 * score).toFixed(0)}${NBSP}%`.replace(/^-/, "\u2212");
}

/** The end of the axis: the next 5, 10 or 20 % above all scores. @param {number[]} scores */
export function topOf(scores) {
  const most = Math.max(0.01, ...scores), unit = unitOf(most);
  return Math.min(1, Math.ceil(most / unit - 1e-9) * unit);
}

/** Between two lines of the grid. @param {number} most */
function unitOf(most) {
  return most > 0.4 ? 0.2 : most > 0.1 ? 0.1 : 0.05;
}

/**
 * The score at a share, where it was measured there.
 * @param {number[]} scores at equal steps from 0 to 1 @param {number} share @returns {number|null}
 */
export function scoreAt(scores, share) {
  const at = share * (scores.length - 1), step = Math.round(at);
  return Math.abs(at - step) < 1e-6 ? scores[step] : null;
}

/**
 * What is written of a curve at a share: its score there, or about what it is between two steps.
 * @param {Curve|undefined} curve @param {"hidden"|"kept"} way @param {number} share
 * @param {boolean} coming  whether more steps of it are on their way, so that nothing is written between two
 */
export function writtenAt(curve, way, share, coming) {
  if (!curve) return "";
  const scores = curve[way], score = scoreAt(scores, share);
  if (score !== null) return percent(score);
  if (coming) return "";
  return `\u2248${NBSP}${percent(valueOf(scores, share))}`;
}

/** A score where it was measured, or between two steps. @param {number[]} scores @param {number} share */
export function valueOf(scores, share) {
  const found = scoreAt(scores, share);
  if (found !== null) return found;
  const at = share * (scores.length - 1), below = Math.floor(at);
  return scores[below] + (at - below) * (scores[below + 1] - scores[below]);
}

/** The nearest step to a place across a chart. @param {number} x @param {Frame} frame @param {number} steps */
export function stepAt(x, { width, left, right }, steps) {
  return Math.min(steps, Math.max(0, Math.round(((x - left) / (width - left - right)) * steps)));
}

/** @param {number} share @param {Frame} frame */
export function across(share, { width, left, right }) {
  return left + share * (width - left - right);
}

/** @param {number} score @param {number} top @param {Frame} frame */
export function down(score, top, { height, top: above, bottom }) {
  return above + (1 - Math.max(0, score) / top) * (height - above - bottom);
}

/** @param {number[]} scores @param {number} top @param {Frame} frame @returns {string} of an SVG path */
export function pathOf(scores, top, frame) {
  const last = scores.length - 1;
  return scores.map((score, i) => `${i ? "L" : "M"}${across(i / last, frame).toFixed(1)} ${down(score, top, frame).toFixed(1)}`).join("");
}

/**
 * Draw axes and curves; the map's own comes last and lies over the others.
 * @param {SVGElement} svg @param {Curve[]} curves @param {"hidden"|"kept"} way @param {Frame} frame @returns {number} the top
 */
export function drawCurves(svg, curves, way, frame) {
  const top = topOf(curves.flatMap((curve) => curve[way]));
  svg.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  const lines = [...curves].reverse().map(({ name, [way]: scores }) => lineOf(name, pathOf(scores, top, frame)));
  svg.replaceChildren(...axes(top, way, frame), ...lines);
  return top;
}

/** A curve with its dashes. @param {string} name @param {string} d of an SVG path */
function lineOf(name, d) {
  return svgElement("path", { d, class: `line ${name}`, "stroke-dasharray": DASHES[name] || "none" });
}

/** A sample of a curve, for a legend. @param {string} name */
export function sampleOf(name) {
  const svg = svgElement("svg", { viewBox: "0 0 40 8", "aria-hidden": "true", class: "sample" });
  svg.append(lineOf(name, "M0 4H40"));
  return svg;
}

/** Mark a share in a chart. @param {SVGElement} svg @param {number} share @param {Frame} frame @param {string} kind */
export function markAt(svg, share, frame, kind) {
  const x = across(share, frame);
  svg.append(svgElement("line", { class: kind, x1: x, x2: x, y1: frame.top, y2: frame.height - frame.bottom }));
}

/**
 * Mark a share in a chart instead of the one before, with dots on curves.
 * @param {SVGElement} svg @param {number} share @param {Frame} frame @param {number} top @param {Record<string, number>} scores there, by the curves' names
 */
export function moveMark(svg, share, frame, top, scores) {
  svg.querySelectorAll(".at, circle").forEach((node) => node.remove());
  markAt(svg, share, frame, "at");
  for (const [name, score] of Object.entries(scores)) {
    svg.append(svgElement("circle", { class: name, cx: across(share, frame), cy: down(score, top, frame), r: 5 }));
  }
}

/** @param {number} top @param {"hidden"|"kept"} way @param {Frame} frame */
function axes(top, way, frame) {
  const nodes = [], rows = Math.round(top / unitOf(top)), y0 = down(0, top, frame);
  for (let i = 0; i <= rows; i++) {
    const score = (top * i) / rows, y = down(score, top, frame);
    nodes.push(svgElement("line", { class: i ? "grid" : "axis", x1: frame.left, x2: frame.width - frame.right, y1: y, y2: y }));
    nodes.push(svgText(percent(score), frame.left - 8, y + 4, "end"));
  }
  const step = frame.width < 340 ? 50 : 25;
  for (let share = 0; share <= 100; share += step) {
    nodes.push(svgText(`${share}${NBSP}%`, across(share / 100, frame), y0 + 18, share ? (share === 100 ? "end" : "middle") : "start"));
  }
  nodes.push(svgText(way === "hidden" ? "hidden, hottest first" : "kept, hottest first", across(0.5, frame), y0 + 36, "middle"));
  return nodes;
}
