// Take frames, send them to the model, and show each with its answer.

import { hiddenContext, resize } from "../../browser/canvas.js";
import { broadcast } from "../../browser/component.js";
import { unpack } from "../../browser/unpack.js";

/** Frames on their way: one that the model works on, the next, and one that is being encoded. */
const MAX_FRAMES = 3;
/** Bytes that may wait in the browser to be sent. */
const MAX_WAITING = 256 * 1024;
/** Milliseconds without an answer to a frame after which the connection is given up. */
const STALLED = 8_000;
const FIRST_RETRY = 500;
const LONGEST_RETRY = 8_000;

/**
 * @typedef {{label: string, index: number, score: number, box?: number[], marks?: import("../viewer/marks.js").Mark[]}} Said
 * @typedef {import("./screen.js").RawHead & {label: string, score: number, state: string, extent: number[], seen: number[]}} Mapped
 * @typedef {{n: number, problem: string, dropped: number, ms: Record<string, number>, size: number[], answers: Said[],
 *   map: Mapped|null, place: number|null, lost: boolean}} AnswerHead
 * @typedef {{head: AnswerHead, blobs: Uint8Array[]}} Answer
 * @typedef {{type: string, sentence?: string, fatal?: boolean, [more: string]: unknown}} Note
 * @typedef {"connecting"|"loading"|"ready"|"waiting"|"ended"} State  waiting: to connect again; ended: refused
 * @typedef {{now: () => number, after: (ms: number, call: () => void) => unknown, cancel: (timer: unknown) => void}} Clock
 * @typedef {{state: (state: State, sentence: string) => void, note: (note: Note) => void, answer: (answer: Answer) => void}} Ears
 */

/** @type {Clock} */
const CLOCK = {
  now: () => performance.now(),
  after: (ms, call) => setTimeout(call, ms),
  cancel: (timer) => clearTimeout(/** @type {number} */ (timer)),
};

export class Link {
  /** @type {WebSocket|null} */
  #socket = null;
  /** @type {object|null} */
  #choice = null;
  /** @type {object|null} */
  #pin = null;
  /** @type {Set<number>} numbers of frames without an answer */
  #open = new Set();
  #number = 0;
  #retry = FIRST_RETRY;
  #ready = false;
  #ended = false;
  #heard = 0;
  /** @type {unknown} */
  #timer = null;
  /** @type {unknown} */
  #watch = null;

  /** @param {() => WebSocket} connect @param {Ears} on @param {Clock} [clock] */
  constructor(connect, on, clock = CLOCK) {
    this.connect = connect;
    this.on = on;
    this.clock = clock;
  }

