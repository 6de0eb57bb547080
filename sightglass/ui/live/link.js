// The connection to the model: frames go out, answers come back, and it is made again where it is lost.

import { unpack } from "../../browser/unpack.js";

/** Frames on their way: one that the model works on, and the next. */
const MAX_FRAMES = 2;
const FIRST_RETRY = 500;
const LONGEST_RETRY = 8_000;

/**
 * @typedef {{label: string, index: number, score: number, box?: number[], anchor?: number, marks?: import("../viewer/marks.js").Mark[]}} FrameAnswer
 * @typedef {{label: string, score: number, sure: boolean, state: string, shape: number[], grid: number[], extent: number[], seen: number[]}} FrameMap
 *   shape: rows and columns of the map; grid: those of its cells, or of its values, which come with it
 * @typedef {{n: number, problem: string, dropped: number, ms: Record<string, number>, size: number[], answers: FrameAnswer[],
 *   map: FrameMap|null, place: number|null, lost: boolean}} AnswerHead
 * @typedef {{head: AnswerHead, blobs: Uint8Array[]}} Answer
 * @typedef {{type: string, sentence?: string, fatal?: boolean, [more: string]: unknown}} Note
 * @typedef {(ms: number, call: () => void) => void} After @typedef {import("./live.js").Capture} Capture
 * @typedef {{say: (sentence: string) => void, ready: (note: Note) => void, answer: (answer: Answer, capture?: Capture|null) => void}} Listeners
 */

export class Link {
  /** @type {WebSocket|null} */
  #socket = null;
  /** @type {object|null} */
  #choice = null;
  /** @type {object|null} */
  #pin = null;
  /** Frames without an answer, by number; null while one is encoded. @type {Map<number, Capture|null>} */
  #open = new Map();
  #number = 0;
  #retry = FIRST_RETRY;
  #ready = false;
  #ended = false;

  /** @param {() => WebSocket} connect @param {Listeners} listeners @param {After} [after] */
  constructor(connect, listeners, after = (ms, call) => void setTimeout(call, ms)) {
    this.connect = connect;
    this.listeners = listeners;
    this.after = after;
  }

  start() {
    if (this.#ended) return;
    const socket = (this.#socket = this.connect());
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => socket === this.#socket && this.#load());
    socket.addEventListener("message", ({ data }) => socket === this.#socket && this.#hear(data));
    socket.addEventListener("close", () => socket === this.#socket && this.#lost());
  }

  /** Leave for good. */
  stop() {
    this.#ended = true;
    this.#drop();
  }

  /** Use another model, method or options. @param {object} choice */
  choose(choice) {
    this.#choice = choice;
    this.#load();
  }

  /** Follow a class or an object; null: whatever the model says first. @param {object|null} pin */
  pin(pin) {
    this.#pin = pin;
    if (this.#ready) this.#send(JSON.stringify({ type: "pin", pin }));
  }

  /** Whether a frame would be taken now. */
  hasRoom() {
    return this.#ready && this.#open.size < MAX_FRAMES;
  }

  /** Reserve room for a frame that is being encoded; return its number. */
  reserve() {
    this.#open.set(++this.#number, null);
    return this.#number;
  }

  /** Send a frame that has its room. @param {number} number @param {ArrayBuffer} jpeg @param {Capture|null} [capture] what its answer comes with */
  frame(number, jpeg, capture = null) {
    // The connection it was meant for may be gone.
    if (!this.#open.has(number)) return;
    this.#open.set(number, capture);
    const message = new Uint8Array(8 + jpeg.byteLength);
    message.set([83, 71, 70, 49]); // SGF1
    new DataView(message.buffer).setUint32(4, number, true);
    message.set(new Uint8Array(jpeg), 8);
    this.#send(message.buffer);
  }

  #load() {
    if (this.#socket?.readyState !== 1) return;
    this.#ready = false;
    this.#open.clear();
    this.listeners.say("Loading the model…");
    this.#send(JSON.stringify({ type: "choose", ...this.#choice }));
  }

  /** @param {string|ArrayBuffer} data */
  #send(data) {
    if (this.#socket?.readyState === 1) this.#socket.send(data);
  }

  /** @param {string|ArrayBuffer} data */
  #hear(data) {
    if (typeof data === "string") return this.#read(JSON.parse(data));
    const answer = /** @type {Answer} */ (unpack(new Uint8Array(data)));
    const capture = this.#open.get(answer.head.n);
    for (const number of this.#open.keys()) if (number <= answer.head.n) this.#open.delete(number);
    if (this.#ready) this.listeners.answer(answer, capture);
  }

  /** @param {Note} note */
  #read(note) {
    if (note.type === "ready") {
      this.#ready = true;
      this.#retry = FIRST_RETRY;
      if (this.#pin) this.pin(this.#pin);
      this.listeners.say("");
      this.listeners.ready(note);
    } else if (note.type === "problem") {
      if (note.fatal) this.stop();
      this.listeners.say(note.sentence ?? "");
    }
  }

  #lost() {
    this.#drop();
    this.listeners.say(`The server does not answer: trying again in ${Math.ceil(this.#retry / 1000)} s.`);
    this.after(this.#retry, () => this.start());
    this.#retry = Math.min(LONGEST_RETRY, 2 * this.#retry);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    this.#open.clear();
    socket?.close();
  }
}
