// Live: frames of a camera or a clip go to the model one by one, and each is shown with its own map.

import { CHOICES } from "../../common/style.js";
import { broadcast, component, find, keepStored, stored, themeOf } from "../../browser/component.js";
import { bytes, unpack } from "../../browser/unpack.js";
import { listColormaps } from "../viewer/controls.js";
import { defaults, keep, recalled } from "../viewer/settings.js";
import { Answers, followed } from "./answers.js";
import { showButtons, wireButtons } from "./buttons.js";
import { Encoder } from "./encoder.js";
import { Link } from "./link.js";
import { Pace } from "./pace.js";
import { Recorder, asJpeg, base64, download, named } from "./recorder.js";
import { Screen, boxAt } from "./screen.js";
import { camera, clip, reason } from "./source.js";

/**
 * @typedef {import("./answers.js").Pin} Pin
 * @typedef {import("./link.js").Answer} Answer
 * @typedef {import("./screen.js").Taken} Taken
 * @typedef {import("../../common/style.js").Style} Style
 * @typedef {import("../../browser/component.js").Send} Send
 * @typedef {{choice: {model: string, method: string, options: object}, ticket: string, place: string, stills: string,
 *   said: string, saves: boolean, colormaps: import("../viewer/controls.js").Colormap[], height: number}} Head  place: the
 *   page that a frame can be opened on; stills: names the clip's pictures; said: what became of a snapshot; saves: on the server
 */

const QUALITY = 0.88;
/** Milliseconds between two changes of what is said of the frames. */
const WORDS = 120;
/** Milliseconds for which a sentence stays. */
const SHORT = 6_000;
const LONG = 20_000;
const SOURCE = "sightglass.live";

