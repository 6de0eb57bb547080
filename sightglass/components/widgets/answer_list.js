// A list to choose from. The choice is shown at once, here and in the viewer; Python is told afterwards.

import { broadcast, component, find, onBroadcast } from "../../browser/component.js";
import { make } from "../../browser/elements.js";

/** Rows from which the list scrolls. */
const LONG = 8;

/**
 * @typedef {{label: string, share: number | null, text: string}} Row  share: 0..1, null where a number is no share
 * @typedef {{name: string, rows: Row[], chosen: number}} List
 * @typedef {import("../../browser/component.js").Send} Send
 */

/** @param {HTMLElement} root @param {AbortSignal} signal */
function mount(root, signal) {
  let chosen = 0, listed = "", named = "";
  /** @type {number | null} */
  let given = null;
  /** @type {number[]} */
  let sent = [];
  /** @type {Send} */
  let send = () => {};

  function tell(byHand = false) {
    broadcast("choose", { index: chosen, from: root, byHand });
  }

  function mark() {
    [...root.children].forEach((each, i) => each.setAttribute("aria-pressed", String(i === chosen)));
    const row = /** @type {HTMLElement | undefined} */ (root.children[chosen]);
    if (!row || root.scrollHeight <= root.clientHeight) return;
    const top = row.offsetTop - root.offsetTop;
    root.scrollTop = Math.min(top, Math.max(root.scrollTop, top + row.offsetHeight - root.clientHeight));
  }

  /** @param {number} index */
  function choose(index) {
    if (index === chosen || !root.children[index]) return;
    chosen = index;
    mark();
    sent.push(index);
    send("chosen", index);
  }

  // A list that was replaced stays until the run ends: a choice in it must not count as a click on the new one.
  onBroadcast("choose", (choice) => {
    if (!choice?.from) choose(choice?.index);
  }, signal);
  onBroadcast("ask", () => tell(), signal);

  /** @param {import("../../browser/component.js").Given<List>} given */
  return ({ data: { name, rows, chosen: index }, setStateValue }) => {
    send = setStateValue;
    // Another list, even if it looks the same: Python will not echo choices of the last one.
    if (name !== named) [named, sent, given] = [name, [], null];
    const now = JSON.stringify(rows), fresh = now !== listed;
    if (fresh) {
      listed = now;
      root.replaceChildren(...rows.map((item, i) => rowOf(item, () => {
        choose(i);
        tell(true);
      })));
      root.classList.toggle("long", rows.length > LONG);
    }
    // Python echoes each choice; an echo that comes after a later click is out of date.
    const echo = sent.indexOf(index);
    const late = echo >= 0 ? echo < sent.length - 1 : sent.length > 0 && index === given;
    if (echo >= 0) sent = sent.slice(echo + 1);
    else if (!late) sent = [];
    given = index;
    if (late && !fresh) return;
    chosen = index;
    mark();
    tell();
  };
}

/** @param {Row} item @param {() => void} clicked */
function rowOf({ label, share, text }, clicked) {
  const button = make("button");
  button.innerHTML = '<span class="label cut"></span><span class="text"></span><span class="bar meter"><i></i></span>';
  find(button, ".label").textContent = button.title = label;
  find(button, ".text").textContent = text;
  find(button, ".bar").hidden = share === null;
  find(button, "i").style.width = `max(2px, ${(100 * (share ?? 0)).toFixed(2)}%)`;
  button.addEventListener("click", clicked);
  return button;
}

export default component(".rows", mount);
