// Curves over the time of a clip: where a time is on the chart, and the chart as SVG.

import { percent } from "../../browser/curves.js";
import { svgElement, svgText } from "../../browser/elements.js";

/**
 * @typedef {[seconds: number, score: number, area: number|null]} Point
 * @typedef {{name: string, points: Point[], color?: string}} Curve
 * @typedef {{seconds: number, frame: number, kind: string, words: string}} Moment
 * @typedef {{width: number, left: number, right: number, rows: {top: number, bottom: number}[], height: number}} Frame
 */

/** Seconds without a point over which no line is drawn, at least; and in mean distances of points. */
const GAP = 0.5, FAR = 3;

/** The frame of a chart of this width. @param {number} width @returns {Frame} */
export function frameOf(width) {
  return { width, left: 46, right: 12, rows: [{ top: 30, bottom: 110 }, { top: 150, bottom: 200 }], height: 226 };
}

/** Far apart in length and rhythm: curves of objects are short, and a legend's samples shorter. */
const STROKES = ["", "8 3", "2 3", "18 5", "1 7", "12 3 1 3 1 3"];

/** The dashes of a curve by its place; the first is whole and bold. @param {number} place */
export function dashesOf(place) {
  return STROKES[place] ?? "1 2";
}

/** @param {number} time @param {number} seconds @param {Frame} frame */
export function xOf(time, seconds, { width, left, right }) {
  return left + (Math.min(seconds, Math.max(0, time)) / Math.max(seconds, 1e-6)) * (width - left - right);
}

/** The time at a place of the chart. @param {number} x @param {number} seconds @param {Frame} frame */
export function timeAt(x, seconds, { width, left, right }) {
  return Math.min(seconds, Math.max(0, ((x - left) / Math.max(1, width - left - right)) * seconds));
}

/** As a clock shows it: 0:07.4. @param {number} seconds */
export function clock(seconds) {
  const tenths = Math.round(seconds * 10), minutes = Math.floor(tenths / 600), hours = Math.floor(minutes / 60);
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** The moment before or after a time; null where there is none. @param {Moment[]} moments @param {number} time @param {1|-1} way */
export function nextMoment(moments, time, way) {
  const found = way > 0 ? moments.find((one) => one.seconds > time + 0.02) : moments.findLast((one) => one.seconds < time - 0.02);
  return found ?? null;
}

/** The last moment that has begun. @param {Moment[]} moments @param {number} time @returns {number} its place, or -1 */
export function momentAt(moments, time) {
  return moments.findLastIndex((one) => one.seconds <= time + 0.02);
}

/** Seconds between lines of the grid, so that they are some hundred pixels apart. @param {number} seconds @param {number} width */
export function stepOf(seconds, width) {
  const most = Math.max(2, Math.floor(width / 110));
  return [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find((step) => seconds / step <= most) ?? 7200;
}

/**
 * A path through points, broken where nothing was seen for a while or has no value.
 * @param {Point[]} points @param {1|2} value  the place of the value in a point @param {number} top @param {number} seconds
 * @param {Frame} frame @param {{top: number, bottom: number}} row
 */
export function traceOf(points, value, top, seconds, frame, row) {
  const gap = Math.max(GAP, (FAR * seconds) / Math.max(1, points.length));
  let path = "", last = -Infinity;
  for (const point of points) {
    const height = point[value];
    if (height === null) {
      last = -Infinity;
      continue;
    }
    const y = row.bottom - (Math.min(top, height) / top) * (row.bottom - row.top);
    path += `${point[0] - last > gap ? "M" : "L"}${xOf(point[0], seconds, frame).toFixed(1)} ${y.toFixed(1)}`;
    last = point[0];
  }
  return path;
}

/** The end of the axis of areas: the next tenth above all. @param {Curve[]} curves */
export function topArea(curves) {
  const most = Math.max(0.05, ...curves.flatMap((curve) => curve.points.map((point) => point[2] ?? 0)));
  return Math.min(1, Math.ceil(most * 10 - 1e-9) / 10);
}

/**
 * @param {SVGElement} svg @param {{seconds: number, score: string, curves: Curve[], moments: Moment[]}} timeline @param {Frame} frame
 */
export function drawChart(svg, { seconds, score: title, curves, moments }, frame) {
  svg.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  const [score, area] = frame.rows, most = topArea(curves);
  const lines = (/** @type {1|2} */ value, /** @type {number} */ top, /** @type {{top: number, bottom: number}} */ row) =>
    curves.map((curve, i) => {
      const path = traceOf(curve.points, value, top, seconds, frame, row);
      const line = svgElement("path", { d: path, class: `line${i ? "" : " first"}`, "stroke-dasharray": dashesOf(i) });
      // An object has the colour of its box in the clip.
      if (curve.color) line.style.stroke = curve.color;
      return path ? line : null;
    }).reverse();
  const nodes = [
    ...axis(score, 1, title, frame), ...axis(area, most, "Half of the evidence is on", frame),
    ...times(seconds, frame),
    ...moments.flatMap((one, i) => mark(xOf(one.seconds, seconds, frame), frame, i, one)),
    ...lines(1, 1, score), ...lines(2, most, area),
    svgElement("line", { class: "head", x1: frame.left, x2: frame.left, y1: score.top - 4, y2: area.bottom }),
  ];
  svg.replaceChildren(...nodes.filter((node) => node !== null));
}

/** @param {{top: number, bottom: number}} row @param {number} top @param {string} name @param {Frame} frame */
function axis(row, top, name, frame) {
  const title = svgText(name, frame.left, row.top - 8, "start");
  title.setAttribute("class", "name");
  return [title, ...[0, top].flatMap((value) => {
    const y = value ? row.top : row.bottom;
    return [
      svgElement("line", { class: "grid", x1: frame.left, x2: frame.width - frame.right, y1: y, y2: y }),
      svgText(percent(value), frame.left - 8, y + 4, "end"),
    ];
  })];
}

/** @param {number} seconds @param {Frame} frame */
function times(seconds, frame) {
  const nodes = [], step = stepOf(seconds, frame.width - frame.left - frame.right);
  for (let time = 0; time <= seconds + 1e-6; time += step) {
    const x = xOf(time, seconds, frame);
    nodes.push(svgText(clock(time).replace(/\.0$/, ""), x, frame.height - 6, x > frame.width - 40 ? "end" : time ? "middle" : "start"));
  }
  return nodes;
}

/** @param {number} x @param {Frame} frame @param {number} place @param {Moment} moment */
function mark(x, frame, place, moment) {
  const [score, area] = frame.rows;
  const peak = svgElement("path", { class: "mark", d: `M${x - 5} ${score.top - 4}h10l-5 7z`, "data-moment": place });
  peak.append(svgElement("title", {}));
  /** @type {Element} */ (peak.firstElementChild).textContent = `${clock(moment.seconds)} ${moment.words}`;
  return [svgElement("line", { class: "moment", x1: x, x2: x, y1: score.top, y2: area.bottom }), peak];
}
