// What a person does with the viewer: mouse, touch and pen, keys, and the toolbar.

import { ARROWS, broadcast, byTouch, find, fractionOf, keepStored, onBroadcast, stored, themeOf } from "../../browser/component.js";
import { contains, panned, placer, smallestBox, WHOLE, zoomAt } from "../../browser/geometry.js";
import { wireControls } from "./controls.js";
import { saveScreen } from "./painter.js";
import { copied, defaults, keep, linkTo } from "./settings.js";

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

/** @typedef {import("../../common/style.js").Style} Style */

/** Return what to do with a tool. @param {boolean} asks */
function instruction(asks) {
  if (byTouch()) return asks ? "Tap or drag where a box is missing." : "Drag over a picture.";
  return asks ? "Click or drag where a box is missing, or use the arrow keys and Enter."
    : "Drag over a picture, or move with the arrow keys and press Enter.";
}

const HINTED = "sightglass.hinted", HINT_MS = 2500;

export class Input {
  /**
   * @param {HTMLElement} root @param {AbortSignal} signal @param {import("./store.js").Store} store
   * @param {import("./painter.js").Painter} painter @param {import("./display.js").Display} display
   * @param {import("./bridge.js").Bridge} bridge
   */
  constructor(root, signal, store, painter, display, bridge) {
    this.root = root;
    this.store = store;
    this.painter = painter;
    this.display = display;
    this.bridge = bridge;
    display.onFigure = (figure, replaced) => this.#connect(figure, AbortSignal.any([signal, replaced]));
    this.actions = this.#actions();
    wireControls(root, signal, this.actions);
    window.addEventListener("pointerdown", (event) => {
      if (store.point && !event.composedPath().includes(find(root, ".panels"))) display.pointAt(null);
    }, { signal });
    window.addEventListener("keydown", (event) => {
      if (event.key !== " " || !isFree(event)) return;
      event.preventDefault();
      display.cover(true);
    }, { signal });
    window.addEventListener("keyup", ({ key }) => key === " " && display.cover(false), { signal });
    window.addEventListener("blur", () => display.cover(false), { signal });
    window.addEventListener("resize", () => store.head.id && display.build(), { signal });
    onBroadcast("choose", (choice) => {
      display.choose(choice?.index);
      if (choice?.byHand) display.reveal();
    }, signal);
    root.addEventListener("fullscreenchange", () => {
      find(root, ".full .icon").textContent = display.isFull() ? "fullscreen_exit" : "fullscreen";
      Object.assign(store, themeOf(root));
      display.arrange();
    }, { signal });
  }

  /** @param {HTMLElement} figure @param {AbortSignal} signal */
  #connect(figure, signal) {
    const { store, display } = this, canvas = find(figure, ".base"), split = find(figure, ".split");
    const at = store.original.bind(store);
    listen(find(figure, ".stage"), {
      zoomed: () => store.viewport.zoom > 1,
      marking: () => Boolean(store.marker.tool),
      over: (fx, fy) => display.pointAt(at(fx, fy)),
      out: () => display.pointAt(null),
      hold: (on) => display.cover(on),
      click: (fx, fy) => this.#click(at(fx, fy), figure),
      mark: (phase, fx, fy) => store.marker.mark(phase, at(fx, fy), store.head.size, this.#brush()),
      zoom: (fx, fy, factor) => display.view(zoomAt(store.viewport, fx, fy, factor)),
      pan: (dx, dy) => display.view(panned(store.viewport, dx, dy)),
      reset: () => display.view(WHOLE),
      scrolled: () => this.#hint(figure),
      lifted: () => display.hideCross(),
    }, signal);
    canvas.addEventListener("keydown", (event) => this.#key(event, figure), { signal });
    canvas.addEventListener("blur", () => display.pointAt(null), { signal });
    split.addEventListener("input", () => this.#set({ split: Number(split.value) }, false), { signal });
    split.addEventListener("change", () => this.#set({ split: Number(split.value) }), { signal });
  }

  /** Say once in this browser how to zoom, over the picture where somebody turned the wheel. @param {HTMLElement} figure */
  #hint(figure) {
    if (stored(localStorage, HINTED).wheel) return;
    keepStored(localStorage, HINTED, { wheel: true });
    const hint = find(figure, ".hint");
    hint.hidden = false;
    setTimeout(() => (hint.hidden = true), HINT_MS);
  }

  /** @param {number[]} at @param {HTMLElement} figure  labels stand elsewhere in each */
  #click([x, y], figure) {
    const { store, display } = this, { head, settings } = store;
    const box = this.#labelAt(x, y, figure) ?? (settings.boxes ? smallestBox(head.boxes, x, y) : null);
    if (box) {
      display.choose(box.index);
      broadcast("choose", { index: box.index });
    }
    store.send.setTriggerValue("point", { x, y, box: box ? box.index : null });
  }

  /** Return the label that covers a point, which names its box. @param {number} x @param {number} y @param {HTMLElement} figure */
  #labelAt(x, y, figure) {
    const panel = this.store.panels.find(({ element }) => element === figure);
    if (!panel) return undefined;
    const { X, Y } = placer(this.store.visible(), panel.width, panel.height);
    return panel.labels.find(({ place }) => contains(place, X(x), Y(y)));
  }

