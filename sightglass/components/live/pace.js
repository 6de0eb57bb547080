// When to take the next frame, and what is said of the speed.

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
