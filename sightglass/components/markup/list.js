// The list of marks with their text, for keyboards and screen readers, and the state of the tools.

import { find } from "../../browser/component.js";
import { describe } from "./shapes.js";

/** @typedef {import("./board.js").Board} Board @typedef {import("./shapes.js").Mark} Mark */

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
