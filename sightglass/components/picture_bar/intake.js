// Take files that are dropped anywhere but on Streamlit's own uploader, pasted, or chosen in a dialog.

const WAIT_MS = 30_000;
const READ_MS = 4_000;
const ASK_MS = 500;
const RETRY_MS = 1_500;
/** What Streamlit shows of a file that it uploads or has uploaded. */
const CHIP = '[data-testid="stFileChip"]';

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
  /** @type {Map<number, {carried: DataTransfer, at: number}>} what each uploader was given, and when */
  #given = new Map();

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
    const idle = !this.#working;
    this.#waiting.push(taken);
    this.#until = performance.now() + WAIT_MS;
    this.#asked = performance.now() + ASK_MS;
    if (idle) requestAnimationFrame(() => this.#hand());
    return true;
  }

  /** Whether files wait for an uploader, or an uploader holds some that Python has not received. */
  get #working() {
    return this.#waiting.length > 0 || [...this.#given.keys()].some((bay) => this.target.bays.includes(bay));
  }

  /** Give each drop an uploader of its own, and again where the uploader has lost it. */
  #hand() {
    const { target, signal } = this, now = performance.now();
    for (const bay of target.bays) {
      const uploader = `${target.prefix}${bay}`, input = document.querySelector(`${uploader} input[type=file]`);
      if (!(input instanceof HTMLInputElement)) continue;
      let given = this.#given.get(bay);
      if (!given) {
        const files = this.#waiting.shift();
        if (!files) continue;
        given = { carried: new DataTransfer(), at: 0 };
        for (const file of files) given.carried.items.add(file);
        this.#given.set(bay, given);
      } else if (now - given.at < RETRY_MS || document.querySelector(`${uploader} ${CHIP}`)) continue;
      // Streamlit asks the server where to send the files, and drops the answer where a run of the page starts then.
      given.at = now;
      input.files = given.carried.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }
    if (!this.#working || signal.aborted) return;
    if (now > this.#until) {
      const lost = this.#waiting.length > 0;
      this.#waiting = [];
      return lost ? this.say("The upload failed: reload the page and try again.") : undefined;
    }
    if (this.#waiting.length && now > this.#asked) {
      // The one before may have failed, or takes long.
      this.act("coming", Math.max(0, ...this.#given.keys()) + 1);
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
      if (!carriesFiles(event)) return;
      if (inUploader(event)) return;
      event.preventDefault();
      if (this.target.takes) this.take(event.dataTransfer?.files);
    }, { signal });
    window.addEventListener("paste", (event) => {
      if (this.target.takes) this.take(event.clipboardData?.files);
    }, { signal });
  }
}
