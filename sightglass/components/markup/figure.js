// Draw a mark as SVG: everything twice, first wider in the colour around the ink, so that it shows on dark and on light.

import { svgElement, svgText } from "../../browser/elements.js";
import { HALO, STROKE, drawingOf, lineAt } from "./shapes.js";

/** @typedef {import("./shapes.js").Mark} Mark @typedef {import("./shapes.js").Words} Words */

/** The ink and the colour around it, as sightglass/export/annotations.py has them. @type {Record<Mark["ink"], [string, string]>} */
export const INKS = { accent: ["#2fd6e3", "#0c2326"], light: ["#ffffff", "#141414"], dark: ["#141414", "#ffffff"] };

/** @param {Mark} mark @param {number} unit @param {number[]} size of the picture */
export function drawMark(mark, unit, size) {
  const node = svgElement("g", { class: `mark ${mark.kind}` }), [front, back] = INKS[mark.ink];
  const { line, head, circle, words } = drawingOf(mark, unit, size);
  for (const [colour, wide] of /** @type {[string, number][]} */ ([[back, STROKE + 2 * HALO], [front, STROKE]])) {
    const pen = { stroke: colour, "stroke-width": wide * unit, "stroke-linecap": "round", "stroke-linejoin": "round" };
    if (line) node.append(svgElement("line", { x1: line[0][0], y1: line[0][1], x2: line[1][0], y2: line[1][1], ...pen }));
    if (circle) node.append(svgElement("circle", { cx: circle.at[0], cy: circle.at[1], r: circle.radius, ...pen, fill: "none" }));
    if (head.length) {
      const points = head.map((at) => at.join()).join(" "), around = colour === back ? 2 * HALO * unit : 0;
      node.append(svgElement("polygon", { ...pen, points, fill: colour, "stroke-width": around }));
    }
  }
  if (words) node.append(...lettered(words, front, back, unit));
  return node;
}

/** @param {Words} words @param {string} front @param {string} back @param {number} unit */
function lettered(words, front, back, unit) {
  return words.lines.map((text, i) => {
    const around = { stroke: back, "stroke-width": 2 * HALO * unit, "stroke-linejoin": "round" };
    return svgText(text, ...lineAt(words, i), words.anchor, { "dominant-baseline": "central", "font-size": words.size, ...around, fill: front });
  });
}
