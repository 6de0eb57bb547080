// Record what is on the canvas as a video file of this browser.

import { download } from "../../browser/component.js";

/** @param {HTMLCanvasElement} canvas @returns {Promise<Blob>} */
function asJpeg(canvas) {
  return new Promise((resolve) => {
    canvas.toBlob((blob) => resolve(blob ?? new Blob()), "image/jpeg", 0.95);
  });
}

/** @param {Blob} blob @returns {Promise<string>} */
function base64(blob) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(String(reader.result).split(",")[1] ?? ""));
    reader.readAsDataURL(blob);
  });
}

/** Go on with the frame on the screen, or with the camera. @param {import("./live.js").Live} live @param {"open"|"snapshot"|"freeze"} act */
export async function handOver(live, act) {
  const { shown } = live.screen, { mode, alpha, threshold, colormap } = live.settings;
  if (!shown?.taken.jpeg) return;
  if (act === "open") live.freeze(true, false);
  const { head } = shown.answer, drawn = act === "snapshot" ? await asJpeg(live.canvas) : null;
  if (drawn && !live.head?.saves) return download(drawn, named("heatmap", new Date(), "jpg"));
  const [jpeg, picture] = await Promise.all([base64(new Blob([shown.taken.jpeg])), drawn ? base64(drawn) : ""]);
  const target = { label: head.map?.label ?? null, box: head.place === null ? null : head.answers[head.place] };
  live.send("frame", { act, jpeg, picture, ...target, view: { mode, alpha, threshold, colormap }, at: Date.now() });
}

const KINDS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];

/** Return a file's name with the time. @param {string} begin @param {Date} now @param {string} ending */
export function named(begin, now, ending) {
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  return `${begin}_${day}_${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}.${ending}`;
}

export class Recorder {
  /** @type {MediaRecorder|null} */
  #recorder = null;

  /** @param {(size: number) => void} grew  with what was recorded so far @param {() => void} empty  stopped before the first frame was encoded */
  constructor(grew, empty) {
    this.grew = grew;
    this.empty = empty;
  }

  get on() {
    return this.#recorder !== null;
  }

  /** Whether this browser can record a canvas. */
  static possible() {
    return typeof MediaRecorder !== "undefined" && KINDS.some((kind) => MediaRecorder.isTypeSupported(kind));
  }

  /** @param {HTMLCanvasElement} canvas */
  start(canvas) {
    const mimeType = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind)), started = new Date();
    /** @type {Blob[]} */
    const parts = [];
    const recorder = (this.#recorder = new MediaRecorder(canvas.captureStream(), { mimeType, videoBitsPerSecond: 4e6 }));
    recorder.addEventListener("dataavailable", ({ data }) => {
      parts.push(data);
      this.grew(parts.reduce((sum, { size }) => sum + size, 0));
    });
    recorder.addEventListener("stop", () => {
      if (!parts.some(({ size }) => size)) return this.empty();
      const type = recorder.mimeType.split(";")[0];
      download(new Blob(parts, { type }), named("live", started, type === "video/mp4" ? "mp4" : "webm"));
    });
    recorder.start(1000);
  }

  stop() {
    this.#recorder?.stop();
    this.#recorder = null;
  }
}
