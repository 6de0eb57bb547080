// Streamlit's own uploader takes what is dropped on it; this takes what is dropped anywhere else, and what is pasted.

const WAIT_MS = 30_000;
const READ_MS = 4_000;
const live = new WeakMap();

/**
 * @typedef {{bay: string, megabytes: number}} Where  the uploaders that take the files, and how much of one
 * @typedef {(name: string, value: unknown) => void} Send
 */

/** @param {Event} event */
function inUploader(event) {
  return event.composedPath().some((node) => node instanceof HTMLElement && node.dataset.testid === "stFileUploader");
}

/** @param {DragEvent} event */
function carriesFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/** @param {HTMLElement} veil */
function mount(veil) {
  const gone = new AbortController(), { signal } = gone, inviting = veil.textContent;
  /** @type {Where} */
  let where = { bay: "", megabytes: 0 };
  /** @type {Send} */
  let tell = () => {};
  let telling = 0, until = 0, last = 0;
  /** @type {Map<number, File[]>} each drop, until there is an uploader for it */
  const waiting = new Map();

  /** @param {string} words */
  function say(words) {
    clearTimeout(telling);
    veil.textContent = words;
    veil.hidden = false;
    telling = setTimeout(() => Object.assign(veil, { textContent: inviting, hidden: true }), READ_MS);
  }

  /** @param {FileList | undefined} files */
  function take(files) {
    const chosen = [...(files ?? [])];
    if (chosen.some(({ size }) => size > where.megabytes * 2 ** 20)) return say(`Larger than ${where.megabytes} MB`);
    if (!chosen.length) return;
    if (!waiting.size) requestAnimationFrame(hand);
    last = Math.max(last + 1, Date.now());
    waiting.set(last, chosen);
    until = performance.now() + WAIT_MS;
    tell("coming", [...waiting.keys()]);
  }

  function hand() {
    for (const [bay, files] of waiting) {
      const input = document.querySelector(`${where.bay}${bay} input[type=file]`);
      if (!(input instanceof HTMLInputElement)) continue;
      const carried = new DataTransfer();
      for (const file of files) carried.items.add(file);
      input.files = carried.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
      waiting.delete(bay);
    }
    if (performance.now() > until) {
      if (waiting.size) say("That did not work: use Change and its upload");
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

  return {
    /** @param {Where} data @param {Send} send */
    show(data, send) {
      where = data;
      tell = send;
    },
    unmount: () => gone.abort(),
  };
}

/** @param {{data: Where, parentElement: HTMLElement, setTriggerValue: Send}} component */
export default function ({ data, parentElement, setTriggerValue }) {
  const veil = /** @type {HTMLElement} */ (parentElement.querySelector(".veil"));
  let intake = live.get(veil);
  if (!intake) live.set(veil, (intake = mount(veil)));
  intake.show(data, setTriggerValue);
  return () => {
    intake.unmount();
    live.delete(veil);
  };
}
