// Take files that are dropped anywhere but on Streamlit's own uploader, pasted, or chosen in a dialog.

/** Milliseconds after which files that did not arrive are given up, or given to the uploader again, which shows none or some. */
const LOST_MS = 30_000;
const RETRY_MS = 1_500;
const STUCK_MS = 15_000;
/** Milliseconds that a byte may take on its way. */
const SLOW = 0.02;
const READ_MS = 4_000;
/** What Streamlit shows of a file that it uploads or has uploaded, and of one that failed. */
const CHIP = '[data-testid="stFileChip"]', FAILED = '[data-testid="stFileChipIconError"]';

/**
 * @typedef {{prefix: string, bay: number, megabytes: number, takes: boolean}} Target  the uploader that takes the
 *   files, a new one after each; the limit of one file; whether this page takes any
 */

/** @param {Event} event */
function inUploader(event) {
  return event.composedPath().some((node) => node instanceof HTMLElement && node.dataset.testid === "stFileUploader");
}

/** @param {DragEvent} event */
function carriesFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/** @param {File[]} files */
function sizeOf(files) {
  return files.reduce((sum, { size }) => sum + size, 0);
}

export class Intake {
  /** @type {Target} */
  target = { prefix: "", bay: 0, megabytes: 0, takes: false };
  #telling = 0;
  /** @type {File[]} until the uploader is free */
  #waiting = [];
  /** What an uploader was given, and when. @type {{bay: number, files: File[], at: number}|null} */
  #given = null;
  #working = false;
  /** When something last went on. */
  #alive = 0;

  /** @param {HTMLElement} veil @param {AbortSignal} signal @param {(files: {name: string, size: number}[]) => void} refuse tells Python of files that are too large */
  constructor(veil, signal, refuse) {
    this.veil = veil;
    this.signal = signal;
    this.refuse = refuse;
    this.inviting = veil.textContent;
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

  /** Show a message over the page for a while. @param {string} message */
  say(message) {
    clearTimeout(this.#telling);
    this.veil.textContent = message;
    this.veil.hidden = false;
    this.#telling = setTimeout(() => Object.assign(this.veil, { textContent: this.inviting, hidden: true }), READ_MS);
  }

  /** Return whether any of the files is uploaded. @param {Iterable<File>|null|undefined} files */
  take(files) {
    const every = [...(files ?? [])], fits = (/** @type {File} */ file) => file.size <= this.target.megabytes * 2 ** 20;
    const refused = every.filter((file) => !fits(file)).map(({ name, size }) => ({ name, size })), taken = every.filter(fits);
    if (refused.length) this.refuse(refused);
    if (!taken.length) return false;
    this.#waiting.push(...taken);
    this.#alive = performance.now();
    if (!this.#working) requestAnimationFrame(() => this.#hand());
    this.#working = true;
    return true;
  }

  /** Give the files to the uploader once it is free, and again where it has lost them, until Python has them. */
  #hand() {
    const { target: { prefix, bay } } = this, now = performance.now(), uploader = `${prefix}${bay}`, given = this.#given;
    const input = document.querySelector(`${uploader} input[type=file]`), busy = given?.bay === bay;
    // Streamlit asks the server where to send the files, and drops the answer where a run of the page starts then.
    const shown = document.querySelector(`${uploader} ${CHIP}`), failed = document.querySelector(`${uploader} ${FAILED}`);
    if (shown && !failed) this.#alive = now;
    if (!(input instanceof HTMLInputElement)) {
      // The page is being drawn.
    } else if (this.#waiting.length && (!busy || failed)) this.#fill(input, { bay, files: this.#waiting.splice(0), at: now });
    else if (busy && now - given.at > (shown ? STUCK_MS + SLOW * sizeOf(given.files) : RETRY_MS)) this.#fill(input, { ...given, at: now });
    if (!this.#waiting.length && (this.#given?.bay !== this.target.bay || failed)) this.#working = false;
    else if (now - this.#alive > LOST_MS) {
      [this.#working, this.#waiting, this.#given] = [false, [], null];
      this.say("The upload failed: reload the page and try again.");
    }
    if (this.#working && !this.signal.aborted) requestAnimationFrame(() => this.#hand());
  }

  /** @param {HTMLInputElement} input @param {{bay: number, files: File[], at: number}} given */
  #fill(input, given) {
    const carried = new DataTransfer();
    for (const file of given.files) carried.items.add(file);
    this.#given = given;
    input.files = carried.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }
}
