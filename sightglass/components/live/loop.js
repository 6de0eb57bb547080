// Take frames, send them to the model, and show each with its answer.

import { hiddenContext, resize } from "../../browser/canvas.js";
import { broadcast } from "../../browser/component.js";
import { Link } from "./link.js";

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

  /** @param {import("./link.js").Answer} answer */
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
