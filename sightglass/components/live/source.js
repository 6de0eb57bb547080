// Where frames come from: this device's camera, or a clip of pictures in motion that needs no camera.

import { find, keepStored, stored } from "../../browser/component.js";
import { reduced } from "../../browser/geometry.js";

/** Milliseconds for which a sentence stays. */
const SHORT_MS = 6_000;

export class Notice {
  /** What is wrong with the connection: it is shown first. */
  connection = "";
  #sentence = "";
  #retry = false;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
  }

  #show() {
    const { root, connection } = this, words = connection || this.#sentence, again = find(root, ".again");
    find(root, ".notice .words").textContent = words;
    find(root, ".notice").hidden = !words;
    again.hidden = connection ? !["waiting", "ended"].includes(root.dataset.state ?? "") : !this.#retry;
    again.textContent = connection ? "Try now" : "Try again";
  }

  /** @param {string} sentence empty where nothing is wrong with the connection */
  connect(sentence) {
    if (!sentence && !this.connection) return;
    this.connection = sentence;
    this.#show();
  }

  /**
   * Say something of the camera, or of what was done.
   * @param {string} sentence @param {number} [ms] for which it stays; 0: until the next one @param {boolean} [retry] whether to offer the camera again
   */
  say(sentence, ms = SHORT_MS, retry = false) {
    [this.#sentence, this.#retry] = [sentence, retry];
    this.#show();
    if (ms) setTimeout(() => this.#sentence === sentence && this.say("", 0), ms);
  }
}

/** @typedef {{draw: (context: CanvasRenderingContext2D, now: number) => number, size: number[], fresh: (now: number) => boolean, stop: () => void}} Source
 *   draw: fill the context's canvas, of this `size`, with the frame of now, and return when the camera took it; fresh: whether
 *   there is one that was not drawn yet */

/** Pixels of a frame's longer side, and the camera's frames that are asked for: what a model sees is smaller still. */
const SIDE = 640;
const WISHED = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
const CLIP_SIZE = [640, 480];
const CLIP_RATE = 30;
/** Seconds that the clip shows a picture, and of these it fades into the next. */
const TURN = 8;
const FADE = 0.8;
const CHOSEN = "sightglass.live";
/** Milliseconds for which it says why there is no camera. */
const REASON_MS = 20_000;

/** Return why there is no picture from the camera, and the way on. @param {string} name of the error */
export function reason(name) {
  if (name === "NotAllowedError") return "The browser denied access to the camera: allow it in the address bar, then choose Camera again.";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "This device has no camera: the clip plays instead.";
  if (name === "NotReadableError" || name === "AbortError") return "Another program is using the camera: close it, then choose Camera again.";
  if (name === "ended") return "The camera was disconnected: plug it in, then choose Camera again.";
  if (name === "insecure") return "Browsers open the camera only for https and localhost: the clip plays instead.";
  return "The camera could not be opened: the clip plays instead.";
}

/**
 * Open the camera. Throws an error whose name `reason` knows.
 * @param {HTMLVideoElement} video @param {() => void} ended called when it is pulled out @returns {Promise<Source>}
 */
export async function camera(video, ended) {
  if (!navigator.mediaDevices) throw Object.assign(new Error(), { name: "insecure" });
  const stream = await navigator.mediaDevices.getUserMedia({ video: WISHED, audio: false });
  let fresh = false, stopped = false, captured = 0;
  const stop = () => {
    stopped = true;
    for (const track of stream.getTracks()) track.stop();
    if (video.srcObject === stream) video.srcObject = null;
  };
  for (const track of stream.getTracks()) track.addEventListener("ended", () => !stopped && ended());
  try {
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    stop();
    throw error;
  }
  const arrived = (/** @type {number} */ now, /** @type {VideoFrameCallbackMetadata} */ { captureTime }) => {
    fresh = true;
    captured = captureTime ?? now;
    if (!stopped) video.requestVideoFrameCallback(arrived);
  };
  video.requestVideoFrameCallback(arrived);
  return {
    get size() {
      return reduced([video.videoWidth, video.videoHeight], SIDE);
    },
    fresh: () => fresh && video.readyState >= 2,
    draw(context) {
      fresh = false;
      context.drawImage(video, 0, 0, context.canvas.width, context.canvas.height);
      return captured;
    },
    stop,
  };
}

/**
 * Return which part of a picture the clip shows at a time: it wanders over the picture and comes closer.
 * @param {number} seconds @param {number} width @param {number} height @returns {number[]} x, y, width and height in its pixels
 */
export function windowAt(seconds, width, height) {
  const aspect = CLIP_SIZE[0] / CLIP_SIZE[1], wide = Math.min(width, height * aspect);
  const share = 0.86 - 0.12 * Math.cos((2 * Math.PI * seconds) / TURN), w = wide * share, h = w / aspect;
  const across = 0.5 + 0.5 * Math.sin((2 * Math.PI * seconds) / (TURN * 0.83)), down = 0.5 + 0.5 * Math.cos((2 * Math.PI * seconds) / (TURN * 1.31));
  return [(width - w) * across, (height - h) * down, w, h];
}

/** Play pictures in motion, one after another, without end. @param {ImageBitmap[]} stills @returns {Source} */
export function clip(stills) {
  const [width, height] = CLIP_SIZE;
  let last = -1;
  const tick = (/** @type {number} */ now) => Math.floor((now / 1000) * CLIP_RATE);
  const put = (/** @type {CanvasRenderingContext2D} */ context, /** @type {ImageBitmap} */ still, /** @type {number} */ seconds) => {
    const [x, y, w, h] = windowAt(seconds, still.width, still.height);
    context.drawImage(still, x, y, w, h, 0, 0, width, height);
  };
  return {
    size: CLIP_SIZE,
    fresh: (now) => tick(now) !== last,
    draw(context, now) {
      last = tick(now);
      const seconds = last / CLIP_RATE, turn = Math.floor(seconds / TURN), rest = seconds % TURN;
      put(context, stills[turn % stills.length], seconds);
      if (stills.length < 2 || rest < TURN - FADE) return now;
      context.globalAlpha = (rest - TURN + FADE) / FADE;
      put(context, stills[(turn + 1) % stills.length], seconds);
      context.globalAlpha = 1;
      return now;
    },
    stop: () => {},
  };
}

/** The source that a person chose. */
export class Sources {
  /** @type {"clip"|"camera"} */
  kind = "clip";
  /** @type {Source|null} */
  current = null;
  /** @type {Source|null} */
  #clip = null;
  #turns = 0;

  /** @param {HTMLVideoElement} video @param {Notice} notice @param {() => void} changed @param {AbortSignal} signal */
  constructor(video, notice, changed, signal) {
    this.video = video;
    this.notice = notice;
    this.changed = changed;
    this.signal = signal;
    signal.addEventListener("abort", () => this.current?.stop());
  }

  /** Open a camera that was allowed before; at first the clip plays. */
  recall() {
    if (stored(sessionStorage, CHOSEN).source === "camera") void this.choose("camera");
  }

  /** @param {ImageBitmap[]} stills pictures of the clip */
  play(stills) {
    this.#clip = clip(stills);
    if (this.kind === "clip") this.#use(this.#clip);
  }

  /** @param {"clip"|"camera"} kind */
  async choose(kind) {
    const turn = ++this.#turns;
    this.kind = kind;
    keepStored(sessionStorage, CHOSEN, { source: kind });
    // Nobody shall take the clip for what the camera sees.
    this.#use(kind === "clip" ? this.#clip : null);
    this.notice.say(kind === "clip" ? "" : "Opening the camera…", 0);
    if (kind === "clip") return;
    try {
      const source = await camera(this.video, () => this.#without("ended"));
      if (turn !== this.#turns || this.signal.aborted) return source.stop();
      this.notice.say("", 0);
      this.#use(source);
    } catch (error) {
      if (turn === this.#turns) this.#without(error instanceof Error ? error.name : Object(error).name ?? "");
    }
  }

  /** Go on with the clip, and say why. @param {string} name of the error */
  #without(name) {
    void this.choose("clip");
    this.notice.say(reason(name), REASON_MS, true);
  }

  /** @param {Source|null} source */
  #use(source) {
    if (this.current !== source) this.current?.stop();
    this.current = source;
    this.changed();
  }
}
