// The buttons, sliders and keys around the canvas of a live page, and what they do.

import { download, find } from "../../browser/component.js";
import { gradient } from "../../browser/table.js";
import { CHOICES } from "../../common/style.js";
import { hearIn, showSliders, wireSliders } from "../viewer/controls.js";

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
  if (act === "snapshot") return download(await asJpeg(live.canvas), named("heatmap", new Date(), "jpg"));
  const { head } = shown.answer, jpeg = await base64(new Blob([shown.taken.jpeg]));
  const target = { label: head.map?.label ?? null, box: head.place === null ? null : head.answers[head.place] };
  live.send("frame", { act, jpeg, ...target, view: { mode, alpha, threshold, colormap }, at: Date.now() });
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

/** @typedef {import("./live.js").Live} Live */

/** Show the settings and what is on. @param {Live} live */
export function showButtons({ root, settings, luts, sources, frozen, recorder }) {
  const $ = find.bind(null, root);
  $(`[name="source"][value="${sources.kind}"]`).checked = true;
  showSliders(root, settings, gradient(luts.get(settings.colormap) ?? new Uint8Array(768)), "Weak");
  $(".boxes").setAttribute("aria-pressed", String(settings.boxes));
  showState($(".freeze"), frozen, ["play_arrow", "Go on"], ["pause", "Freeze"]);
  showState($(".record"), recorder.on, ["stop_circle", "Stop recording"], ["fiber_manual_record", "Record"]);
}

/** @param {Element} button @param {boolean} on @param {string[]} pressed icon and word @param {string[]} released */
function showState(button, on, pressed, released) {
  const [icon, word] = on ? pressed : released;
  button.setAttribute("aria-pressed", String(on));
  find(button, ".icon").textContent = icon;
  find(button, ".word").textContent = word;
}

/** Hear what a person does. @param {Live} live */
export function wireButtons(live) {
  const { root, signal, canvas, sources, following } = live, hear = hearIn(root, signal);
  hear("source", "change", ({ value }) => void sources.choose(value === "camera" ? "camera" : "clip"));
  wireSliders(hear, "view", (changes, done) => live.set(changes, done));
  hear("pin", "change", ({ value }) => following.name(value));
  hear("boxes", "click", () => live.set({ boxes: !live.settings.boxes }));
  hear("freeze", "click", () => live.freeze(!live.frozen));
  hear("open", "click", () => void handOver(live, "open"));
  hear("snapshot", "click", () => void handOver(live, "snapshot"));
  hear("record", "click", () => live.record());
  hear("again", "click", () => (live.notice.connection ? live.loop.link.start() : void sources.choose("camera")));
  hear("full", "click", () => void (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen()));
  hear("original", "pointerdown", () => live.hold(true));
  for (const name of ["pointerup", "blur"]) window.addEventListener(name, () => live.hold(false), { signal });
  canvas.addEventListener("click", (event) => following.click(event), { signal });
  root.addEventListener("keydown", (event) => press(live, event), { signal });
  root.addEventListener("keyup", ({ key }) => key === " " && live.hold(false), { signal });
}

/** @param {Live} live @param {KeyboardEvent} event */
function press(live, event) {
  const { target, key } = event, modes = CHOICES.mode, typing = target instanceof HTMLInputElement && target.type === "search";
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const onButton = target instanceof HTMLElement && Boolean(target.closest("button:not(.original), select"));
  if (key === " " && !onButton) live.hold(true);
  else if (key === "f") live.freeze(!live.frozen);
  else if (key === "s") void handOver(live, "snapshot");
  else if (key === "r" && !find(live.root, ".record").disabled) live.record();
  else if (key === "c") live.set({ mode: modes[(modes.indexOf(live.settings.mode) + 1) % modes.length] });
  else return;
  event.preventDefault();
}
