// Take files that are dropped anywhere but on Streamlit's own uploader, pasted, or chosen in a dialog.

import { hiddenContext } from "../../browser/canvas.js";
import { find } from "../../browser/component.js";

/** The largest that is asked for: a browser gives the nearest that the camera has. */
export const WANTED = { width: { ideal: 3840 }, height: { ideal: 2160 }, facingMode: { ideal: "environment" } };
const NAME = "camera.jpg";
const QUALITY = 0.95;

/** Return why there is no picture from the camera, and what to do. @param {string} name of the error */
export function problemOf(name) {
  if (name === "NotAllowedError") return "The browser denied access to the camera: allow it in the address bar and try again.";
  if (name === "NotFoundError") return "This device has no camera: upload a picture instead.";
  if (name === "NotReadableError") return "Another program is using the camera: close it and try again.";
  return "The camera could not be opened: upload a picture instead.";
}

/** Return where a photo goes, in words, before it is taken. @param {string} host */
export function destination(host) {
  return `The photo is sent to the Sightglass server at ${host} and nowhere else. Nothing is sent until you take it.`;
}

export class Camera {
  /** @type {MediaStream|null} */
  #stream = null;

  /** @param {HTMLDialogElement} dialog @param {AbortSignal} signal @param {(photo: File) => void} take */
  constructor(dialog, signal, take) {
    this.dialog = dialog;
    this.take = take;
    this.video = /** @type {HTMLVideoElement} */ (dialog.querySelector("video"));
    this.shutter = /** @type {HTMLButtonElement} */ (dialog.querySelector(".shutter"));
    this.shutter.addEventListener("click", () => this.#shoot(), { signal });
    find(dialog, ".cancel").addEventListener("click", () => dialog.close(), { signal });
    // Escape closes a dialog too.
    dialog.addEventListener("close", () => this.#stop(), { signal });
    // The page's own keys must not act behind it.
    dialog.addEventListener("keydown", (event) => event.stopPropagation(), { signal });
    signal.addEventListener("abort", () => this.#stop());
  }

  async open() {
    find(this.dialog, ".where").textContent = destination(location.host);
    const said = find(this.dialog, ".problem");
    said.textContent = "";
    this.shutter.disabled = true;
    this.dialog.showModal();
    if (!navigator.mediaDevices) {
      said.textContent = "Browsers open the camera only for https and localhost: upload a picture instead.";
      return;
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: WANTED });
      if (!this.dialog.open) return stream.getTracks().forEach((track) => track.stop());
      this.#stream = this.video.srcObject = stream;
      await this.video.play();
      this.shutter.disabled = false;
      this.shutter.focus();
    } catch (error) {
      said.textContent = problemOf(error instanceof Error ? error.name : "");
    }
  }

  #shoot() {
    // The size of the camera's own frames, not of the preview.
    const { video } = this, photo = hiddenContext(video.videoWidth, video.videoHeight);
    photo.drawImage(video, 0, 0);
    photo.canvas.toBlob((blob) => blob && this.take(new File([blob], NAME, { type: blob.type })), "image/jpeg", QUALITY);
    this.dialog.close();
  }

  #stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = this.video.srcObject = null;
  }
}

const WAIT_MS = 30_000;
const READ_MS = 4_000;
const ASK_MS = 500;
const RETRY_MS = 1_500;
/** What Streamlit shows of a file that it uploads or has uploaded. */
const CHIP = '[data-testid="stFileChip"]';
const FAILED = '[data-testid="stFileChipIconError"]';

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
  /** whether the page says of files that an uploader refused them */
  #told = false;

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

  /**
   * Tell which files an uploader of the page itself refuses, and when none is left in its list: it marks them, but does
   * not say what to do.
   * @param {Iterable<File>|null|undefined} files
   */
  #judge(files) {
    const { refused } = sorted(files ?? [], this.target.megabytes);
    if (!refused.length && (!this.#told || document.querySelector(FAILED))) return;
    this.act("refused-by-uploader", refused);
    this.#told = refused.length > 0;
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
      if (inUploader(event)) return this.#judge(event.dataTransfer?.files);
      event.preventDefault();
      if (this.target.takes) this.take(event.dataTransfer?.files);
    }, { signal });
    window.addEventListener("change", (event) => {
      if (event.target instanceof HTMLInputElement && inUploader(event)) this.#judge(event.target.files);
      // Before the uploader, which may empty its input.
    }, { signal, capture: true });
    window.addEventListener("click", (event) => {
      // A file that was refused is removed from the list by a button, which keeps its click to itself.
      if (inUploader(event)) setTimeout(() => this.#judge(null));
    }, { signal, capture: true });
    window.addEventListener("paste", (event) => {
      if (this.target.takes) this.take(event.clipboardData?.files);
    }, { signal });
  }
}
