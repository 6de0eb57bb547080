// Two bars for each class or box: an outlined one for the original, a filled one for what was made of it. A number has
// a mark for each on its own scale instead.

import { component, find } from "../../browser/component.js";

/** @typedef {{zero: number, before: number, after: number, ends: [string, string]}} Scale */
/**
 * @typedef {{
 *   label: string, before: number | null, after: number | null, scores: string, difference: string, scale?: Scale
 * }} Row
 */

/** @param {HTMLElement} root */
function mount(root) {
  const list = find(root, "ul");

  /** @param {import("../../browser/component.js").Given<{rows: Row[], bars: boolean}>} given */
  return ({ data: { rows, bars } }) => {
    while (list.children.length > rows.length) list.lastElementChild?.remove();
    while (list.children.length < rows.length) {
      const item = document.createElement("li");
      item.innerHTML = '<span class="label"></span><span class="difference"></span>' +
        '<span class="bars"><i class="old"></i><i class="new"></i></span>' +
        '<span class="scale" hidden><b></b><span class="move"></span><i class="old"></i><i class="new"></i>' +
        '<span class="low"></span><span class="high"></span></span><span class="scores"></span>';
      list.append(item);
    }
    rows.forEach((row, i) => fill(list.children[i], row));
    root.classList.toggle("bare", !bars);
    const scales = rows.some((row) => row.scale);
    find(root, ".legend").hidden = !rows.length || !(bars || scales);
    find(root, ".points").hidden = !bars;
  };
}

/** @param {Element} item @param {Row} row */
function fill(item, { label, before, after, scores, difference, scale }) {
  const name = find(item, ".label");
  name.textContent = name.title = label;
  find(item, ".scores").textContent = scores;
  find(item, ".difference").textContent = difference;
  for (const [bar, share] of /** @type {const} */ ([[".bars .old", before], [".bars .new", after]])) {
    const one = find(item, bar);
    one.style.setProperty("--share", String(share ?? 0));
    one.toggleAttribute("data-none", share === null);
  }
  find(item, ".scale").hidden = !scale;
  if (scale) fillScale(item, scale);
}

/** @param {Element} item @param {Scale} scale */
function fillScale(item, { zero, before, after, ends }) {
  const places = /** @type {const} */ ([["b", zero], [".scale .old", before], [".scale .new", after]]);
  for (const [mark, at] of places) find(item, mark).style.setProperty("--at", String(at));
  const move = find(item, ".move");
  move.style.setProperty("--at", String(Math.min(before, after)));
  move.style.setProperty("--share", String(Math.abs(after - before)));
  find(item, ".low").textContent = ends[0];
  find(item, ".high").textContent = ends[1];
}

export default component(".changes", mount);
