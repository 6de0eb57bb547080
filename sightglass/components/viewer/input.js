// What a person does with the viewer: mouse, touch and pen, keys, and the toolbar.

import { ARROWS, broadcast, find, fractionOf, onBroadcast, themeOf } from "../../browser/component.js";
import { contains, panned, placer, smallestBox, WHOLE, zoomAt } from "../../browser/geometry.js";
import { wireControls } from "./controls.js";
import { copied, defaults, keep, linkTo } from "./settings.js";

const SLACK = 5;
const HOLD_MS = 350;

/**
 * @typedef {{zoomed: () => boolean, marking: () => boolean, over: (fx: number, fy: number) => void, out: () => void,
 *   hold: (on: boolean) => void, click: (fx: number, fy: number) => void,
 *   mark: (phase: "start"|"move"|"end"|"cancel", fx: number, fy: number) => void,
 *   zoom: (fx: number, fy: number, factor: number) => void, pan: (dx: number, dy: number) => void,
 *   reset: () => void, lifted: () => void}} Gestures  everything in fractions of the panel; lifted: a finger left, and points at
 *   nothing any more
 */

export class Pointers {
  /** @type {Map<number, PointerEvent>} */
  #down = new Map();
  #moved = false;
  #held = false;
  #marking = false;
  #holding = 0;
  #clicking = 0;

