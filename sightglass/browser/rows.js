// A list of answers: each a name, a number and a bar.

import { find, write } from "./component.js";

/**
 * @typedef {{label: string, share: number | null, text: string, before?: number | null, mood?: string}} Row  share: 0..1, null where a
 *   number is no share; before: that of before an edit, which has a bar of its own above; mood: of a word of a sentence, `said` and
 *   not seen, or `against`
 */
/**
 * @typedef {{ticks?: number, plain?: boolean, keys?: string[]}} Kind  ticks: how many rows, the first, can be ticked; plain: no row can
 *   be pressed; keys: of each row, beside its number
 */

const BARS = '<span class="meter was"><i></i></span><span class="meter now"><i></i></span>';

/**
 * Write the rows, in the elements that are there as far as they go.
 * @param {HTMLElement} list @param {Row[]} rows @param {Kind} [kind]
 */
export function writeRows(list, rows, { ticks = 0, plain = false, keys = [] } = {}) {
  while (list.children.length > rows.length) list.lastElementChild?.remove();
  list.classList.toggle("words", rows.some(({ mood }) => mood !== undefined));
  rows.forEach(({ label, share, text, before, mood }, i) => {
    let row = /** @type {HTMLElement|undefined} */ (list.children[i]);
    if (!row) {
      row = document.createElement("div");
      row.className = "row";
      const tag = plain ? "div" : 'button type="button"';
      const content = `<${tag} class="answer"><span class="label cut"></span><span class="text"></span>${BARS}</${tag.split(" ")[0]}>`;
      row.innerHTML = `${content}<input type="checkbox" class="tick" title="Tick two to compare them">`;
      list.append(row);
    }
    const answer = find(row, ".answer");
    answer.title = i < keys.length ? `${label}: key ${[i + 1, ...(keys[i] ? [keys[i]] : [])].join(" or ")}` : label;
    if (mood !== undefined) {
      row.dataset.mood = mood;
      answer.title = `${label}: ${text}`;
      answer.setAttribute("aria-label", answer.title);
    }
    // The number of a word that comes again is for links alone.
    write(find(row, ".label"), mood === undefined ? label : label.replace(/ \(\d+\)$/, ""));
    write(find(row, ".text"), text);
    for (const [name, length] of /** @type {const} */ ([[".was", before], [".now", share]])) {
      const meter = find(row, name);
      meter.hidden = length === undefined;
      // A row without a bar is as high as the others, as Python expects.
      meter.style.visibility = length === null ? "hidden" : "";
      find(meter, "i").style.width = `max(2px, ${(100 * (length ?? 0)).toFixed(2)}%)`;
    }
    find(row, ".tick").hidden = i >= ticks;
    find(row, ".tick").setAttribute("aria-label", `Compare ${label}`);
  });
}

/**
 * Mark the row that is chosen, and those that are ticked; of words all from the first that is ticked to the last.
 * @param {HTMLElement} list @param {number} chosen @param {number[]} [ticked]
 */
export function markRow(list, chosen, ticked = []) {
  const phrase = list.classList.contains("words") && ticked.length > 1;
  [...list.children].forEach((row, i) => {
    const pressed = phrase ? i >= Math.min(...ticked) && i <= Math.max(...ticked) : i === chosen;
    row.querySelector("button")?.setAttribute("aria-pressed", String(pressed));
    find(row, ".tick").checked = ticked.includes(i);
  });
}

/**
 * Call `chosen` with the number of a row that is pressed, and whether Shift is, and `ticked` with that of one that is ticked or no
 * longer so.
 * @param {HTMLElement} list @param {(index: number, more: boolean) => void} chosen @param {(index: number) => void} [ticked]
 */
export function onRow(list, chosen, ticked) {
  const place = (/** @type {EventTarget|null} */ target, /** @type {string} */ part) => {
    const row = target instanceof Element ? target.closest(part)?.closest(".row") : null;
    return row ? [...list.children].indexOf(row) : -1;
  };
  list.addEventListener("click", ({ target, shiftKey }) => {
    const index = place(target, "button");
    if (index >= 0) chosen(index, shiftKey);
  });
  list.addEventListener("change", ({ target }) => ticked?.(place(target, ".tick")));
}
