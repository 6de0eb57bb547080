// Arrows, circles and text over a picture. Python is told of each step at once; it saves it and redraws nothing.

import { component, find, onResize } from "../../browser/component.js";
import { make } from "../../browser/elements.js";
import { Board } from "./board.js";
import { INKS, TOOLS } from "./figure.js";
import { wireKeys, wirePointer } from "./hand.js";

/** @typedef {import("./shapes.js").Mark} Mark */

const INK_NAMES = { accent: "Teal ink", light: "White ink", dark: "Black ink" };

/** @param {string} group @param {string} value @param {string} title @param {string} face HTML of ours */
function choice(group, value, title, face) {
  const label = make("label", "choice");
  label.title = title;
  label.innerHTML = `<input type="radio" name="${group}" value="${value}"><span class="face">${face}</span>`;
  find(label, "input").setAttribute("aria-label", title);
  return label;
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
function mount(root, signal) {
  const board = new Board(root), { entry } = board;
  find(root, ".pens").append(...TOOLS.map(([value, icon, word, title]) =>
    choice("tool", value, title, `<span class="icon" aria-hidden="true">${icon}</span><span class="word">${word}</span>`)));
  find(root, ".inks").append(...Object.entries(INKS).map(([value, [front, back]]) => choice("ink", value,
    INK_NAMES[/** @type {Mark["ink"]} */ (value)], `<span class="swatch" style="background:${front};border-color:${back}"></span>`)));
  wirePointer(board, signal);
  wireKeys(board, signal);
  entry.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Enter" && event.key !== "Escape") return;
    board.written(event.key === "Enter");
    board.stage.focus({ preventScroll: true });
  }, { signal });
  entry.addEventListener("blur", () => board.written(true), { signal });
  root.addEventListener("change", ({ target }) => {
    const radio = /** @type {HTMLInputElement} */ (target);
    if (radio.name === "tool") board.take(radio.value);
    if (radio.name === "ink") board.setInk(/** @type {Mark["ink"]} */ (radio.value));
  }, { signal });
  /** @type {Record<string, () => void>} */
  const buttons = { undo: () => board.undo(), redo: () => board.redo(), delete: () => board.remove(board.chosen),
    in: () => board.zoom(1.5), out: () => board.zoom(1 / 1.5) };
  for (const [name, act] of Object.entries(buttons)) find(root, `.${name}`).addEventListener("click", act, { signal });
  onResize(root, () => board.fit(), signal);
  signal.addEventListener("abort", () => board.close());

  /** @param {import("../../browser/component.js").Given<import("./board.js").BoardHead>} given */
  return ({ data, blobs, setStateValue }) => {
    board.send = setStateValue;
    board.open(data, blobs[0]);
  };
}

export default component(".markup", mount);
