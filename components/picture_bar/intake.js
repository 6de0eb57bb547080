// Take files that are dropped anywhere but on Streamlit's own uploader, pasted, or chosen in a dialog.

const WAIT_MS = 30_000;
const READ_MS = 4_000;
const ASK_MS = 500;

/**
 * @typedef {{prefix: string, bays: number[], megabytes: number, takes: boolean}} Target  the uploaders that take the
 *   files, the limit of one file, and whether this page takes any
 * @typedef {(kind: string, value: unknown) => void} Act
 */

/** @param {Event} event */
function inUploader(event) {
  return event.composedPath().some((node) => node instanceof HTMLElement && node.dataset.testid === "stFileUploader");
}

/** @param {DragEvent} event */
function carriesFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/**
 * Return the files that are small enough, and the names and sizes of the others.
 * @param {Iterable<File>} files @param {number} megabytes
 */
export function sorted(files, megabytes) {
  const every = [...files], fits = (/** @type {File} */ file) => file.size <= megabytes * 2 ** 20;
  return { taken: every.filter(fits), refused: every.filter((file) => !fits(file)).map(({ name, size }) => ({ name, size })) };
}

export class Intake {
  /** @type {Target} */
  target = { prefix: "", bays: [], megabytes: 0, takes: false };
  #telling = 0;
  #until = 0;
  #asked = 0;
  /** @type {File[][]} each drop, until there is an uploader for it */
  #waiting = [];
  /** @type {Set<number>} uploaders that were given files */
  #used = new Set();

  /** @param {HTMLElement} veil @param {AbortSignal} signal @param {Act} act tells Python */
  constructor(veil, signal, act) {
    this.veil = veil;
    this.signal = signal;
    this.act = act;
    this.inviting = veil.textContent;
    this.#wire();
  }

  /** Show a message over the page for a while. @param {string} message */
  say(message) {
    clearTimeout(this.#telling);
    this.veil.textContent = message;
    this.veil.hidden = false;
    this.#telling = setTimeout(() => Object.assign(this.veil, { textContent: this.inviting, hidden: true }), READ_MS);
  }

  /** Return whether any of the files is uploaded. @param {Iterable<File>|null|undefined} files */
  take(files) {
    const { taken, refused } = sorted(files ?? [], this.target.megabytes);
    if (refused.length) this.act("refused", refused);
    if (!taken.length) return false;
    if (!this.#waiting.length) requestAnimationFrame(() => this.#hand());
    this.#waiting.push(taken);
    this.#until = performance.now() + WAIT_MS;
    this.#asked = performance.now() + ASK_MS;
    return true;
  }

  /** Give each drop an uploader of its own. */
  #hand() {
    const { target, signal } = this, now = performance.now();
    for (const bay of target.bays) {
      const input = this.#used.has(bay) ? null : document.querySelector(`${target.prefix}${bay} input[type=file]`);
      if (!this.#waiting.length || !(input instanceof HTMLInputElement)) continue;
      const carried = new DataTransfer();
      for (const file of this.#waiting.shift() ?? []) carried.items.add(file);
      this.#used.add(bay);
      input.files = carried.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }
    if (!this.#waiting.length || signal.aborted) return;
    if (now > this.#until) {
      this.#waiting = [];
      return this.say("The upload failed: reload the page and try again.");
    }
    if (now > this.#asked) {
      // The one before may have failed, or takes long.
      this.act("coming", Math.max(0, ...this.#used) + 1);
      this.#asked = Infinity;
    }
    requestAnimationFrame(() => this.#hand());
  }

  #wire() {
    const { veil, signal } = this;
    window.addEventListener("dragover", (event) => {
      if (!carriesFiles(event)) return;
      const own = inUploader(event);
      veil.hidden = own || !this.target.takes;
      if (own) return;
      // Otherwise the browser would leave the page to open the file.
      event.preventDefault();
      if (!this.target.takes && event.dataTransfer) event.dataTransfer.dropEffect = "none";
    }, { signal });
    window.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) veil.hidden = true;
    }, { signal });
    window.addEventListener("drop", (event) => {
      veil.hidden = true;
      if (!carriesFiles(event) || inUploader(event)) return;
      event.preventDefault();
      if (this.target.takes) this.take(event.dataTransfer?.files);
    }, { signal });
    window.addEventListener("paste", (event) => {
      if (this.target.takes) this.take(event.clipboardData?.files);
    }, { signal });
  }
}
