// A list of answers: each a name, a number and a bar.

import { find, make, write } from "./component.js";

/** @typedef {{label: string, share: number | null, text: string}} Row  share: 0..1, null where a number is no share */

/**
 * Write the rows, in the buttons that are there as far as they go.
 * @param {HTMLElement} list @param {Row[]} rows
 */
export function writeRows(list, rows) {
  while (list.children.length > rows.length) list.lastElementChild?.remove();
  rows.forEach(({ label, share, text }, i) => {
    let button = /** @type {HTMLElement|undefined} */ (list.children[i]);
    if (!button) {
      button = make("button");
      button.innerHTML = '<span class="label cut"></span><span class="text"></span><span class="meter"><i></i></span>';
      list.append(button);
    }
    button.title = label;
    write(find(button, ".label"), label);
    write(find(button, ".text"), text);
    // A row without a bar is as high as the others, as Python expects.
    find(button, ".meter").style.visibility = share === null ? "hidden" : "";
    find(button, "i").style.width = `max(2px, ${(100 * (share ?? 0)).toFixed(2)}%)`;
  });
}

/** Mark the row that is chosen. @param {HTMLElement} list @param {number} chosen */
export function markRow(list, chosen) {
  [...list.children].forEach((row, i) => row.setAttribute("aria-pressed", String(i === chosen)));
}

/** Call `chosen` with the number of a row that is pressed. @param {HTMLElement} list @param {(index: number) => void} chosen */
export function onRow(list, chosen) {
  list.addEventListener("click", ({ target }) => {
    const button = target instanceof Element ? target.closest("button") : null;
    if (button) chosen([...list.children].indexOf(button));
  });
}
