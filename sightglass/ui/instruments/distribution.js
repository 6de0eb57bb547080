// The distribution of a map's strengths, its bars in the colours that the map is drawn with.

import { density, resize } from "../../browser/canvas.js";
import { BINS } from "../../browser/statistics.js";
import { overlayColours, sidedColours } from "../../browser/table.js";
import { measuredOf } from "./numbers.js";

/** Steps of the curve of the evidence that is stronger. */
const STEPS = 40;

/** Return a colormap as a CSS gradient, from weak to strong. @param {ArrayLike<number>} colours 256 RGB */
export function gradientOf(colours) {
  const stops = Array.from({ length: 9 }, (_, i) => {
    const at = 3 * Math.min(255, 32 * i);
    return `rgb(${colours[at]},${colours[at + 1]},${colours[at + 2]})`;
  });
  return `linear-gradient(90deg, ${stops.join()})`;
}

/** Return the colours of a map's levels as they are drawn, 256 RGB. @param {string} kind @param {import("../../browser/draw.js").Painted} style */
function coloursOf(kind, { settings, lut, dark }) {
  if (kind !== "heat") return sidedColours(dark ? 48 : 228);
  return settings.mode === "overlay" ? overlayColours(lut, settings.colormap) : lut;
}

/**
 * Draw the bars, the curve, the threshold's line and a mark at the value under the pointer.
 * @param {HTMLElement} element a canvas @param {import("../../browser/component.js").ShownMap} item
 * @param {import("../../browser/component.js").Shown} shown
 */
export function drawDistribution(element, item, { style, settings }) {
  const canvas = /** @type {HTMLCanvasElement} */ (element);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = density(2);
  if (!width) return;
  resize(canvas, width * scale, height * scale);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const { map: { kind }, grid, gain, offset, value } = item;
  const sided = kind !== "heat";
  const measured = measuredOf(grid);
  const counts = sided ? measured.sides : measured.histogram;
  const colours = coloursOf(kind, style);
  const ink = getComputedStyle(canvas).color;
  const first = sided ? -1 : 0;
  const across = (/** @type {number} */ level) => ((level - first) / (1 - first)) * width;
  const placed = (/** @type {number} */ own) => across(sided ? own * gain : offset + own * gain);
  // By the square root: else the cells without evidence would leave nothing of the others.
  const most = Math.sqrt(Math.max(...counts));
  counts.forEach((count, i) => {
    const [left, right] = [i, i + 1].map((edge) => placed(first + (edge / BINS) * (1 - first)));
    const tall = (Math.sqrt(count) / most) * (height - 2);
    const middle = ((left + right) / 2 / width);
    const at = 3 * Math.min(255, Math.max(0, Math.round(255 * middle)));
    const weak = Math.abs(first + middle * (1 - first)) < settings.threshold;
    context.globalAlpha = weak ? 0.25 : 1;
    context.fillStyle = `rgb(${colours[at]},${colours[at + 1]},${colours[at + 2]})`;
    context.fillRect(left + 0.5, height - tall, Math.max(1, right - left - 1), tall);
  });
  context.globalAlpha = 1;
  context.strokeStyle = ink;
  if (!sided) drawCurve(context, measured.curve(STEPS), placed, height);
  context.lineWidth = 2;
  for (const side of sided ? [-1, 1] : [1]) {
    if (!settings.threshold) break;
    line(context, across(side * settings.threshold), height);
  }
  if (value === null) return;
  context.setLineDash([3, 2]);
  line(context, across(value), height);
  context.setLineDash([]);
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} height */
function line(context, x, height) {
  context.beginPath();
  context.moveTo(x, 0);
  context.lineTo(x, height);
  context.stroke();
}

/**
 * Draw the share of the evidence that is stronger than each level.
 * @param {CanvasRenderingContext2D} context @param {number[]} shares @param {(level: number) => number} placed @param {number} height
 */
function drawCurve(context, shares, placed, height) {
  context.lineWidth = 1;
  context.beginPath();
  shares.forEach((share, i) => context.lineTo(placed(i / (shares.length - 1)), (1 - share) * (height - 1) + 0.5));
  context.stroke();
}
