// Draw a mark as SVG, and the list of marks.

import { find } from "../../browser/component.js";
import { svgElement, svgText } from "../../browser/elements.js";
import { describe, drawingOf, HALO, lineAt, STROKE } from "./shapes.js";

/** @typedef {import("./board.js").Board} Board @typedef {import("./shapes.js").Mark} Mark @typedef {import("./shapes.js").Words} Words */

/** Value, icon, label and tooltip. @type {[string, string, string, string][]} */
export const TOOLS = [
  ["choose", "arrow_selector_tool", "Select", "Select, move and change marks (V)"],
  ["arrow", "north_east", "Arrow", "Draw an arrow, from its tail to what it points at (A)"],
  ["circle", "circle", "Circle", "Draw a circle from its centre (C)"],
  ["text", "title", "Text", "Write text (T)"],
];

/** @param {Mark} mark @param {number[]} size */
function titled(mark, size) {
  const text = mark.text.trim();
  return describe(mark, size) + (text ? `, “${text}”` : "");
}

/** @param {Board} board */
export function listMarks(board) {
  const { page, size } = board;
  find(board.root, ".list").replaceChildren(...page.value.map((mark, i) => {
    const row = document.createElement("li"), what = describe(mark, size);
    row.innerHTML = '<button type="button" title="Select this mark"><span class="icon" aria-hidden="true"></span>' +
      '<span class="what"></span></button><input type="text" maxlength="120" placeholder="no text">' +
      '<button type="button" class="away" title="Delete this mark"><span class="icon" aria-hidden="true">close</span></button>';
    const input = find(row, "input"), away = find(row, ".away");
    find(row, ".icon").textContent = TOOLS.find(([value]) => value === mark.kind)?.[1] ?? "";
    find(row, ".what").textContent = what;
    input.value = mark.text;
    input.setAttribute("aria-label", `Text of: ${what}`);
    away.setAttribute("aria-label", `Delete: ${titled(mark, size)}`);
    find(row, "button").addEventListener("click", () => board.choose(i));
    input.addEventListener("input", () => {
      page.change(i, { ...page.value[i], text: input.value }, `words ${i}`);
      board.changed(false);
    });
    input.addEventListener("change", () => page.close());
    away.addEventListener("click", () => board.remove(i));
    return row;
  }));
}

/** Show which tool and mark are selected, and say it to screen readers. @param {Board} board */
export function showStatus({ root, page, stage, chosen, viewport, about, size, tool, ink }) {
  const count = page.value.length, mark = page.value[chosen];
  const disabled = { undo: !page.back, redo: !page.forth, delete: !mark, out: viewport.zoom === 1 };
  for (const [name, off] of Object.entries(disabled)) find(root, `.${name}`).disabled = off;
  const status = mark ? `Selected: ${titled(mark, size)}.` : count ? `${count} ${count === 1 ? "mark" : "marks"}.` :
    "No marks yet: draw an arrow or a circle, or write text.";
  find(root, ".said").textContent = status;
  stage.setAttribute("aria-label", `${about} ${status}`);
  for (const node of root.querySelectorAll("input[type=radio]")) {
    const radio = /** @type {HTMLInputElement} */ (node);
    radio.checked = radio.value === (radio.name === "tool" ? tool : mark?.ink ?? ink);
  }
  [...find(root, ".list").children].forEach((row, i) => row.setAttribute("aria-current", String(i === chosen)));
}

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
