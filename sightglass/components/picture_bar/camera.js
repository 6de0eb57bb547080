// A photo from this device's camera, as sharp as the camera gives it. The preview shows the whole frame that is taken.

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

/** Return where a photo goes, in words, before it is taken. @param {string} host @param {string} kept what else happens to it */
export function destination(host, kept) {
  return `The photo is sent to the Sightglass server at ${host} and nowhere else. Nothing is sent until you take it.${kept && ` ${kept}`}`;
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

  /** @param {string} kept what is done with a photo besides explaining it */
  async open(kept) {
    find(this.dialog, ".where").textContent = destination(location.host, kept);
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
