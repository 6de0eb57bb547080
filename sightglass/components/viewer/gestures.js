// Mouse, touch and pen on one panel as gestures: point, click, mark, zoom, pan, hold.

import { fractionOf } from "../../browser/component.js";

const SLACK = 5;
const HOLD_MS = 350;

/**
 * @typedef {{zoomed: () => boolean, marking: () => boolean, over: (fx: number, fy: number) => void, out: () => void,
 *   hold: (on: boolean) => void, click: (fx: number, fy: number) => void,
 *   mark: (phase: "start"|"move"|"end"|"cancel", fx: number, fy: number) => void,
 *   zoom: (fx: number, fy: number, factor: number) => void, pan: (dx: number, dy: number) => void,
 *   reset: () => void, scrolled: () => void, lifted: () => void}} Gestures  everything in fractions of the panel;
 *   scrolled: the wheel was turned without a key; lifted: a finger left, and points at nothing any more
 */

class Pointers {
  /** @type {Map<number, PointerEvent>} */
  #down = new Map();
  #moved = false;
  #held = false;
  #marking = false;
  #holding = 0;
  #clicking = 0;

  /** @param {HTMLElement} stage @param {Gestures} on @param {AbortSignal} signal */
  constructor(stage, on, signal) {
    this.stage = stage;
    this.on = on;
    stage.addEventListener("pointerdown", (event) => this.#press(event), { signal });
    stage.addEventListener("pointermove", (event) => this.#move(event), { signal });
    stage.addEventListener("pointerup", (event) => this.#lift(event), { signal });
    stage.addEventListener("pointercancel", (event) => {
      this.#down.delete(event.pointerId);
      this.#unmark(event);
      this.#release();
      on.lifted();
    }, { signal });
    stage.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && !this.#down.size && on.out(), { signal });
    stage.addEventListener("contextmenu", (event) => this.#held && event.preventDefault(), { signal });
    stage.addEventListener("dblclick", () => {
      clearTimeout(this.#clicking);
      if (!on.marking()) on.reset();
    }, { signal });
  }

  #release() {
    clearTimeout(this.#holding);
    if (this.#held) this.on.hold(false);
  }

  /** A second finger means zoom, not mark. @param {PointerEvent} event */
  #unmark(event) {
    if (this.#marking) this.on.mark("cancel", ...fractionOf(this.stage, event));
    this.#marking = false;
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button || (event.target instanceof Element && event.target.closest("input"))) return;
    this.stage.setPointerCapture(event.pointerId);
    this.#down.set(event.pointerId, event);
    if (this.#down.size > 1) {
      this.#unmark(event);
      return this.#release();
    }
    this.#moved = this.#held = false;
    this.#marking = this.on.marking();
    if (this.#marking) this.on.mark("start", ...fractionOf(this.stage, event));
    else if (event.pointerType === "touch") this.#holding = window.setTimeout(() => this.on.hold((this.#held = true)), HOLD_MS);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const { stage, on } = this, down = this.#down, before = down.get(event.pointerId), at = fractionOf(stage, event);
    if (!before) return on.over(...at);
    const { width, height } = stage.getBoundingClientRect();
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    if (!this.#moved && Math.hypot(dx, dy) < SLACK) return;
    this.#moved = true;
    if (!this.#held) clearTimeout(this.#holding);
    if (down.size === 2) {
      const [other] = [...down.values()].filter(({ pointerId }) => pointerId !== event.pointerId);
      const apart = (/** @type {PointerEvent} */ e) => Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY);
      const [ax, ay] = fractionOf(stage, other);
      on.zoom((at[0] + ax) / 2, (at[1] + ay) / 2, apart(event) / Math.max(1, apart(before)));
    } else if (this.#marking) on.mark("move", ...at);
    else if (on.zoomed() && !this.#held) on.pan(dx / width, dy / height);
    else on.over(...at);
    down.set(event.pointerId, event);
  }

  /** @param {PointerEvent} event */
  #lift(event) {
    if (!this.#down.delete(event.pointerId) || this.#down.size) return;
    this.#release();
    const { on } = this, at = fractionOf(this.stage, event);
    if (this.#marking) {
      this.#marking = false;
      on.mark("end", ...at);
    } else if (!this.#moved && !this.#held) this.#click(at);
    if (event.pointerType === "touch") on.lifted();
  }

  /** @param {[number, number]} at */
  #click(at) {
    const { on } = this;
    on.over(...at);
    clearTimeout(this.#clicking);
    // A double click resets the zoom: only while zoomed, a click waits for a possible second one.
    if (on.zoomed()) this.#clicking = window.setTimeout(() => on.click(...at), 250);
    else on.click(...at);
  }
}

/** @param {HTMLElement} stage @param {Gestures} on @param {AbortSignal} signal */
export function listen(stage, on, signal) {
  new Pointers(stage, on, signal);
  stage.addEventListener("wheel", (event) => {
    // Without a modifier key the wheel scrolls the page. A pinch on a touchpad arrives as a wheel with Ctrl.
    if (!event.ctrlKey && !event.metaKey) return on.scrolled();
    event.preventDefault();
    const turned = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    // A pinch comes in steps much smaller than those of a wheel.
    const steps = Math.abs(turned) < 40 ? 100 : 400;
    on.zoom(...fractionOf(stage, event), Math.exp(-Math.max(-240, Math.min(240, turned)) / steps));
  }, { signal, passive: false });
}

/** Whether a key is free: space belongs to whatever else can be pressed or typed into. @param {KeyboardEvent} event */
export function isFree(event) {
  const target = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || !(target instanceof Element)) return false;
  if (target.matches("input[type=range], input[type=radio]:checked")) return true;
  return !target.closest("input, textarea, select, button, a, summary, [contenteditable], [role=button], [role=tab]");
}

/** Whether a letter is free: nothing is typed with it. @param {KeyboardEvent} event */
export function takesLetters(event) {
  const target = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || !(target instanceof Element)) return false;
  const pressed = "input[type=range], input[type=radio], input[type=checkbox]";
  return target.matches(pressed) || !target.closest("input, textarea, select, [contenteditable]");
}
