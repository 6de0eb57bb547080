// Fingers, mouse, pen and arrow keys that draw on a canvas.

import { fractionOf } from "./component.js";

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
