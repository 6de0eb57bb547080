// A field whose text is sent while it is typed: at each pause, and at once where the field is left or closed.

import { component, find } from "../../browser/component.js";

const PAUSE_MS = 400;

/**
 * @typedef {{id: string, text: string, most: number, saved: string, problem: string}} Data
 * @typedef {import("../../browser/component.js").Send} Send
 */

/** @param {HTMLElement} root @param {AbortSignal} signal */
function mount(root, signal) {
  const field = /** @type {HTMLTextAreaElement} */ (/** @type {unknown} */ (find(root, "textarea")));
  const status = find(root, ".status");
  let id = "", sent = "", step = "", timer = 0;
  /** @type {Send} */
  let send = () => {};

  function flush() {
    clearTimeout(timer);
    if (field.value === sent) return;
    [sent, step] = [field.value, `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`];
    send("typed", { id, step, text: sent });
  }

  field.addEventListener("input", () => {
    status.textContent = "Saving…";
    clearTimeout(timer);
    timer = setTimeout(flush, PAUSE_MS);
  });
  field.addEventListener("blur", flush);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") flush();
    // Streamlit's shortcuts are not meant for what is typed.
    else event.stopPropagation();
  });
  window.addEventListener("pagehide", flush, { signal });
  signal.addEventListener("abort", flush);

  /** @param {import("../../browser/component.js").Given<Data>} given */
  return ({ data, setStateValue }) => {
    send = setStateValue;
    field.maxLength = data.most;
    if (data.id !== id) {
      flush();
      [id, sent, step] = [data.id, data.text, ""];
      field.value = data.text;
      status.textContent = "";
    } else if (!step && field.value === sent) {
      // It may be opened again before the page knows what was saved when it closed.
      sent = field.value = data.text;
    }
    if (step && data.saved === step && field.value === sent) status.textContent = data.problem || "Saved";
  };
}

export default component(".note", mount);
