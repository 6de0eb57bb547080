// On a first visit a ghost pointer covers the strongest place once, so that people see that a hand can.

import { placer } from "../../browser/geometry.js";
import { DISC } from "./touch.js";

const SEEN = "sightglass.covered";
/** Milliseconds that the page has to come to rest, and that the ghost takes. */
const WAIT_MS = 1500;
const SHOW_MS = 3000;
/** Share of that time in which it comes to the place, and of the way to the corner from where it does. */
const COMES = 0.5;
const FROM = 0.2;
/** What a person does instead. */
const ACTS = ["pointerdown", "keydown", "wheel"];

/** Whether this browser has shown it, or cannot remember that. */
function wasSeen() {
  try {
    return localStorage.getItem(SEEN) !== null;
  } catch {
    return true;
  }
}

/** Return the original's point where a map is strongest. @param {import("../../browser/sample.js").Grid} grid */
export function strongest({ values, w, h, extent: [x0, y0, x1, y1] }) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return [x0 + (((best % w) + 0.5) / w) * (x1 - x0), y0 + ((Math.floor(best / w) + 0.5) / h) * (y1 - y0)];
}

/**
 * Return where the ghost begins and ends, in original pixels: the disc covers only what the model saw, where it fits.
 * @param {{own: import("../../browser/sample.js").Grid, seen: number[]}} map @param {number[]} size of the picture
 */
export function wayOf({ own, seen }, size) {
  const margin = (DISC / 2) * Math.min(...size);
  const inside = (/** @type {number} */ place, /** @type {number} */ i) => {
    const low = seen[i] + margin;
    const high = seen[i + 2] - margin;
    return low < high ? Math.min(high, Math.max(low, place)) : (low + high) / 2;
  };
  const to = strongest(own).map(inside);
  return [to.map((end, i) => inside(end + FROM * (seen[i + 2] - end), i)), to];
}

export class Ghost {
  #pointer = Object.assign(document.createElement("i"), { className: "finger" });
  #timer = 0;
  /** When it came; 0: it is not there. */
  #began = 0;

  /** @param {import("./viewer.js").Viewer} viewer @param {AbortSignal} signal */
  constructor(viewer, signal) {
    this.viewer = viewer;
    this.signal = signal;
    for (const act of ACTS) window.addEventListener(act, () => this.#leave(), { signal, capture: true, passive: true });
    signal.addEventListener("abort", () => clearTimeout(this.#timer));
  }

  /** Have it come once the page is at rest. */
  invite() {
    clearTimeout(this.#timer);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (still || this.#began || !this.viewer.state.head.touch || wasSeen()) return;
    this.#timer = window.setTimeout(() => this.#come(), WAIT_MS);
  }

  #come() {
    const { viewer: { state, touch } } = this, panel = state.panels.find(({ canvas }) => touch.offered(/** @type {Element} */ (canvas.parentElement)));
    const map = state.panels.map((each) => state.mapOf(each)).find((each) => each?.kind === "heat");
    if (!panel || !map || state.cover || document.hidden) return;
    localStorage.setItem(SEEN, "1");
    this.#began = performance.now();
    panel.canvas.parentElement?.append(this.#pointer);
    const [from, to] = wayOf(map, state.head.size);
    touch.begin(from);
    const step = () => {
      const share = (performance.now() - this.#began) / SHOW_MS;
      if (!this.#began || this.signal.aborted) return;
      if (share >= 1) return this.#leave();
      const way = Math.min(1, share / COMES), at = from.map((start, i) => start + way * (to[i] - start));
      const { X, Y } = placer(state.visible(), panel.width, panel.height);
      this.#pointer.style.transform = `translate(${X(at[0])}px, ${Y(at[1])}px)`;
      if (way < 1) touch.move(at);
      requestAnimationFrame(step);
    };
    step();
  }

  #leave() {
    clearTimeout(this.#timer);
    if (!this.#began) return;
    this.#began = 0;
    this.#pointer.remove();
    this.viewer.touch.clear();
  }
}
