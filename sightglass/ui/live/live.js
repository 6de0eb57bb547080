// The camera: frames go to the model one by one, and each is shown with its own map and answers.

import { contextOf, hiddenContext, resize, withLightness } from "../../browser/canvas.js";
import { broadcast, component, find, hearIn, onBroadcast, percent, themeOf, write } from "../../browser/component.js";
import { createMap, Layer, scaling } from "../../browser/draw.js";
import { reduced } from "../../browser/geometry.js";
import { markRow, onRow, writeRows } from "../../browser/rows.js";
import { resample } from "../../browser/sample.js";
import { bytes } from "../../browser/unpack.js";
import { endsOf } from "../viewer/controls.js";
import { outlineBoxes } from "../viewer/marks.js";
import { keep, recall } from "../viewer/settings.js";
import { Link } from "./link.js";
import { Recorder } from "./recorder.js";

/**
 * @typedef {{choice: {model: string, method: string, options: object}, colormaps: {name: string, lut: string}[], held: boolean}} Head
 * @typedef {{index: number, label: string, box?: number[]}} Pin  box: in shares of the frame
 * @typedef {import("./link.js").Answer} Answer
 * @typedef {{pixels: ImageData, jpeg: Blob, at: number}} Capture  a frame as it was taken and sent, and when
 * @typedef {{capture: Capture, answer: Answer, map: import("../../browser/draw.js").HeatMap|null}} Shown
 */

/** Pixels of the longer side of a frame that is sent: what a model sees is smaller still. */
const SIDE = 640;
const CAMERA = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
const QUALITY = 0.88;
/** Of a snapshot. */
const SNAPSHOT_QUALITY = 0.92;
/** Milliseconds between two maps that are told to the instruments, which measure each. */
const TOLD_MS = 200;
const MAX_ANSWERS = 8;
/** Milliseconds that a frame should wait at the server: the next one is taken so much later. */
const WAIT_MS = 6;
const MAX_DELAY_MS = 1000;

/** Return why there is no picture from the camera, and the way on. @param {string} name of the error */
export function describeCameraError(name) {
  if (name === "NotAllowedError") return "The browser denied access to the camera: allow it in the address bar, then try again.";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "This device has no camera: choose File for a clip.";
  if (name === "NotReadableError" || name === "AbortError") return "Another program is using the camera: close it, then try again.";
  if (name === "ended") return "The camera was disconnected: plug it in, then try again.";
  if (name === "insecure") return "Browsers open the camera only for https and localhost: choose File for a clip.";
  return "The camera could not be opened: choose File for a clip.";
}

/**
 * Return what is followed, in words.
 * @param {Answer|null} answer @param {Pin|null} pin @param {boolean} detects
 */
export function describeFollowed(answer, pin, detects) {
  if (!answer) return "";
  const { map, answers } = answer.head;
  if (detects && !answers.length) return "No box in this frame.";
  if (pin && !map) return `No ${pin.label} in sight.`;
  if (!map) return "";
  if (map.state !== "ok") return `${map.label}: this map is empty.`;
  const said = `${map.sure ? "" : "Unsure: "}${map.label} ${percent(map.score)}`;
  // A frame from before the choice has the map of another class; a box that is followed may change its own.
  return pin && (detects || pin.label === map.label) ? `Following ${said}` : said;
}

/**
 * Return the values of a map between its cells, as Python has them and as they are measured.
 * @param {import("../../browser/sample.js").Grid} cells @param {number[]} shape rows and columns
 */
function growCells(cells, [rows, columns]) {
  const rounded = { times: 1, plus: 0.5, low: 0, high: 65535.5 };
  return resample(cells, cells.extent, columns, rows, rounded, new Uint16Array(rows * columns));
}

/** Return the map of an answer; null where there is none. @param {Answer} answer */
export function mapOf({ head: { map }, blobs }) {
  if (!map || map.state !== "ok") return null;
  // The bytes of a message need not begin where a number may.
  const values = new Uint16Array(blobs[0].slice().buffer), { shape, grid: [rows, columns], seen, extent } = map;
  // What has hardly fewer cells than values comes without cells.
  const celled = 2 * rows <= shape[0] && 2 * columns <= shape[1];
  const head = {
    ...{ title: map.label, note: "", text: "", kind: "heat", sides: null, raw: null, seen, extent, own: 0, shared: null },
    ...{ shape: celled ? shape : [rows, columns], cells: celled ? [rows, columns] : null },
  };
  if (!celled) return createMap(head, () => values, null);
  const cells = { values, w: columns, h: rows, extent, kind: "heat" };
  /** @type {Uint16Array|null} */
  let grown = null;
  return createMap(head, () => (grown ??= growCells(cells, shape)), null, cells);
}

