// A list of models. A click on a row opens it; its buttons do what they say.

import { component } from "../../browser/component.js";
import { make } from "../../browser/elements.js";

/**
 * @typedef {{act: string, icon: string, label: string}} Button
 * @typedef {{id: string, task: string, facts: string, size: string, layer: string, record: string, memory: string,
 *   state: string, buttons: Button[]}} Row
 * @typedef {import("../../browser/component.js").Send} Send
 */

/** What stands in a row, and what it is called where its heading is not in sight. @type {[keyof Row, string][]} */
const CELLS = [["size", "File"], ["layer", "Map at"], ["memory", "In memory"], ["state", ""]];

/** @param {HTMLElement} root */
function mount(root) {
  /** @type {Send} */
  let send = () => {};
  let shown = "";

  /** @param {string} what @param {string} id */
  const ask = (what, id) => send("act", { n: Date.now(), what, id });

  /** @param {import("../../browser/component.js").Given<{rows: Row[]}>} given */
  return ({ data: { rows }, setStateValue }) => {
    send = setStateValue;
    const now = JSON.stringify(rows);
    if (now === shown) return;
    shown = now;
    root.replaceChildren(...rows.map((row) => rowOf(row, ask)));
  };
}

/** @param {Row} row @param {(what: string, id: string) => void} ask */
function rowOf(row, ask) {
  const item = make("div");
  item.className = "row";
  item.setAttribute("role", "listitem");
  const open = make("button");
  open.className = "open";
  open.title = `Open ${row.id}`;
  open.append(text("name", row.id), text("task", row.task), text("facts", row.facts), text("record", row.record));
  for (const [name, label] of CELLS) {
    const cell = text(`cell ${name}`, String(row[name]));
    if (label && row[name]) cell.dataset.label = label;
    open.append(cell);
  }
  open.addEventListener("click", () => ask("open", row.id));
  const buttons = make("span");
  buttons.className = "buttons";
  buttons.append(...row.buttons.map(({ act, icon, label }) => {
    const button = make("button");
    const glyph = text("icon", icon);
    glyph.setAttribute("aria-hidden", "true");
    button.append(glyph, text("unseen", `${label} ${row.id}`));
    button.title = label;
    button.addEventListener("click", () => ask(act, row.id));
    return button;
  }));
  item.append(open, buttons);
  return item;
}

/** @param {string} kind @param {string} words */
function text(kind, words) {
  const made = make("span");
  made.className = kind;
  made.textContent = words;
  return made;
}

export default component(".models", mount);