  #brush() {
    return Number(find(this.root, ".size").value) / 2 / this.store.viewport.zoom;
  }

  /** @param {KeyboardEvent} event @param {HTMLElement} figure */
  #key(event, figure) {
    const { store, display } = this, { marker, viewport } = store, { key } = event, [w, h] = store.head.size;
    const [x, y] = store.point ?? store.original(0.5, 0.5);
    if (ARROWS[key]) display.pointAt(store.beside(store.point, ARROWS[key], event.shiftKey), true);
    else if (key === "Enter" && marker.tool) marker.corner([x, y], [w, h], this.#brush());
    else if (key === "Enter") this.#click([x, y], figure);
    else if (key === "Escape") {
      marker.use(null);
      display.showControls();
      display.pointAt(null);
    } else if (key === "0") display.view(WHOLE);
    else if ("+=-".includes(key)) {
      const { X, Y } = placer(store.visible(), 1, 1);
      display.view(zoomAt(viewport, X(x), Y(y), key === "-" ? 0.8 : 1.25));
    } else return;
    event.preventDefault();
  }

  /** Change settings; Python is not told, as it has no use for them. @param {Partial<Style>} changes @param {boolean} [done] */
  #set(changes, done = true) {
    const { store, painter, display } = this, before = store.layout();
    Object.assign(store.settings, changes);
    display.showControls();
    display.readOut();
    if (!done) painter.stir();
    if (store.layout() === before) painter.redraw();
    else display.build();
    if (!done) return;
    if (!store.passing) keep(sessionStorage, store.settings);
    this.bridge.announce();
  }

  /** @returns {import("./controls.js").Actions} */
  #actions() {
    const { root, store, painter, display, bridge } = this, { marker } = store;
    return {
      set: (changes, done) => this.#set(changes, done),
      layout: (name) => this.#set({ layout: store.layout() === name ? "single" : name }),
      boxes: () => this.#set({ boxes: !store.settings.boxes }),
      tool: (name) => {
        marker.use(name);
        display.showControls();
        if (name) display.say(instruction(name === "ask"));
      },
      reset: () => {
        display.view(WHOLE, false);
        this.#set(defaults());
        display.say("The view is as at first.");
      },
      clear: () => {
        marker.use(null);
        marker.clear();
        bridge.sendRegion();
      },
      full: () => (display.isFull() ? document.exitFullscreen() : root.requestFullscreen()),
      save: () => saveScreen(store, painter, display.columns()),
      fetch: (format) => {
        bridge.requestFile(format);
        display.say("Preparing the file…");
      },
      link: () => this.#copyLink(),
    };
  }

  /** Do what the page's export menu asks for, unless another viewer did. @param {import("../../browser/component.js").Wanted} wanted */
  answer(wanted) {
    const { root, store } = this, { host } = /** @type {ShadowRoot} */ (root.getRootNode());
    if (wanted.taken || !store.head.id || host.closest('[role="dialog"]')) return;
    wanted.taken = true;
    const { what } = wanted, { actions } = this;
    if (what === "settings") wanted.settings = store.style().settings;
    else if (what === "png" || what === "jpg") actions.fetch(what);
    else actions[what]();
  }

  async #copyLink() {
    const { root, store, display } = this, address = linkTo(location.href, store.settings, store.viewport);
    const message = (await copied(address, root)) ? "Link copied to the clipboard." : address;
    const missing = " It does not include your picture: whoever opens it needs the picture too.";
    display.say(message + (store.head.private ? missing : ""));
  }
}
