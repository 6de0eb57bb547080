// The WebSocket of one viewer: sends a frame only where there is room for one, and connects again when it is lost.

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
 * @typedef {{label: string, index: number, score: number, box?: number[], corners?: number[][]}} Said
 * @typedef {import("./raw_map.js").RawHead & {label: string, score: number, state: string, extent: number[], seen: number[]}} Mapped
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