/** Return what each box of an answer is called and which one the map is of. @param {Answer} answer */
function outlined({ head: { answers, place } }) {
  return answers.flatMap(({ box, marks, label, score }, index) => {
    const tag = `${label} ${percent(score)}`;
    return box ? [{ xyxy: box, marks: marks ?? [], index, tag, chosen: index === place }] : [];
  });
}

class Screen {
  #layer = new Layer();
  #plain = hiddenContext(true);
  /** @type {Shown|null} */
  shown = null;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = contextOf(canvas, true);
  }

  /** Show a frame with what was said of it. @param {Capture} capture @param {Answer} answer */
  take(capture, answer) {
    this.shown = { capture, answer, map: mapOf(answer) };
    resize(this.#plain.canvas, capture.pixels.width, capture.pixels.height);
    this.#plain.putImageData(capture.pixels, 0, 0);
  }

  /** @param {import("../../browser/draw.js").Painted} style @param {string} font */
  draw(style, font) {
    if (!this.shown) return;
    const { capture: { pixels }, answer, map } = this.shown, { canvas, context } = this, { width, height } = pixels;
    resize(canvas, width, height);
    canvas.style.setProperty("--ratio", String(width / height));
    const rect = [0, 0, width, height], picture = { at: () => this.#plain.canvas, pixels: () => withLightness(pixels), size: [width, height] };
    this.#layer.paint(context, picture, map, style, { width, height, rect, unit: 1 });
    if (style.settings.outlines && style.settings.mode !== "picture") outlineBoxes(context, width, height, rect, outlined(answer), font, style.settings.boxes);
  }
}

export class Live {
  #head = /** @type {Head|null} */ (null);
  #luts = /** @type {Map<string, Uint8Array>} */ (new Map());
  #stream = /** @type {MediaStream|null} */ (null);
  /** Whether the camera was asked for and has not answered. */
  #starting = false;
  #send = /** @type {import("../../browser/component.js").Send} */ (() => {});
  #pin = /** @type {Pin|null} */ (null);
  #detects = false;
  #frozen = false;
  #grab = hiddenContext(true);
  #delay = 0;
  /** Time of the frame that was taken last. */
  #last = -1;
  #timer = 0;
  #count = 0;
  /** When the instruments were told of a map, and the last one that they were. */
  #told = -TOLD_MS;
  #measured = /** @type {import("../../browser/draw.js").HeatMap|null} */ (null);

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    this.signal = signal;
    this.video = /** @type {HTMLVideoElement} */ (root.querySelector("video"));
    this.canvas = /** @type {HTMLCanvasElement} */ (root.querySelector("canvas"));
    this.screen = new Screen(this.canvas);
    this.link = new Link(() => connect(), {
      say: (sentence) => write(find(root, ".notice"), sentence),
      ready: ({ detects }) => {
        this.#detects = Boolean(detects);
        root.toggleAttribute("data-ready", true);
        this.#pump();
      },
      answer: (answer, capture) => this.#answer(answer, capture),
    });
    this.recorder = new Recorder((left) => this.#showRecording(left));
    const hear = hearIn(root, signal);
    hear("snapshot", "click", () => void this.#takeSnapshot());
    hear("record", "click", () => this.#record());
    onBroadcast("restyle", ({ changes }) => this.#restyle(changes), signal);
    onBroadcast("look", () => this.#tellShown(), signal);
    hear("start", "click", () => void this.#start());
    hear("freeze", "click", () => this.#freeze(!this.#frozen));
    hear("open", "click", () => void this.#handOver("open"));
    onRow(find(root, ".rows"), (place) => this.#follow(place));
    document.addEventListener("visibilitychange", () => this.#pump(), { signal });
    signal.addEventListener("abort", () => {
      clearTimeout(this.#timer);
      this.recorder.cancel();
      this.link.stop();
      this.#stop();
    });
  }

  /** @param {import("../../browser/component.js").Payload<Head>} payload */
  show({ data: head, setTriggerValue }) {
    const before = this.#head;
    this.#head = head;
    this.#send = setTriggerValue;
    this.#luts = new Map(head.colormaps.map(({ name, lut }) => [name, bytes(lut)]));
    if (JSON.stringify(head.choice) !== JSON.stringify(before?.choice)) {
      this.#frozen = false;
      this.#setPin(null);
      this.link.choose(head.choice);
    }
    // It was frozen when this page was left.
    if (!before && head.held) this.#freeze(false);
    if (!before) this.link.start();
    this.#draw();
  }

  async #start() {
    if (this.#starting) return;
    this.#starting = true;
    find(this.root, ".problem").textContent = "";
    try {
      if (!navigator.mediaDevices) throw Object.assign(new Error(), { name: "insecure" });
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: CAMERA, audio: false });
      // Access may be granted after the view was left.
      if (this.signal.aborted) return this.#stop();
      for (const track of this.#stream.getTracks()) track.addEventListener("ended", () => this.#showCameraError("ended"));
      this.video.srcObject = this.#stream;
      await this.video.play();
      this.root.toggleAttribute("data-on", true);
      this.#draw();
      this.#pump();
    } catch (error) {
      this.#showCameraError(error instanceof Error ? error.name : "");
    } finally {
      this.#starting = false;
    }
  }

  /** Say why there is no picture. @param {string} name of the error */
  #showCameraError(name) {
    this.#stop();
    find(this.root, ".problem").textContent = describeCameraError(name);
  }

  #stop() {
    this.recorder.cancel();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = this.video.srcObject = null;
    this.root.toggleAttribute("data-on", false);
  }

  /** Take frames while there is room for them. */
  #pump() {
    clearTimeout(this.#timer);
    if (this.#frozen || document.hidden || !this.#stream || this.video.readyState < 2 || !this.link.hasRoom()) return;
    // The camera may have no new frame yet.
    const fresh = this.video.currentTime !== this.#last;
    this.#last = this.video.currentTime;
    if (fresh) void this.#capture();
    this.#pumpAfter(fresh ? this.#delay : 0);
  }

  /** @param {number} ms */
  #pumpAfter(ms) {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#pump(), Math.max(4, ms));
  }

  async #capture() {
    const { video } = this, grab = this.#grab, [width, height] = reduced([video.videoWidth, video.videoHeight], SIDE);
    resize(grab.canvas, width, height);
    grab.drawImage(video, 0, 0, width, height);
    const number = this.link.reserve(), at = performance.now();
    const pixels = grab.getImageData(0, 0, width, height);
    const encoded = /** @type {Promise<Blob|null>} */ (new Promise((resolve) => {
      grab.canvas.toBlob(resolve, "image/jpeg", QUALITY);
    }));
    const blob = (await encoded) ?? new Blob();
    this.link.frame(number, await blob.arrayBuffer(), { pixels, jpeg: blob, at });
  }

  /** @param {Answer} answer @param {Capture|null} [capture] */
  #answer(answer, capture) {
    const { ms, problem, lost } = answer.head;
    this.#delay = Math.min(MAX_DELAY_MS, Math.max(0, this.#delay + 0.5 * (ms.wait - WAIT_MS)));
    this.#pumpAfter(this.#delay);
    if (this.#frozen || !capture) return;
    write(find(this.root, ".notice"), problem);
    if (problem) return;
    if (lost) this.#setPin(null);
    this.screen.take(capture, answer);
    this.#draw();
    this.root.dataset.shown = String(++this.#count);
    write(find(this.root, ".speed"), `${Math.round(performance.now() - capture.at)} ms behind the camera`);
  }

  #draw() {
    const { root, screen } = this, answer = screen.shown?.answer ?? null;
    screen.draw(this.#style(), themeOf(root).font);
    const text = describeFollowed(answer, this.#pin, this.#detects);
    write(find(root, ".follows"), text);
    this.canvas.setAttribute("aria-label", `The camera with its map. ${text}`);
    this.#list(answer);
    for (const name of [".freeze", ".open", ".snapshot"]) find(root, name).disabled = !screen.shown;
    find(root, ".record").disabled = !this.#stream || !window.MediaRecorder;
    if (this.#frozen || performance.now() - this.#told >= TOLD_MS) this.#tellShown();
  }

  #recall() {
    return recall(sessionStorage, null, [...this.#luts.keys()]);
  }

  /** Return how maps are drawn now. @returns {import("../../browser/draw.js").Painted} */
  #style() {
    const settings = this.#recall(), lut = this.#luts.get(settings.colormap) ?? [...this.#luts.values()][0];
    return { settings, lut, dark: themeOf(this.root).dark, range: null };
  }

  /** Tell the instruments of the map that is shown; they keep the last one where a frame has none. */
  #tellShown() {
    this.#told = performance.now();
    const map = this.screen.shown?.map ?? this.#measured;
    if (!map) return;
    this.#measured = map;
    const style = this.#style(), { answer } = /** @type {Shown} */ (this.screen.shown);
    const item = { map, value: null, ends: endsOf(map, style, "own"), ...scaling(map, style) };
    const columns = [{ title: "", place: 0, facts: [], item, left: 0, width: 0 }];
    const boxed = answer.head.answers.some(({ box }) => box);
    broadcast("shown", {
      ...{ id: "", maps: [item], pointed: 0, columns, aligned: false, boxed },
      ...{ colormaps: this.#luts, settings: style.settings, style },
    });
  }

  /** Draw the map otherwise, here and on every page. @param {Partial<import("../../common/style.js").Style>} change */
  #restyle(change) {
    keep(sessionStorage, { ...this.#recall(), ...change });
    this.#draw();
    this.#tellShown();
  }

  /** @param {Answer|null} answer */
  #list(answer) {
    const list = find(this.root, ".rows"), answers = answer?.head.answers.slice(0, MAX_ANSWERS) ?? [];
    list.toggleAttribute("data-unsure", answer?.head.map?.sure === false);
    writeRows(list, answers.map(({ label, score }) => ({ label, share: score, text: percent(score) })));
    markRow(list, answer?.head.place ?? answers.findIndex((said) => said.label === answer?.head.map?.label));
  }

  /** @param {Pin|null} pin */
  #setPin(pin) {
    this.#pin = pin;
    this.link.pin(pin && { index: pin.index, ...(pin.box && { box: pin.box }) });
  }

  /** Follow one of the answers, or nothing where something is followed already. @param {number} place */
  #follow(place) {
    const { capture, answer } = this.screen.shown ?? {}, said = answer?.head.answers[place];
    if (!said || !capture) return;
    const { index, label, box } = said, { width, height } = capture.pixels;
    const shares = box?.map((edge, i) => Math.min(1, Math.max(0, edge / (i % 2 ? height : width))));
    const same = this.#pin?.index === index && (answer.head.place ?? place) === place;
    this.#setPin(same ? null : { index, label, ...(shares && { box: shares }) });
  }

  /** @param {boolean} frozen */
  #freeze(frozen) {
    this.#frozen = frozen;
    if (frozen) void this.#handOver("freeze");
    else this.#send("frame", { act: "go on", at: Date.now() });
    this.#draw();
    this.#pump();
  }

  /** Hand over the picture with its map, as it is on the screen. */
  async #takeSnapshot() {
    const { canvas } = this, at = Date.now();
    const blob = /** @type {Blob|null} */ (await new Promise((resolve) => {
      canvas.toBlob(resolve, "image/jpeg", SNAPSHOT_QUALITY);
    }));
    if (blob) this.#send("frame", { act: "snapshot", jpeg: await base64(blob), at });
  }

  #record() {
    if (this.recorder.isOn) this.recorder.stop();
    else if (this.#stream) this.recorder.start(this.#stream, (clip) => void this.#sendClip(clip));
  }

  /** @param {number|null} left */
  #showRecording(left) {
    const button = find(this.root, ".record");
    button.setAttribute("aria-pressed", String(left !== null));
    write(button, left === null ? "Record" : `Stop, ${left} s left`);
  }

  /** @param {Blob} clip */
  async #sendClip(clip) {
    this.#send("frame", { act: "clip", clip: await base64(clip), mime: clip.type, at: Date.now() });
  }

  /** Go on with the frame on the screen. @param {"open"|"freeze"} act */
  async #handOver(act) {
    const { shown } = this.screen;
    if (!shown) return;
    const { head } = shown.answer, jpeg = await base64(shown.capture.jpeg);
    const box = head.place === null ? null : head.answers[head.place];
    this.#send("frame", { act, jpeg, label: head.map?.label ?? null, box, at: Date.now() });
  }
}

function connect() {
  const url = new URL("api/live", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(url);
}

/** @param {Blob} blob @returns {Promise<string>} */
function base64(blob) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(String(reader.result).split(",")[1] ?? ""));
    reader.readAsDataURL(blob);
  });
}

export default component(".live", Live);
