// A hand that draws on a canvas: finger, mouse, pen or arrow keys; and what it draws, sent to Python meanwhile.

import { fractionOf } from "./component.js";

/** Milliseconds after which a reply will not come any more. */
const LOST_MS = 3_000;

/**
 * Send Python a drawing while it is drawn: soon, not at every point, and never while it still works on the last one.
 * @param {(turn: number) => void} send
 * @param {number} turn  number of the last drawing that Python has
 * @param {number} wait  milliseconds from a change until it is sent
 */
export function post(send, turn, wait) {
  let changed = false, waiting = false, awaited = 0, since = 0;

  function later() {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      flush();
    }, wait);
  }

  function flush() {
    if (!changed) return;
    // A reply that never comes (a lost connection, an error) must not block the pen for good.
    if (awaited && performance.now() - since < LOST_MS) return later();
    changed = false;
    turn += 1;
    [awaited, since] = [turn, performance.now()];
    send(turn);
  }

  return {
    touch() {
      changed = true;
      later();
    },
    /** Send what has changed at once: a stroke is finished. */
    flush,
    /** Take note that Python has shown this one. @param {number} shown */
    heard(shown) {
      turn = Math.max(turn, shown);
      if (shown < awaited) return;
      awaited = 0;
      if (changed) later();
    },
  };
}

/** @typedef {[number, number]} Place  in shares of the canvas */

/**
 * Tell where a finger, mouse or pen draws. The page may scroll meanwhile: places are in the canvas as it was at first.
 * @param {HTMLCanvasElement} canvas @param {{begin: (at: Place) => void, move: (places: Place[]) => void, end: () => void}} on
 * @param {AbortSignal} signal
 */
export function wireHand(canvas, on, signal) {
  /** @type {{id: number, box: DOMRect}|null} */
  let hand = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (hand || (event.pointerType === "mouse" && event.button !== 0)) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true, focusVisible: false });
    canvas.setPointerCapture(event.pointerId);
    hand = { id: event.pointerId, box: canvas.getBoundingClientRect() };
    on.begin(fractionOf(hand.box, event));
  }, { signal });
  canvas.addEventListener("pointermove", (event) => {
    if (hand?.id !== event.pointerId) return;
    const { box } = hand, all = event.getCoalescedEvents?.() ?? [];
    on.move((all.length ? all : [event]).map((each) => fractionOf(box, each)));
  }, { signal });
  for (const name of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
    canvas.addEventListener(name, ({ pointerId }) => {
      if (hand?.id !== pointerId) return;
      hand = null;
      on.end();
    }, { signal });
  }
}
