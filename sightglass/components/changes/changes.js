// Two bars for each class or box: an outlined one for the original, a filled one for what was made of it.

import { component, find } from "../../browser/component.js";

/** @typedef {{label: string, before: number | null, after: number | null, scores: string, difference: string}} Row */

/** @param {HTMLElement} root */
function mount(root) {
  const list = find(root, "ul");

  /** @param {import("../../browser/component.js").Given<{rows: Row[], bars: boolean}>} given */
  return ({ data: { rows, bars } }) => {
    while (list.children.length > rows.length) list.lastElementChild?.remove();
    while (list.children.length < rows.length) {
      const item = document.createElement("li");
      item.innerHTML = '<span class="label"></span><span class="difference"></span>' +
        '<span class="bars"><i class="old"></i><i class="new"></i></span><span class="scores"></span>';
      list.append(item);
    }
    rows.forEach((row, i) => fill(list.children[i], row));
    root.classList.toggle("bare", !bars);
    find(root, ".legend").hidden = !rows.length || !bars;
  };
}

/** @param {Element} item @param {Row} row */
function fill(item, { label, before, after, scores, difference }) {
  const name = find(item, ".label");
  name.textContent = name.title = label;
  find(item, ".scores").textContent = scores;
  find(item, ".difference").textContent = difference;
  for (const [bar, share] of /** @type {const} */ ([[".old", before], [".new", after]])) {
    const one = find(item, bar);
    one.style.setProperty("--share", String(share ?? 0));
    one.toggleAttribute("data-none", share === null);
  }
}

export default component(".changes", mount);