  /** Connect, now. */
  start() {
    this.clock.cancel(this.#timer);
    this.#drop();
    this.#ended = false;
    this.on.state("connecting", "");
    const socket = (this.#socket = this.connect());
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      this.#loading();
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket === this.#socket) this.#hear(data);
    });
    socket.addEventListener("close", () => {
      if (socket === this.#socket && !this.#ended) this.#lost("The server does not answer");
    });
  }

  /** Leave for good. */
  stop() {
    this.clock.cancel(this.#timer);
    this.#ended = true;
    this.#drop();
  }

  /** Look with another model, method or options. @param {object} choice */
  choose(choice) {
    this.#choice = choice;
    if (this.#socket?.readyState === 1) this.#loading();
  }

  /** Follow a class or an object; null: whatever the model says first. @param {object|null} pin */
  pin(pin) {
    this.#pin = pin;
    if (this.#ready) this.#send(JSON.stringify({ type: "pin", pin }));
  }

  /** Whether a frame would be taken now. */
  room() {
    const { bufferedAmount = 0 } = this.#socket ?? {};
    return this.#ready && this.#open.size < MAX_FRAMES && bufferedAmount < MAX_WAITING;
  }

  /** Number of frames that are on their way. */
  get pending() {
    return this.#open.size;
  }

  /** Reserve room for a frame that is being encoded; return its number. */
  reserve() {
    this.#open.add(++this.#number);
    return this.#number;
  }

  /** Send a frame that has its room; null gives the room back. @param {number} number @param {ArrayBuffer|null} jpeg */
  frame(number, jpeg) {
    // The connection it was meant for may be gone.
    if (!this.#open.has(number)) return;
    if (!jpeg || !this.#ready) {
      this.#open.delete(number);
      return;
    }
    const message = new Uint8Array(8 + jpeg.byteLength);
    message.set([83, 71, 70, 49]); // SGF1
    new DataView(message.buffer).setUint32(4, number, true);
    message.set(new Uint8Array(jpeg), 8);
    if (this.#open.size === 1) this.#heard = this.clock.now();
    this.#send(message.buffer);
  }

  /** The page was asleep: what was not heard meanwhile says nothing. */
  woke() {
    this.#heard = this.clock.now();
  }

  #loading() {
    this.#ready = false;
    this.#open.clear();
    if (!this.#choice) return;
    this.on.state("loading", "Loading the model…");
    this.#send(JSON.stringify({ type: "choose", ...this.#choice }));
  }

  /** @param {string|ArrayBuffer} data */
  #send(data) {
    if (this.#socket?.readyState === 1) this.#socket.send(data);
  }

  /** @param {string|ArrayBuffer} data */
  #hear(data) {
    this.#heard = this.clock.now();
    if (typeof data === "string") return this.#read(JSON.parse(data));
    const answer = /** @type {Answer} */ (unpack(new Uint8Array(data)));
    for (const number of this.#open) if (number <= answer.head.n) this.#open.delete(number);
    if (this.#ready) this.on.answer(answer);
  }

  /** @param {Note} note */
  #read(note) {
    if (note.type === "ready") {
      this.#ready = true;
      this.#retry = FIRST_RETRY;
      if (this.#pin) this.pin(this.#pin);
      this.clock.cancel(this.#watch);
      this.#guard();
      this.on.state("ready", "");
    } else if (note.type === "problem") {
      if (note.fatal) {
        this.#ended = true;
        this.#drop();
      }
      this.on.state("ended", note.sentence ?? "");
    }
    this.on.note(note);
  }

  /** Look now and then whether frames are still answered. */
  #guard() {
    this.#watch = this.clock.after(1000, () => {
      if (!this.#ready) return;
      if (this.#open.size && this.clock.now() - this.#heard > STALLED) this.#lost("The network or the server is stuck");
      else this.#guard();
    });
  }

  /** @param {string} what happened */
  #lost(what) {
    this.#drop();
    const ms = this.#retry;
    this.#retry = Math.min(LONGEST_RETRY, 2 * ms);
    this.on.state("waiting", `${what}: trying again in ${Math.ceil(ms / 1000)} s.`);
    this.#timer = this.clock.after(ms, () => this.start());
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    this.#open.clear();
    this.clock.cancel(this.#watch);
    socket?.close();
  }
}

/** Milliseconds that a frame should wait at the server, or the share of the time between two answers, if that is longer. */
const SPARE = 6;
const SHARE = 0.25;
const LONGEST = 1000;
/** Milliseconds by which a frame that was dropped was too early, about. */
const WASTED = 30;
/** Milliseconds over which speed and delay are counted. */
const WINDOW = 3000;

export class Pace {
  /** Milliseconds from an answer until the next frame is taken. */
  delay = 0;
  /** @type {{at: number, latency: number}[]} */
  #shown = [];
  /** Milliseconds from answer to answer, about. */
  #period = 0;
  #last = 0;

  /**
   * Note how long a frame waited at the server: the next one is taken so much later, so that it is that much fresher.
   * Not so late that it misses its turn: the more seldom that comes, the worse.
   * @param {number} waited milliseconds @param {number} [dropped] frames that came too early for the server
   * @param {number} [now] when the answer came
   */
  waited(waited, dropped = 0, now = 0) {
    if (this.#last) this.#period += 0.1 * (Math.min(LONGEST, now - this.#last) - this.#period);
    this.#last = now;
    const late = waited - Math.max(SPARE, SHARE * this.#period) + Math.min(dropped, 1) * WASTED;
    this.delay = Math.min(LONGEST, Math.max(0, this.delay + (late > 0 ? 0.3 : 0.6) * late));
  }

  /** Note that a frame is on the screen. @param {number} now @param {number} latency milliseconds since it was taken */
  shown(now, latency) {
    this.#shown.push({ at: now, latency });
    while (this.#shown[0].at < now - WINDOW) this.#shown.shift();
  }

  /** Begin to count anew. */
  reset() {
    this.delay = 0;
    this.#shown = [];
  }

  /** Return frames a second and the median delay; null before there are three. @param {number} now */
  read(now) {
    const recent = this.#shown.filter(({ at }) => at >= now - WINDOW), count = recent.length;
    if (count < 3) return null;
    const latencies = recent.map(({ latency }) => latency).sort((a, b) => a - b);
    const seconds = Math.max(now - recent[0].at, 1) / 1000;
    return { rate: (count - 1) / seconds, latency: latencies[Math.floor(count / 2)] };
  }
}

const WORK = `
const canvas = new OffscreenCanvas(1, 1), context = canvas.getContext("2d", { willReadFrequently: true });
onmessage = async ({ data: { number, width, height, pixels, quality } }) => {
  let jpeg = null;
  try {
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.putImageData(new ImageData(new Uint8ClampedArray(pixels), width, height), 0, 0);
    jpeg = await (await canvas.convertToBlob({ type: "image/jpeg", quality })).arrayBuffer();
  } catch {}
  postMessage({ number, jpeg }, jpeg ? [jpeg] : []);
};`;

export class Encoder {
  #address = URL.createObjectURL(new Blob([WORK], { type: "text/javascript" }));
  #worker = new Worker(this.#address);

  /** @param {(number: number, jpeg: ArrayBuffer|null) => void} done */
  constructor(done) {
    this.#worker.addEventListener("message", ({ data: { number, jpeg } }) => done(number, jpeg));
  }

  /** @param {number} number @param {ImageData} frame @param {number} quality 0..1 */
  encode(number, { width, height, data }, quality) {
    const pixels = data.slice().buffer;
    this.#worker.postMessage({ number, width, height, pixels, quality }, [pixels]);
  }

  stop() {
    this.#worker.terminate();
    URL.revokeObjectURL(this.#address);
  }
}

/** @typedef {import("./screen.js").Taken} Taken */

const QUALITY = 0.88;

export class Loop {
  pace = new Pace();
  /** Frames that the server dropped since it was connected. */
  dropped = 0;
  /** @type {Map<number, Taken>} frames that are on their way */
  #taken = new Map();
  #grab = hiddenContext(1, 1, true);
  #encoder = new Encoder((number, jpeg) => this.#send(number, jpeg));
  /** Whether the model has nothing to do between two frames. */
  #idle = false;
  #answered = 0;
  #timer = 0;

  /** @param {import("./live.js").Live} live */
  constructor(live) {
    this.live = live;
    this.link = new Link(() => this.#connect(), {
      state: (state, sentence) => this.#connected(state, sentence),
      note: (note) => note.type === "ready" && live.following.load(note),
      answer: (answer) => this.#answer(answer),
    });
    live.signal.addEventListener("abort", () => {
      clearTimeout(this.#timer);
      this.link.stop();
      this.#encoder.stop();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.link.woke();
      this.restart();
    }, { signal: live.signal });
  }

  #connect() {
    const url = new URL("api/live", location.href.replace(/[?#].*/, ""));
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return new WebSocket(url, ["sightglass.live"]);
  }

  /** @param {string} state @param {string} sentence */
  #connected(state, sentence) {
    this.live.root.dataset.state = state;
    this.#taken.clear();
    this.live.notice.connect(sentence);
    if (state !== "ready") return;
    this.dropped = 0;
    this.#pump();
  }

  /** Go on, and count speed and delay anew. */
  restart() {
    this.pace.reset();
    this.#pump();
  }

  /** Take a frame where there is room for one, now or as soon as there is a new one. */
  #pump() {
    const { frozen, sources: { current } } = this.live;
    clearTimeout(this.#timer);
    if (frozen || document.hidden || !current || !this.link.room()) return;
    if (current.fresh(performance.now())) this.#take(current);
    else this.#pumpAfter(4);
  }

  /** @param {number} ms */
  #pumpAfter(ms) {
    this.#timer = window.setTimeout(() => this.#pump(), ms);
  }

  /** @param {import("./source.js").Source} source */
  #take(source) {
    const start = performance.now(), [width, height] = source.size, grab = this.#grab;
    resize(grab.canvas, width, height);
    const taken = source.draw(grab, start), pixels = grab.getImageData(0, 0, width, height);
    const number = this.link.reserve(), began = performance.now();
    this.#taken.set(number, { pixels, jpeg: null, taken, began, ms: { grab: began - start, encode: 0 } });
    this.#encoder.encode(number, pixels, QUALITY);
    // One more than is answered, where the model has nothing to do between two frames.
    if (!this.#idle) return;
    this.#idle = false;
    this.#pump();
  }

  /** @param {number} number @param {ArrayBuffer|null} jpeg */
  #send(number, jpeg) {
    const frame = this.#taken.get(number);
    if (frame) {
      frame.ms.encode = performance.now() - frame.began;
      frame.jpeg = jpeg;
    }
    this.link.frame(number, jpeg);
  }

  /** @param {Answer} answer */
  #answer(answer) {
    const { n, ms, problem, dropped, lost } = answer.head, frame = this.#taken.get(n), { live, pace } = this;
    for (const number of this.#taken.keys()) if (number <= n) this.#taken.delete(number);
    pace.waited(ms.wait, dropped - this.dropped, performance.now());
    this.dropped = dropped;
    // Dropped frames leave too few on their way.
    const starving = !this.link.pending;
    this.#idle = starving || (pace.delay === 0 && ms.wait < 1);
    clearTimeout(this.#timer);
    if (pace.delay > 1 && !starving) this.#pumpAfter(pace.delay);
    else this.#pump();
    if (live.frozen || !frame) return;
    live.notice.connect(problem);
    if (problem) return;
    if (lost) live.following.set(null);
    const start = performance.now();
    live.screen.take(frame, answer);
    live.redraw();
    const now = performance.now();
    pace.shown(now, now - frame.taken);
    live.root.dataset.shown = String(++this.#answered);
    live.answers.update(now);
    broadcast("frame", { taken: frame.taken, ms: { ...frame.ms, ...ms, draw: performance.now() - start } });
  }
}
