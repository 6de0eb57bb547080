// Draw what is crisp at any zoom over the pixels: boxes and their labels, the marked region.

import { haloed } from "../../browser/canvas.js";
import { placer } from "../../browser/geometry.js";

/**
 * @typedef {import("../../browser/geometry.js").Rect} Rect
 * @typedef {{kind: string, points: number[][], hollow?: boolean, chosen?: boolean}} Mark
 *   kind: polygon, polyline or point; hollow: dashed, of a point a ring; chosen: a point with a ring around it
 * @typedef {{xyxy: Rect, label: string, index: number, tag?: string, marks: Mark[]}} Box
 *   tag: shown instead of its number
 * @typedef {Omit<Box, "label"> & {chosen: boolean, tag: string}} Outlined
 * @typedef {{index: number, place: Rect}} Label  of which box, and where in CSS pixels
 */

/** Height of a label in CSS pixels. */
const TAG = 20;

/**
 * Draw boxes and return where their labels are.
 * @param {CanvasRenderingContext2D} context in CSS pixels @param {number} width @param {number} height
 * @param {Rect} rect @param {Outlined[]} boxes @param {string} font @param {string} [ink] of the lines
 */
export function outlineBoxes(context, width, height, rect, boxes, font, ink = "#fff") {
  const { X, Y } = placer(rect, width, height), last = [...boxes].sort((a, b) => Number(a.chosen) - Number(b.chosen));
  for (const { chosen, marks } of last) drawMarks(context, X, Y, marks, chosen, ink);
  context.font = `600 13px ${font}`;
  context.textBaseline = "middle";
  /** @type {Label[]} */
  const labels = [];
  // The chosen label is placed first. Labels do not cover each other, so the order of drawing does not matter.
  for (const { xyxy, chosen, tag, index } of last.reverse()) {
    const left = X(xyxy[0]), top = Y(xyxy[1]), right = X(xyxy[2]), bottom = Y(xyxy[3]);
    if (!tag || right < 0 || left > width || bottom < 0 || top > height) continue;
    const wide = context.measureText(tag).width + 12, taken = labels.map((label) => label.place);
    const place = freePlace([left, top, right, bottom], wide, width, height, taken);
    labels.push({ index, place });
    context.fillStyle = chosen ? "#fff" : "rgba(20, 20, 20, 0.85)";
    context.fillRect(place[0], place[1], place[2] - place[0], TAG);
    context.fillStyle = chosen ? "#1c1c1c" : "#fff";
    context.fillText(tag, place[0] + 6, place[1] + TAG / 2 + 0.5);
  }
  return labels;
}

/**
 * Draw marks over a dark halo, as `explain/rendering/marks.py` does; those of the chosen box bolder.
 * @param {CanvasRenderingContext2D} context @param {(x: number) => number} X @param {(y: number) => number} Y
 * @param {Mark[]} marks @param {boolean} chosen @param {string} ink
 */
function drawMarks(context, X, Y, marks, chosen, ink) {
  const lines = new Path2D(), dots = new Path2D(), hollow = new Path2D(), rings = new Path2D();
  const circle = (/** @type {Path2D} */ path, /** @type {number[]} */ [x, y], /** @type {number} */ radius) => {
    path.moveTo(X(x) + radius, Y(y));
    path.arc(X(x), Y(y), radius, 0, 2 * Math.PI);
  };
  for (const { kind, points, hollow: open, chosen: ringed } of marks) {
    if (kind === "point") for (const point of points) {
      circle(open ? hollow : dots, point, 2.5);
      if (ringed && chosen) circle(rings, point, 8);
    } else if (kind === "polyline") points.forEach(([x, y], i) => (i ? lines.lineTo(X(x), Y(y)) : lines.moveTo(X(x), Y(y))));
    else {
      const path = new Path2D();
      for (const [x, y] of points) path.lineTo(X(x), Y(y));
      path.closePath();
      context.setLineDash(open ? [7, 5] : []);
      haloed(context, path, chosen ? 2.25 : 1.25, ink);
      context.setLineDash([]);
    }
  }
  haloed(context, lines, chosen ? 2 : 1.25, ink);
  haloed(context, hollow, 1, ink);
  haloed(context, dots, 1, ink);
  context.fillStyle = ink;
  context.fill(dots);
  haloed(context, rings, 2, ink);
}

/**
 * Return the boxes that a panel shows, with their labels: its own, or all where no map hides them, else the chosen one.
 * @param {{maps: unknown[], boxes: Box[]|null}} panel @param {{maps: unknown[]}[]} panels
 * @param {Box[]} boxes of the viewer @param {number|null} choice @returns {Outlined[]}
 */
export function boxesShown(panel, panels, boxes, choice) {
  if (panel.boxes) return panel.boxes.map(({ label, ...box }) => ({ ...box, chosen: false, tag: label }));
  const beside = panels.some(({ maps }) => !maps.length), single = new Set(boxes.map(({ index }) => index)).size === boxes.length;
  return boxes.flatMap(({ xyxy, label, index, tag, marks }) => {
    const chosen = index === choice;
    if (panel.maps.length && beside && !chosen) return [];
    // Numbers name single boxes; where a class has several, they would all be called the same.
    const number = single && boxes.length > 1 ? String(index + 1) : "";
    const whole = tag === undefined ? [number, label].filter(Boolean).join("  ") : label;
    return [{ xyxy, index, marks, chosen, tag: chosen ? whole : tag || number || whole }];
  });
}

/**
 * Place a label where it covers no other: above the box, in its corners, below it; else above it all the same.
 * @param {Rect} box @param {number} wide @param {number} width @param {number} height @param {Rect[]} taken
 * @returns {Rect}
 */
function freePlace([left, top, right, bottom], wide, width, height, taken) {
  const inside = (/** @type {number[]} */ [x, y]) => {
    const x0 = Math.min(Math.max(0, x), Math.max(0, width - wide)), y0 = Math.min(Math.max(0, y), Math.max(0, height - TAG));
    return [x0, y0, x0 + wide, y0 + TAG];
  };
  const corners = [[left, top - TAG], [left, top], [right - wide, top - TAG], [right - wide, top]];
  const places = [...corners, [left, bottom], [left, bottom - TAG], [right - wide, bottom - TAG]].map(inside);
  const open = (/** @type {Rect} */ [x0, y0, x1, y1]) => taken.every((t) => x0 >= t[2] || x1 <= t[0] || y0 >= t[3] || y1 <= t[1]);
  return places.find(open) ?? places[0];
}

/**
 * Draw the rectangle that was marked.
 * @param {CanvasRenderingContext2D} context @param {number} width @param {number} height @param {number[]} rect
 * @param {number[]} region xyxy
 */
export function outlineRegion(context, width, height, rect, [x0, y0, x1, y1]) {
  const { X, Y } = placer(rect, width, height), path = new Path2D();
  path.rect(X(x0), Y(y0), X(x1) - X(x0), Y(y1) - Y(y0));
  haloed(context, path, 1.5);
  context.setLineDash([5, 4]);
  context.strokeStyle = "#22a0ac";
  context.stroke(path);
  context.setLineDash([]);
}
