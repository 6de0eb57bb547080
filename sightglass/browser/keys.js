// Which keys are a page's own, and which belong to what has the focus.

/** @typedef {{tagName?: string, type?: string, role?: string|null, checked?: boolean, isContentEditable?: boolean}} Focusable */

/** Tags and roles of what is typed into, and of lists that are searched by typing. */
const TYPED = new Set(["TEXTAREA", "SELECT", "combobox", "grid", "listbox", "menu", "option", "searchbox", "spinbutton", "textbox"]);
/** Types of inputs that nothing is typed into. */
const UNTYPED = new Set(["button", "checkbox", "color", "file", "image", "radio", "range", "reset", "submit"]);
/** Tags and roles of what space and Enter press. */
const PRESSED = new Set(["A", "AUDIO", "BUTTON", "INPUT", "SUMMARY", "VIDEO", "button", "checkbox", "link", "radio", "switch", "tab"]);
/** Signs for which many keyboards need AltGr, or on a Mac Alt. */
const SIGNS = new Set(["[", "]", "?"]);

/** @param {Focusable} element */
function isTyped({ tagName = "", type = "", role, isContentEditable }) {
  if (tagName === "INPUT") return !UNTYPED.has(type) || role === "combobox";
  return isContentEditable === true || TYPED.has(tagName) || TYPED.has(role ?? "");
}

/** @param {Focusable} element */
function isPressed({ tagName = "", type = "", role, checked }) {
  // Neither a slider nor a choice that is made does anything by them.
  if (tagName === "INPUT" && (type === "range" || (type === "radio" && checked))) return false;
  return PRESSED.has(tagName) || PRESSED.has(role ?? "");
}

/** Return the key in small letters; a digit, which French keyboards have with Shift alone, by its place. @param {KeyboardEvent} event */
function nameOf({ key, code, shiftKey }) {
  const digit = /^Digit(\d)$/.exec(code ?? "");
  return digit && !shiftKey && !SIGNS.has(key) ? digit[1] : key.toLowerCase();
}

/** Whether Ctrl, Alt or the like make it a command of the browser. @param {KeyboardEvent} event */
function isCommand({ key, ctrlKey, metaKey, altKey }) {
  // Windows reports AltGr as Ctrl and Alt.
  return metaKey || (ctrlKey && !altKey) || (altKey && !SIGNS.has(key));
}

/**
 * Return the key that a page goes by, "" where it belongs to the browser or to what has the focus.
 * @param {KeyboardEvent} event
 */
export function freeKey(event) {
  const path = /** @type {Focusable[]} */ (event.composedPath());
  if (event.defaultPrevented || event.isComposing || isCommand(event) || path.some(isTyped)) return "";
  const name = nameOf(event), presses = name === " " || name === "enter";
  return presses && path.some(isPressed) ? "" : name;
}

/** Whether a window lies over an element: keys are for what is in it. @param {Element} element */
export function isBehindWindow(element) {
  const over = [...document.querySelectorAll('[data-testid="stDialog"]')].at(-1), root = element.getRootNode();
  return over !== undefined && !over.contains(root instanceof ShadowRoot ? root.host : element);
}