export class Live {
  settings = defaults();
  /** @type {Map<string, Uint8Array>} */
  luts = new Map();
  /** @type {Head|null} */
  head = null;
  /** @type {import("./source.js").Source|null} */
  source = null;
  /** @type {Map<number, Taken>} frames that are on their way */
  taken = new Map();
  /** @type {Pin|null} */
  pin = null;
  labels = /** @type {string[]} */ ([]);
  detects = false;
  frozen = false;
  held = false;
  dark = false;
  font = "sans-serif";
  /** @type {"clip"|"camera"} */
  kind = "clip";
  linkWords = "";
  sourceWords = "";
  /** Whether the camera may be tried again. */
  retry = false;
  dropped = 0;
  idle = false;
  said = 0;
  /** What the rows say. @type {import("./screen.js").Screen["shown"]} */
  told = null;
  answered = 0;
  #timer = 0;
  #turns = 0;
  send = /** @type {Send} */ (() => {});

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    this.signal = signal;
    this.canvas = /** @type {HTMLCanvasElement} */ (root.querySelector("canvas"));
    this.video = /** @type {HTMLVideoElement} */ (root.querySelector("video"));
    this.screen = new Screen(this.canvas);
    this.pace = new Pace();
    this.recorder = new Recorder(
      (size) => (root.dataset.recorded = String(size)),
      () => this.say("Nothing was recorded yet: record for a second or two."),
    );
    this.answers = new Answers(find(root, ".rows"), (place) => this.follow(place, this.told), signal);
    this.grab = document.createElement("canvas");
    this.grabbing = /** @type {CanvasRenderingContext2D} */ (this.grab.getContext("2d", { willReadFrequently: true }));
    this.encoder = new Encoder((number, jpeg) => this.encoded(number, jpeg));
    this.link = new Link(() => this.connect(), {
      state: (state, sentence) => this.connection(state, sentence),
      note: (note) => this.noted(note),
      answer: (answer) => this.answer(answer),
    });
    wireButtons(this);
    signal.addEventListener("abort", () => this.end());
  }

  connect() {
    const url = new URL("api/live", location.href.replace(/[?#].*/, ""));
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const ticket = this.head?.ticket;
    return new WebSocket(url, ["sightglass.live", ...(ticket ? [`ticket.${ticket}`] : [])]);
  }

  end() {
    clearTimeout(this.#timer);
    this.link.stop();
    this.source?.stop();
    this.encoder.stop();
    if (this.recorder.on) this.recorder.stop();
  }

  /** Take what Python sent. @param {{data: Uint8Array, setTriggerValue: Send}} given */
  async show({ data, setTriggerValue }) {
    const { head, blobs } = /** @type {{head: Head, blobs: Uint8Array[]}} */ (unpack(data)), before = this.head;
    this.head = head;
    this.send = setTriggerValue;
    Object.assign(this, themeOf(this.root));
    if (!before) this.begin(head);
    find(this.root, ".place").textContent = `Open on ${head.place}`;
    if (head.said !== before?.said && head.said) this.say(head.said);
    if (JSON.stringify(head.choice) !== JSON.stringify(before?.choice)) {
      this.labels = [];
      this.follows(null);
      this.pace.reset();
      this.link.choose(head.choice);
    }
    if (!before) this.link.start();
    if (head.stills !== before?.stills) {
      const stills = await Promise.all(blobs.map((blob) => createImageBitmap(new Blob([/** @type {BlobPart} */ (blob)]))));
      if (this.head?.stills !== head.stills) return;
      this.clip = clip(stills);
      if (this.kind === "clip") this.use(this.clip);
    }
    showButtons(this);
    this.redraw();
  }

  /** @param {Head} head */
  begin(head) {
    for (const { name, lut } of listColormaps(find(this.root, ".colormap"), head.colormaps)) this.luts.set(name, bytes(lut));
    this.settings = recalled(sessionStorage, null, [...this.luts.keys()]);
    this.canvas.style.setProperty("--height", `${head.height}px`);
    find(this.root, ".record").hidden = !Recorder.possible();
    // A camera that was allowed before is opened again; at first the clip plays.
    if (stored(sessionStorage, SOURCE).source === "camera") void this.choose("camera");
  }

  // Where frames come from.

  /** @param {"clip"|"camera"} kind */
  async choose(kind) {
    this.kind = kind;
    this.retry = false;
    keepStored(sessionStorage, SOURCE, { source: kind });
    showButtons(this);
    const turn = ++this.#turns;
    if (kind === "clip") {
      this.sourceWords = "";
      if (this.clip) this.use(this.clip);
      return this.notice();
    }
    // Nobody shall take the clip for what the camera sees.
    this.use(null);
    this.sourceWords = "Opening the camera…";
    this.notice();
    try {
      const source = await camera(this.video, () => this.without("ended"));
      if (turn !== this.#turns || this.signal.aborted) return source.stop();
      this.sourceWords = "";
      this.use(source);
    } catch (error) {
      if (turn === this.#turns) this.without(error instanceof Error ? error.name : Object(error).name ?? "");
    }
    this.notice();
  }

  /** Go on with the clip, and say why. @param {string} name of the error */
  without(name) {
    void this.choose("clip");
    this.retry = true;
    this.say(reason(name), LONG);
  }

  /** @param {import("./source.js").Source|null} source */
  use(source) {
    if (this.source && this.source !== source) this.source.stop();
    this.source = source;
    this.pace.reset();
    this.pump();
  }

  // Frames out, answers in.

  /** Take a frame where there is room for one, now or as soon as there is a new one. */
  pump() {
    clearTimeout(this.#timer);
    if (this.frozen || document.hidden || !this.source || !this.link.room()) return;
    if (!this.source.fresh(performance.now())) {
      this.#timer = window.setTimeout(() => this.pump(), 4);
      return;
    }
    this.take(this.source);
  }

  /** @param {import("./source.js").Source} source */
  take(source) {
    const start = performance.now(), [width, height] = source.size, { grab, grabbing } = this;
    if (grab.width !== width || grab.height !== height) Object.assign(grab, { width, height });
    const taken = source.draw(grabbing, start), pixels = grabbing.getImageData(0, 0, width, height);
    const number = this.link.reserve(), began = performance.now();
    const frame = { pixels, jpeg: null, taken, began, ms: { grab: began - start, encode: 0 } };
    this.taken.set(number, frame);
    this.encoder.encode(number, pixels, QUALITY);
    // One more than is answered, where the model has nothing to do between two frames.
    if (!this.idle) return;
    this.idle = false;
    this.pump();
  }

  /** @param {number} number @param {ArrayBuffer|null} jpeg */
  encoded(number, jpeg) {
    const frame = this.taken.get(number);
    if (frame) {
      frame.ms.encode = performance.now() - frame.began;
      frame.jpeg = jpeg;
    }
    this.link.frame(number, jpeg);
  }

  /** @param {Answer} answer */
  answer(answer) {
    const { n, ms, problem, dropped } = answer.head, frame = this.taken.get(n);
    for (const number of this.taken.keys()) if (number <= n) this.taken.delete(number);
    this.pace.waited(ms.wait, dropped - this.dropped, performance.now());
    this.dropped = dropped;
    // Dropped frames leave too few on their way.
    const starving = !this.link.pending;
    this.idle = starving || (this.pace.delay === 0 && ms.wait < 1);
    clearTimeout(this.#timer);
    if (this.pace.delay > 1 && !starving) this.#timer = window.setTimeout(() => this.pump(), this.pace.delay);
    else this.pump();
    if (this.frozen || !frame) return;
    if (problem) {
      this.linkWords = problem;
      return this.notice();
    }
    if (this.linkWords) {
      this.linkWords = "";
      this.notice();
    }
    if (answer.head.lost) this.follows(null);
    const start = performance.now();
    this.screen.take(frame, answer);
    this.redraw();
    this.answered += 1;
    const now = performance.now();
    this.pace.shown(now, now - frame.taken);
    this.root.dataset.shown = String(this.answered);
    // Nobody reads faster, and each change of a text has the browser lay out the page.
    if (now - this.said > WORDS) this.words();
    broadcast("frame", { taken: frame.taken, ms: { ...frame.ms, ...ms, draw: performance.now() - start } });
  }

  /** @param {string} state @param {string} sentence */
  connection(state, sentence) {
    this.root.dataset.state = state;
    this.taken.clear();
    this.linkWords = sentence;
    this.notice();
    if (state !== "ready") return;
    this.dropped = 0;
    this.pump();
  }

  /** @param {import("./link.js").Note} note */
  noted(note) {
    if (note.type !== "ready") return;
    this.detects = Boolean(note.detects);
    this.root.dataset.model = String(note.model);
    this.labels = /** @type {string[]} */ (note.labels);
    this.root.classList.toggle("detects", this.detects);
    find(this.root, ".boxes").hidden = !this.detects;
    find(this.root, "datalist").replaceChildren(...this.labels.map((label) => new Option(label)));
  }

  // What is followed.

  /**
   * Follow one of the answers, or nothing where that one is followed already.
   * @param {number} place @param {import("./screen.js").Screen["shown"]} [shown] what it was chosen in
   */
  follow(place, shown = this.screen.shown) {
    const { answer, taken } = shown ?? {}, said = answer?.head.answers[place];
    if (!said || !taken) return;
    const { index, label, box } = said, { width, height } = taken.pixels;
    const chosen = answer.head.place === null ? this.pin?.index === index : Boolean(this.pin) && answer.head.place === place;
    const shares = box?.map((edge, i) => Math.min(1, Math.max(0, edge / (i % 2 ? height : width))));
    this.follows(chosen ? null : { index, label, ...(shares && { box: shares }) });
  }

  /** @param {Pin|null} pin */
  follows(pin) {
    this.pin = pin;
    this.link.pin(pin && { index: pin.index, ...(pin.box && { box: pin.box }) });
    find(this.root, ".pin").value = pin?.label ?? "";
  }

  /** Follow a class by its name; nothing, or none of the model's: whatever it says. @param {string} typed */
  named(typed) {
    const index = this.labels.findIndex((label) => label.toLowerCase() === typed.trim().toLowerCase());
    this.follows(index < 0 ? null : { index, label: this.labels[index] });
    if (index < 0 && typed.trim()) this.say(`The model knows no ${typed.trim()}: choose a class from the list.`);
  }

  // What is said and drawn.

  redraw() {
    const { settings, held, dark, font } = this, lut = this.luts.get(settings.colormap) ?? [...this.luts.values()][0];
    this.screen.draw({ settings: held ? { ...settings, mode: "picture" } : settings, lut, dark, range: null }, font);
    const has = Boolean(this.screen.shown?.answer);
    for (const name of [".open", ".snapshot", ".record"]) find(this.root, name).disabled = !has;
  }

  words() {
    this.said = performance.now();
    this.told = this.screen.shown;
    const { answer } = this.screen.shown ?? {}, said = followed(answer ?? null, this.pin, this.detects);
    find(this.root, ".follows").textContent = said;
    this.answers.show(answer ?? null);
    this.canvas.setAttribute("aria-label", `${this.kind === "camera" ? "The camera" : "The clip"} with its map. ${said}`);
    const read = this.pace.read(performance.now());
    if (this.frozen) find(this.root, ".speed").textContent = "Frozen: this frame stays until you go on.";
    else if (read) {
      const skipped = this.dropped ? ` · ${this.dropped} skipped` : "";
      find(this.root, ".speed").textContent = `${Math.round(read.rate)} frames/s · ${Math.round(read.latency)} ms behind the ${this.kind}${skipped}`;
    }
  }

  /** Show what is wrong, if anything is: the connection first. */
  notice() {
    const words = this.linkWords || this.sourceWords, notice = find(this.root, ".notice"), again = find(notice, ".again");
    find(notice, ".words").textContent = words;
    notice.hidden = !words;
    again.hidden = this.linkWords ? !["waiting", "ended"].includes(this.root.dataset.state ?? "") : !this.retry;
    again.textContent = this.linkWords ? "Try now" : "Try again";
  }

  /** Say something for a while. @param {string} sentence @param {number} [ms] */
  say(sentence, ms = SHORT) {
    this.sourceWords = sentence;
    this.notice();
    setTimeout(() => {
      if (this.sourceWords !== sentence) return;
      this.sourceWords = "";
      this.retry = false;
      this.notice();
    }, ms);
  }

  // What a person does.

  /** @param {Partial<Style>} changes @param {boolean} [done] the hand let go */
  set(changes, done = true) {
    Object.assign(this.settings, changes);
    if (done) keep(sessionStorage, this.settings);
    showButtons(this);
    this.redraw();
  }

  /** @param {boolean} frozen */
  freeze(frozen) {
    this.frozen = frozen && Boolean(this.screen.shown?.answer);
    this.pace.reset();
    showButtons(this);
    this.words();
    if (!this.frozen) this.pump();
  }

  /** Hold the plain frame. @param {boolean} held */
  hold(held) {
    if (this.held === held) return;
    this.held = held;
    this.redraw();
  }

  /** Hand Python the frame on the screen. @param {"open"|"snapshot"} act */
  async hand(act) {
    const shown = this.screen.shown;
    if (!shown?.answer || !shown.taken.jpeg) return;
    if (act === "open") this.freeze(true);
    if (act === "snapshot" && !this.head?.saves) {
      this.canvas.toBlob((blob) => blob && download(blob, named("heatmap", new Date(), "jpg")), "image/jpeg", 0.95);
      return;
    }
    const { head } = shown.answer, { mode, alpha, threshold, colormap } = this.settings;
    const text = await base64(new Blob([shown.taken.jpeg]));
    const box = head.place === null ? null : head.answers[head.place];
    const picture = act === "snapshot" ? await base64(await asJpeg(this.canvas)) : "";
    const target = { label: head.map?.label ?? null, box };
    this.send("frame", { act, jpeg: text, picture, ...target, view: { mode, alpha, threshold, colormap }, at: Date.now() });
  }

  record() {
    if (this.recorder.on) this.recorder.stop();
    else this.recorder.start(this.canvas);
    showButtons(this);
  }

  /** @param {MouseEvent} event */
  click({ offsetX, offsetY }) {
    const { answer, taken } = this.screen.shown ?? {}, { clientWidth, clientHeight } = this.canvas;
    if (!answer || !taken || !this.detects) return;
    const { width, height } = taken.pixels, place = boxAt(answer, (offsetX / clientWidth) * width, (offsetY / clientHeight) * height);
    if (place === null) this.follows(null);
    else this.follow(place);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { target, key } = event, modes = CHOICES.mode, typing = target instanceof HTMLInputElement && target.type === "search";
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const onButton = target instanceof HTMLElement && Boolean(target.closest("button:not(.original), select"));
    if (key === " " && !onButton) this.hold(true);
    else if (key === "f") this.freeze(!this.frozen);
    else if (key === "s") void this.hand("snapshot");
    else if (key === "r" && !find(this.root, ".record").disabled) this.record();
    else if (key === "c") this.set({ mode: modes[(modes.indexOf(this.settings.mode) + 1) % modes.length] });
    else return;
    event.preventDefault();
  }
}

export default component(".live", (root, gone) => {
  const live = new Live(root, gone);
  return (given) => void live.show(/** @type {{data: Uint8Array, setTriggerValue: Send, parentElement: HTMLElement}} */ (given));
});
