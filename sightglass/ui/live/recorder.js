// A clip from the camera, of some seconds at most.

/** Seconds of a clip, at most. */
const CLIP_SECONDS = 10;
const CLIP_BITS = 2_500_000;
const TICK_MS = 250;

export class Recorder {
  #recorder = /** @type {MediaRecorder|null} */ (null);
  #timer = 0;

  /** @param {(left: number|null) => void} tell  called with the seconds that are left; null once it has ended */
  constructor(tell) {
    this.tell = tell;
  }

  get isOn() {
    return this.#recorder !== null;
  }

  /** Record until it is stopped, or `CLIP_SECONDS` are over. @param {MediaStream} stream @param {(clip: Blob) => void} done */
  start(stream, done) {
    /** @type {Blob[]} */
    const parts = [];
    const recorder = (this.#recorder = new MediaRecorder(stream, { videoBitsPerSecond: CLIP_BITS }));
    recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
    recorder.addEventListener("stop", () => {
      const cancelled = recorder !== this.#recorder;
      this.#end();
      if (!cancelled) done(new Blob(parts, { type: recorder.mimeType }));
    });
    recorder.start();
    const ends = performance.now() + 1000 * CLIP_SECONDS;
    const tick = () => {
      const left = Math.ceil((ends - performance.now()) / 1000);
      if (left > 0) this.tell(left);
      else this.stop();
    };
    this.#timer = window.setInterval(tick, TICK_MS);
    tick();
  }

  stop() {
    clearInterval(this.#timer);
    if (this.#recorder?.state === "recording") this.#recorder.stop();
  }

  /** Stop, and forget what was recorded. */
  cancel() {
    const recorder = this.#recorder;
    this.#end();
    if (recorder?.state === "recording") recorder.stop();
  }

  #end() {
    clearInterval(this.#timer);
    this.#recorder = null;
    this.tell(null);
  }
}