  /** @param {HTMLElement} stage @param {Gestures} on */
  constructor(stage, on) {
    this.stage = stage;
    this.on = on;
    stage.addEventListener("pointerdown", (event) => this.#press(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    stage.addEventListener("pointerup", (event) => this.#lift(event));
    stage.addEventListener("pointercancel", (event) => {
      this.#down.delete(event.pointerId);
      this.#unmark(event);
      this.#release();
      on.lifted();
    });
    stage.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && !this.#down.size && on.out());
    stage.addEventListener("contextmenu", (event) => this.#held && event.preventDefault());
    stage.addEventListener("dblclick", () => {
      clearTimeout(this.#clicking);
      if (!on.marking()) on.reset();
    });
    stage.addEventListener("wheel", (event) => {
      // Without a modifier key the wheel scrolls the page. A pinch on a touchpad arrives as a wheel with Ctrl.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const turned = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      // A pinch comes in steps much smaller than those of a wheel.
      const steps = Math.abs(turned) < 40 ? 100 : 400;
      on.zoom(...fractionOf(stage, event), Math.exp(-Math.max(-240, Math.min(240, turned)) / steps));
    }, { passive: false });
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

/** Whether a key is free: space belongs to whatever else can be pressed or typed into. @param {KeyboardEvent} event */
export function isFree(event) {
  const target = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || !(target instanceof Element)) return false;
  if (target.matches("input[type=range], input[type=radio]:checked")) return true;
  return !target.closest("input, textarea, select, button, a, summary, [contenteditable], [role=button], [role=tab]");
}

export class Input {
  /** @param {import("./viewer.js").Viewer} viewer @param {AbortSignal} signal */
  constructor(viewer, signal) {
    const { root, state } = (this.viewer = viewer);
    wireControls(root, signal, this.#actions());
    window.addEventListener("pointerdown", (event) => {
      if (state.point && !event.composedPath().includes(find(root, ".panels"))) viewer.pointAt(null);
    }, { signal });
    window.addEventListener("keydown", (event) => {
      if (event.key !== " " || !isFree(event)) return;
      event.preventDefault();
      viewer.cover(true);
    }, { signal });
    window.addEventListener("keyup", ({ key }) => key === " " && viewer.cover(false), { signal });
    window.addEventListener("blur", () => viewer.cover(false), { signal });
    window.addEventListener("resize", () => state.head.id && viewer.build(), { signal });
    onBroadcast("choose", ({ index, byHand }) => viewer.choose(index, byHand), signal);
    root.addEventListener("fullscreenchange", () => {
      find(root, ".full .icon").textContent = viewer.isFull() ? "fullscreen_exit" : "fullscreen";
      Object.assign(state, themeOf(root));
      viewer.arrange();
    }, { signal });
  }

  /** Connect a new panel. @param {HTMLElement} figure */
  connect(figure) {
    const { viewer, viewer: { state, root } } = this, canvas = find(figure, ".base"), split = find(figure, ".split");
    const at = state.original.bind(state);
    new Pointers(find(figure, ".stage"), {
      zoomed: () => state.viewport.zoom > 1,
      marking: () => state.measuring,
      over: (fx, fy) => viewer.pointAt(at(fx, fy)),
      out: () => viewer.pointAt(null),
      hold: (on) => viewer.cover(on),
      click: (fx, fy) => this.#click(at(fx, fy), figure),
      mark: (phase, fx, fy) => this.#measured(state.drag(phase, at(fx, fy))),
      zoom: (fx, fy, factor) => viewer.view(zoomAt(state.viewport, fx, fy, factor)),
      pan: (dx, dy) => viewer.view(panned(state.viewport, dx, dy)),
      reset: () => viewer.view(WHOLE),
      // What was read there stays.
      lifted: () => root.classList.remove("pointing"),
    });
    canvas.addEventListener("keydown", (event) => this.#key(event, figure));
    canvas.addEventListener("blur", () => viewer.pointAt(null));
    split.addEventListener("input", () => this.#set({ split: Number(split.value) }, false));
    split.addEventListener("change", () => this.#set({ split: Number(split.value) }));
  }

  /** Draw the area that is being measured. @param {boolean} done */
  #measured(done) {
    const { viewer } = this;
    viewer.painter.redraw(false);
    if (!done) return;
    viewer.showControls();
    viewer.tellRegion();
  }

  /** @param {number[]} at @param {HTMLElement} figure  labels stand elsewhere in each */
  #click([x, y], figure) {
    const { viewer, viewer: { state } } = this;
    const box = this.#labelAt(x, y, figure) ?? smallestBox(state.head.boxes, x, y);
    if (box) {
      viewer.choose(box.index);
      broadcast("choose", { index: box.index });
    }
    viewer.send.setTriggerValue("point", { picture: state.head.picture, x, y, box: box ? box.index : null });
  }

  /** Return the label that covers a point, which names its box. @param {number} x @param {number} y @param {HTMLElement} figure */
  #labelAt(x, y, figure) {
    const { state } = this.viewer, panel = state.panels.find(({ element }) => element === figure);
    if (!panel) return undefined;
    const { X, Y } = placer(state.visible(), panel.width, panel.height);
    return panel.labels.find(({ place }) => contains(place, X(x), Y(y)));
  }

  /** @param {KeyboardEvent} event @param {HTMLElement} figure */
  #key(event, figure) {
    const { viewer, viewer: { state } } = this, { key } = event, [x, y] = state.point ?? state.original(0.5, 0.5);
    if (ARROWS[key]) viewer.pointAt(state.beside(state.point, ARROWS[key], event.shiftKey), true);
    else if (key === "Enter" && state.measuring) this.#measured(state.corner([x, y]));
    else if (key === "Enter") this.#click([x, y], figure);
    else if (key === "Escape") {
      if (state.measuring) this.#measure(false);
      viewer.pointAt(null);
    } else if (key === "0") viewer.view(WHOLE);
    else if ("+=-".includes(key)) {
      const { X, Y } = placer(state.visible(), 1, 1);
      viewer.view(zoomAt(state.viewport, X(x), Y(y), key === "-" ? 0.8 : 1.25));
    } else return;
    event.preventDefault();
  }

  /** @param {boolean} on */
  #measure(on) {
    const { viewer, viewer: { state } } = this, told = state.region !== null;
    state.measure(on);
    viewer.showControls();
    viewer.painter.redraw(false);
    if (told) viewer.tellRegion();
    if (on) viewer.say("Drag over a picture, or move with the arrow keys and press Enter at two corners.");
  }

  /** Change settings; Python is not told, as it has no use for them. @param {Partial<import("../../common/style.js").Style>} changes @param {boolean} [done] */
  #set(changes, done = true) {
    const { viewer, viewer: { state, painter } } = this, before = state.layout();
    Object.assign(state.settings, changes);
    viewer.showControls();
    viewer.readOut();
    if (!done) painter.stir();
    if (state.layout() === before) painter.redraw();
    else viewer.build();
    if (done && !state.passing) keep(sessionStorage, state.settings);
  }

  /** @returns {import("./controls.js").Actions} */
  #actions() {
    const { viewer, viewer: { root, state } } = this;
    return {
      set: (changes, done) => this.#set(changes, done),
      layout: (name) => this.#set({ layout: state.layout() === name ? "single" : name }),
      measure: () => this.#measure(!state.measuring && !state.region),
      reset: () => {
        viewer.view(WHOLE, false);
        this.#set(defaults());
        viewer.say("The view is as at first.");
      },
      full: () => (viewer.isFull() ? document.exitFullscreen() : root.requestFullscreen()),
      link: async () => {
        const address = linkTo(location.href, state.settings, state.viewport);
        const message = (await copied(address, root)) ? "Link copied to the clipboard." : address;
        const missing = " It does not include your picture: whoever opens it needs the picture too.";
        viewer.say(message + (state.head.private ? missing : ""));
      },
    };
  }
}
