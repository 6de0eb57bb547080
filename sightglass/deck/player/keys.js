// Which key does what: of a keyboard, and of a presenter's remote, which sends PageUp, PageDown, "b" or ".", and F5.

/** @typedef {import("./state.js").Action} Action */
/** @typedef {{key: string, ctrlKey: boolean, metaKey: boolean, altKey: boolean}} Pressed */

/** What the list of keys says, for those who present. @type {[string, string][]} */
export const HELP = [
  ["→  ←   Page Down  Page Up", "Next and previous step, then slide"],
  ["Home   End   G", "First slide, last slide, slide by its number"],
  ["Space", "Picture or heat map; play or pause a clip"],
  ["1 … 9", "Heat map of that answer"],
  ["C   T", "Other colours; dark or light slides"],
  ["L", "Small, medium, large: one alone, or all"],
  ["P", "Prove it: hide the hottest part"],
  ["↑  ↓   K", "In a proof: hide less or more; keep instead"],
  ["B  or  .", "Black screen, and back"],
  ["N", "Notes and clock in a second window"],
  ["F   Esc", "Full screen, and back"],
  ["?", "This list"],
];

/** @type {Record<string, Action["do"]|"notes"|"full"|"goto"|"theme">} */
const KEYS = {
  ...{ ArrowRight: "next", PageDown: "next", Enter: "next", ArrowLeft: "previous", PageUp: "previous", Backspace: "previous" },
  ...{ Home: "first", End: "last", " ": "toggle", c: "colormap", g: "goto", t: "theme", l: "model", p: "proof", k: "keeps", b: "black", ".": "black" },
  ...{ "?": "help", h: "help", Escape: "escape", n: "notes", f: "full", F5: "full" },
};

/**
 * Return what a key asks for; null where it is not the stage's.
 * @param {Pressed} pressed @param {boolean} proving  the arrows up and down then move the proof's slider
 * @returns {Action|{do: "notes"|"full"|"goto"|"theme"}|null}
 */
export function actionOf({ key, ctrlKey, metaKey, altKey }, proving) {
  if (ctrlKey || metaKey || altKey) return null;
  if (/^[1-9]$/.test(key)) return { do: "answer", value: Number(key) - 1 };
  if (key === "ArrowDown") return { do: proving ? "more" : "next" };
  if (key === "ArrowUp") return { do: proving ? "less" : "previous" };
  const found = KEYS[key.length === 1 ? key.toLowerCase() : key];
  return found ? /** @type {Action} */ ({ do: found }) : null;
}

/**
 * Whether a control in focus takes the key itself: arrows move its slider, Space and Enter press it. A remote's keys never.
 * @param {Pressed} pressed @param {EventTarget|null} target
 */
export function belongsTo({ key }, target) {
  if (!(target instanceof Element)) return false;
  if (target.matches("input[type=range], input[type=radio], select")) return /^(Arrow|Home|End| $)/.test(key);
  return target.matches("button, summary") && (key === " " || key === "Enter");
}
