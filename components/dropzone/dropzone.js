// Take what is dropped anywhere but on Streamlit's own uploader, and what is pasted.

import { component } from "../frontend/component.js";

const WAIT_MS = 30_000;
const READ_MS = 4_000;

/**
 * @typedef {{bay: string, megabytes: number}} Target  the uploaders that take the files, and the limit of one file
 * @typedef {import("../frontend/component.js").Send} Send
 */

/** @param {Event} event */
function inUploader(event) {
  return event.composedPath().some((node) => node instanceof HTMLElement && node.dataset.testid === "stFileUploader");
}

/** @param {DragEvent} event */
function carriesFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/** @param {HTMLElement} veil @param {AbortSignal} signal */
function mount(veil, signal) {
  const inviting = veil.textContent;
  /** @type {Target} */
  let target = { bay: "", megabytes: 0 };
  /** @type {Send} */
  let send = () => {};
  let telling = 0, until = 0, last = 0;
  /** @type {Map<number, File[]>} each drop, until there is an uploader for it */
  const waiting = new Map();

  /** @param {string} message */
  function say(message) {
    clearTimeout(telling);
    veil.textContent = message;
    veil.hidden = false;
    telling = setTimeout(() => Object.assign(veil, { textContent: inviting, hidden: true }), READ_MS);
  }

  /** @param {FileList | undefined} files */
  function take(files) {
    const chosen = [...(files ?? [])];
    if (chosen.some(({ size }) => size > target.megabytes * 2 ** 20)) return say(`Larger than ${target.megabytes} MB`);
    if (!chosen.length) return;
    if (!waiting.size) requestAnimationFrame(hand);
    last = Math.max(last + 1, Date.now());
    waiting.set(last, chosen);
    until = performance.now() + WAIT_MS;
    send("coming", [...waiting.keys()]);
  }

  function hand() {
    for (const [bay, files] of waiting) {
      const input = document.querySelector(`${target.bay}${bay} input[type=file]`);
      if (!(input instanceof HTMLInputElement)) continue;
      const carried = new DataTransfer();
      for (const file of files) carried.items.add(file);
      input.files = carried.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
      waiting.delete(bay);
    }
    if (performance.now() > until) {
      if (waiting.size) say("Upload failed: use Change instead");
      waiting.clear();
    } else if (waiting.size && !signal.aborted) requestAnimationFrame(hand);
  }

  window.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    veil.hidden = inUploader(event);
    if (!veil.hidden) event.preventDefault();
  }, { signal });
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) veil.hidden = true;
  }, { signal });
  window.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!carriesFiles(event) || inUploader(event)) return;
    event.preventDefault();
    take(event.dataTransfer?.files);
  }, { signal });
  window.addEventListener("paste", (event) => take(event.clipboardData?.files), { signal });

  /** @param {{data: Target, parentElement: HTMLElement, setTriggerValue: Send}} given */
  return ({ data, setTriggerValue }) => {
    target = data;
    send = setTriggerValue;
  };
}

export default component(".veil", mount);
