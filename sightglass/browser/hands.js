// Fingers, mouse, pen and arrow keys that draw on a canvas.

import { fractionOf } from "./component.js";

const WAIT_MS = 150;
/** Milliseconds after which a reply will not come any more. */
const LOST_MS = 3_000;

/** @typedef {{after: (ms: number, call: () => void) => void, now: () => number}} Clock */

/** @type {Clock} */
export const BROWSER = {
  after: (ms, call) => void setTimeout(call, ms),
  now: () => performance.now(),
};

/**
 * Send Python a drawing while it is drawn: soon, not at every point, and never while it still works on the last one.
 * @param {(turn: number) => void} send
 * @param {Clock} clock
 * @param {number} turn  number of the last drawing that Python has
 * @param {number} [wait]  milliseconds from a change until it is sent
 * @param {number} [lost]  milliseconds that a reply may take
 */
export function post(send, clock, turn, wait = WAIT_MS, lost = LOST_MS) {
  let changed = false, waiting = false, awaited = 0, since = 0;

  function later() {
    if (waiting) return;
    waiting = true;
    clock.after(wait, () => {
      waiting = false;
      go();
    });
  }

  function go() {
    if (!changed) return;
    // A reply that never comes (a lost connection, an error) must not block the pen for good.
    if (awaited && clock.now() - since < lost) return later();
    changed = false;
    turn += 1;
    [awaited, since] = [turn, clock.now()];
    send(turn);
  }

  return {
    touch() {
      changed = true;
      later();
    },
    /** Send what has changed at once: a stroke is finished. */
    flush: go,
    /** Take note that Python has shown this one. @param {number} shown */
    heard(shown) {
      turn = Math.max(turn, shown);
      if (shown < awaited) return;
      awaited = 0;
      if (changed) later();
    },
  };
}

/** A value whose changes can be undone. @template Value */
export class Steps {
  /** @type {Value[]} */
  #before = [];
  /** @type {Value[]} */
  #after = [];

  /** @param {Value} value */
  constructor(value) {
    this.value = value;
  }

  get back() {
    return this.#before.length;
  }

  get forth() {
    return this.#after.length;
  }

  /** @param {Value} value */
  set(value) {
    this.#before.push(this.value);
    this.#after.length = 0;
    this.value = value;
  }

  /** Return whether there was anything to undo. */
  undo() {
    return this.#travel(this.#before, this.#after);
  }

  redo() {
    return this.#travel(this.#after, this.#before);
  }

  /** @param {Value[]} from @param {Value[]} to */
  #travel(from, to) {
    const next = from.pop();
    if (next === undefined) return false;
    to.push(this.value);
    this.value = next;
    return true;
  }
}

/** @typedef {[number, number]} Place  in shares of the canvas */

/**
 * Tell where fingers, mouse and pen draw. The page may scroll meanwhile: places are in the canvas as it was at first.
 * @param {HTMLCanvasElement} canvas @param {{begin: (hand: number, at: Place, event: PointerEvent) => void,
 *   move: (hand: number, places: Place[]) => void, end: (hand: number) => void}} on
 * @param {number} most hands at once @param {AbortSignal} signal
 */
export function wireHands(canvas, on, most, signal) {
  /** @type {Map<number, DOMRect>} */
  const boxes = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    if ((event.pointerType === "mouse" && event.button !== 0) || boxes.size >= most) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    const box = canvas.getBoundingClientRect();
    boxes.set(event.pointerId, box);
    on.begin(event.pointerId, fractionOf(box, event), event);
  }, { signal });
  canvas.addEventListener("pointermove", (event) => {
    const box = boxes.get(event.pointerId), all = event.getCoalescedEvents?.() ?? [];
    if (box) on.move(event.pointerId, (all.length ? all : [event]).map((one) => fractionOf(box, one)));
  }, { signal });
  for (const name of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
    canvas.addEventListener(name, ({ pointerId }) => boxes.delete(pointerId) && on.end(pointerId), { signal });
  }
}

/** The pen that arrow keys move, in shares of the canvas. */
export class KeyPen {
  x = 0.5;
  y = 0.5;
  shown = false;

  /** @param {[number, number]} arrow @param {boolean} far */
  move([x, y], far) {
    const by = far ? 0.1 : 0.02;
    this.x = Math.min(1, Math.max(0, this.x + x * by));
    this.y = Math.min(1, Math.max(0, this.y + y * by));
    this.shown = true;
  }
}
