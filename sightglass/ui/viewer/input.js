// What a person does with the viewer: mouse, touch and pen, keys, and the toolbar.

import { ARROWS, broadcast, find, fractionOf, hearIn, onBroadcast } from "../../browser/component.js";
import { contains, panned, placer, smallestBox, WHOLE, zoomAt } from "../../browser/geometry.js";
import { freeKey, isBehindWindow } from "../../browser/keys.js";
import { keep } from "./settings.js";

/** Pixels that a finger or the mouse may move in a click. */
const SLACK = 5;
/** Milliseconds until a finger, and the mouse, that stays on the picture does more than click. */
const HOLD_MS = { touch: 350, mouse: 250 };

/** Keys that choose a model of the page's family by its size. */
const SIZE_KEYS = ["s", "m", "l"];

const SIZE_BUTTONS = '.st-key-choices [class*="st-key-size-"] button';

/** Whether the keys of a row of their help do anything just now; those of other rows always do. @type {Record<string, (viewer: Viewer) => boolean>} */
const ACTING = {
  maps: ({ state }) => state.maps().length > 0,
  several: ({ state }) => state.placeOf("1") >= 0,
  sizes: ({ state }) => state.placeOf("s") >= 0 || document.querySelector(SIZE_BUTTONS) !== null,
  inset: ({ inset }) => inset.offered,
  clicks: ({ state }) => state.measuring || state.head.boxes.length > 0 || state.listed.some(({ pictured }) => pictured),
  touch: ({ root, touch }) => [...root.querySelectorAll(".stage")].some((stage) => touch.offered(stage)),
  deck: () => document.querySelector('[class*="st-key-deck-line-"]') !== null,
};

/** Press the button of a size, where the page has one. @param {string} size */
function chooseSize(size) {
  const buttons = document.querySelectorAll(`${SIZE_BUTTONS}[aria-checked="false"]`);
  const button = [...buttons].find(({ textContent }) => textContent?.trim() === size);
  if (button instanceof HTMLElement) button.click();
}

/** @typedef {import("./viewer.js").Viewer} Viewer @typedef {import("../../common/style.js").Style} Style */

/** Fingers, mouse and pen on one panel. Places are in fractions of it. */
class Pointers {
  /** @type {Map<number, PointerEvent>} */
  #down = new Map();
  #moved = false;
  #held = false;
  #touching = false;
  #marking = false;
  #holding = 0;
  #clicking = 0;

  /** @param {HTMLElement} stage @param {Input} input */
  constructor(stage, input) {
    const { viewer } = input;
    this.stage = stage;
    this.input = input;
    this.viewer = viewer;
    stage.addEventListener("pointerdown", (event) => this.#press(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    // Before the next frame, which other moves wait for.
    stage.addEventListener("pointerrawupdate", (event) => this.#touching && viewer.touch.move(this.#at(/** @type {PointerEvent} */ (event))));
    stage.addEventListener("pointerup", (event) => this.#lift(event));
    stage.addEventListener("pointercancel", (event) => {
      this.#down.delete(event.pointerId);
      this.#unmark(event);
      this.#release();
    });
    stage.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && !this.#down.size && viewer.pointAt(null));
    // What is held would open a menu, and scroll the page with the finger.
    stage.addEventListener("contextmenu", (event) => this.#held && event.preventDefault());
    stage.addEventListener("touchmove", (event) => this.#touching && event.preventDefault(), { passive: false });
    stage.addEventListener("dblclick", () => {
      clearTimeout(this.#clicking);
      if (!viewer.state.measuring) viewer.view(WHOLE);
    });
    stage.addEventListener("wheel", (event) => {
      if (this.#touching) {
        event.preventDefault();
        return viewer.touch.size(event.deltaY < 0 ? 1.15 : 1 / 1.15, this.#at(event));
      }
      // Without a modifier key the wheel scrolls the page. A pinch on a touchpad arrives as a wheel with Ctrl.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const turned = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      // A pinch comes in steps much smaller than those of a wheel.
      const steps = Math.abs(turned) < 40 ? 100 : 400, factor = Math.exp(-Math.max(-240, Math.min(240, turned)) / steps);
      viewer.view(zoomAt(viewer.state.viewport, ...fractionOf(stage, event), factor));
    }, { passive: false });
  }

  /** @param {MouseEvent} event in original pixels */
  #at(event) {
    return this.viewer.state.original(...fractionOf(this.stage, event));
  }

  #release() {
    clearTimeout(this.#holding);
    if (this.#touching) this.viewer.touch.end();
    else if (this.#held) this.viewer.showPlain(false);
    this.#touching = false;
  }

  /** Touch the picture, or where that is not offered show it without the map. @param {PointerEvent} event */
  #hold(event) {
    this.#held = true;
    this.#touching = this.viewer.touch.offered(this.stage);
    if (this.#touching) this.viewer.touch.begin(this.#at(event));
    else this.viewer.showPlain(true);
  }

  /** A second finger means zoom, not mark. @param {PointerEvent} event */
  #unmark(event) {
    if (this.#marking) this.input.drag("cancel", this.#at(event));
    this.#marking = false;
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button) return;
    this.stage.setPointerCapture(event.pointerId);
    this.#down.set(event.pointerId, event);
    if (this.#down.size > 1) {
      this.#unmark(event);
      return this.#release();
    }
    this.#moved = this.#held = false;
    this.#marking = this.viewer.state.measuring;
    if (this.#marking) this.input.drag("start", this.#at(event));
    else if (event.pointerType === "touch" || this.viewer.touch.offered(this.stage)) {
      this.#holding = window.setTimeout(() => this.#hold(event), HOLD_MS[event.pointerType === "touch" ? "touch" : "mouse"]);
    }
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const { stage, viewer, viewer: { state } } = this, down = this.#down, before = down.get(event.pointerId);
    if (!before) return viewer.pointAt(this.#at(event));
    const { width, height } = stage.getBoundingClientRect();
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    if (!this.#moved && Math.hypot(dx, dy) < SLACK) return;
    this.#moved = true;
    if (!this.#held) clearTimeout(this.#holding);
    // Dragging moves an enlarged picture, and with a finger the page.
    const drags = event.pointerType !== "touch" && state.viewport.zoom === 1 && down.size === 1 && !this.#marking;
    if (!this.#held && drags && viewer.touch.offered(stage)) this.#hold(before);
    if (this.#touching) viewer.touch.move(this.#at(event));
    else if (down.size === 2) {
      const [other] = [...down.values()].filter(({ pointerId }) => pointerId !== event.pointerId);
      const apart = (/** @type {PointerEvent} */ e) => Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY);
      const [[x, y], [ax, ay]] = [event, other].map((each) => fractionOf(stage, each));
      viewer.view(zoomAt(state.viewport, (x + ax) / 2, (y + ay) / 2, apart(event) / Math.max(1, apart(before))));
    } else if (this.#marking) this.input.drag("move", this.#at(event));
    else if (state.viewport.zoom > 1 && !this.#held) viewer.view(panned(state.viewport, dx / width, dy / height));
    else viewer.pointAt(this.#at(event));
    down.set(event.pointerId, event);
  }

  /** @param {PointerEvent} event */
  #lift(event) {
    if (!this.#down.delete(event.pointerId) || this.#down.size) return;
    const at = this.#at(event), { viewer, input } = this;
    if (this.#marking) input.drag("end", at);
    else if (!this.#moved && !this.#held) {
      viewer.pointAt(at);
      clearTimeout(this.#clicking);
      // A double click resets the zoom: only while zoomed, a click waits for a possible second one.
      if (viewer.state.viewport.zoom > 1) this.#clicking = window.setTimeout(() => input.click(at, this.stage), 250);
      else input.click(at, this.stage);
    }
    this.#marking = false;
    this.#release();
    // A finger that is gone points at nothing; what was read there stays.
    if (event.pointerType === "touch") viewer.root.classList.remove("pointing");
  }
}

export class Input {
  /** @param {Viewer} viewer @param {AbortSignal} signal */
  constructor(viewer, signal) {
    const { root, state } = (this.viewer = viewer);
    this.#wire(signal);
    window.addEventListener("pointerdown", (event) => {
      if (state.point && !event.composedPath().includes(find(root, ".panels"))) viewer.pointAt(null);
    }, { signal });
    window.addEventListener("keydown", (event) => this.#press(event), { signal });
    window.addEventListener("keyup", ({ key }) => key === " " && viewer.showPlain(false), { signal });
    window.addEventListener("blur", () => viewer.showPlain(false), { signal });
    window.addEventListener("resize", () => state.head.id && viewer.build(), { signal });
    onBroadcast("restyle", ({ changes, done }) => state.head.id && this.#set(changes, done), signal);
    onBroadcast("choose", ({ index, byHand }) => viewer.choose(index, byHand), signal);
    document.addEventListener("fullscreenchange", () => viewer.fit(), { signal });
  }

  /** Connect a new panel. @param {HTMLElement} figure */
  connect(figure) {
    const { viewer } = this, canvas = find(figure, ".base"), stage = find(figure, ".stage");
    new Pointers(stage, this);
    canvas.addEventListener("keydown", (event) => this.#key(event, stage));
    canvas.addEventListener("blur", () => viewer.pointAt(null));
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const { viewer, viewer: { root, state } } = this, key = isBehindWindow(root) ? "" : freeKey(event);
    if (!key) return;
    const place = state.placeOf(key);
    if (place >= 0 && state.head.spread) viewer.showAlone(place);
    else if (place >= 0) this.#choose(place);
    else if (SIZE_KEYS.includes(key)) chooseSize(key);
    else if (key === "p") viewer.swap();
    else if (key === "?") this.#showKeys();
    else if (key === "[" || key === "]") this.#fade(key === "]" ? 0.1 : -0.1);
    // Otherwise it closes what is open.
    else if (key === "escape" && !root.querySelector(":popover-open")) this.#clear();
    else if (key === " ") {
      event.preventDefault();
      viewer.showPlain(true);
    }
  }

  /** List the keys that act just now, or shut the list. */
  #showKeys() {
    const { root } = this.viewer;
    for (const term of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-when]"))) {
      term.hidden = !ACTING[term.dataset.when ?? ""](this.viewer);
    }
    find(root, ".keys").togglePopover();
  }

  /** Clear what was marked, covered or pointed at. */
  #clear() {
    const { viewer, viewer: { state } } = this;
    if (state.cover) viewer.touch.clear();
    if (state.measuring || state.region) this.#measure(false);
    viewer.pointAt(null);
  }

  /** Measure an area. @param {"start"|"move"|"end"|"cancel"} phase @param {number[]} at */
  drag(phase, at) {
    this.#measured(this.viewer.state.drag(phase, at));
  }

  /** @param {boolean} done */
  #measured(done) {
    const { viewer } = this;
    viewer.painter.redraw(false);
    if (!done) return;
    viewer.showControls();
    viewer.tellRegion();
  }

  /** @param {number[]} at @param {Element} stage  labels stand elsewhere in each */
  click([x, y], stage) {
    const { viewer, viewer: { state } } = this, panel = state.panels.find(({ canvas }) => stage.contains(canvas));
    const { X, Y } = placer(state.visible(), panel?.width ?? 1, panel?.height ?? 1);
    // A label names its box, wherever it stands.
    const box = panel?.labels.find(({ place }) => contains(place, X(x), Y(y))) ?? smallestBox(state.head.boxes, x, y);
    if (box) this.#choose(box.index);
    viewer.send.setTriggerValue("point", { picture: state.head.picture, x, y, box: box ? box.index : null });
  }

  /** @param {KeyboardEvent} event @param {Element} stage */
  #key(event, stage) {
    const { viewer, viewer: { state } } = this, { key } = event, name = freeKey(event);
    const [x, y] = state.point ?? state.original(0.5, 0.5);
    if (ARROWS[key]) viewer.pointAt(state.beside(state.point, ARROWS[key], event.shiftKey), true);
    else if (key === "Enter" && state.measuring) this.#measured(state.corner([x, y]));
    else if (key === "Enter") this.click([x, y], stage);
    else if (name === "t" && viewer.touch.offered(stage)) {
      viewer.touch.begin([x, y]);
      viewer.touch.end();
    } else if (name === "0") viewer.view(WHOLE);
    else if ("+=-".includes(key)) {
      const { X, Y } = placer(state.visible(), 1, 1);
      viewer.view(zoomAt(state.viewport, X(x), Y(y), key === "-" ? 0.8 : 1.25));
    } else return;
    event.preventDefault();
  }

  /** @param {boolean} on */
  #measure(on) {
    const { viewer, viewer: { state } } = this, had = state.region !== null;
    state.measure(on);
    viewer.showControls();
    viewer.painter.redraw(false);
    if (had) viewer.tellRegion();
    if (on) viewer.say("Drag over a picture, or move with the arrow keys and press Enter at two corners.");
  }

  /** Change settings; Python is not told, as it has no use for them. @param {Partial<Style>} changes @param {boolean} [done] */
  #set(changes, done = true) {
    const { viewer, viewer: { state, painter } } = this, before = state.layout();
    Object.assign(state.settings, changes);
    viewer.showControls();
    viewer.readOut();
    if (state.layout() !== before) viewer.build();
    if (done) painter.rest();
    else {
      painter.stir();
      painter.redraw();
    }
    if (done) keep(sessionStorage, state.settings);
  }

  /** Choose a map, here and in the list beside it. @param {number} index */
  #choose(index) {
    this.viewer.choose(index);
    broadcast("choose", { index });
  }

  /** Make the maps more or less opaque. @param {number} by */
  #fade(by) {
    const { viewer, viewer: { state } } = this, alpha = Math.min(1, Math.max(0, Number((state.settings.alpha + by).toFixed(2))));
    if (!state.head.id) return;
    this.#set({ alpha });
    viewer.say(`Opacity ${Math.round(100 * alpha)} %.`);
  }

  /** Connect the toolbar. @param {AbortSignal} signal */
  #wire(signal) {
    const { viewer, viewer: { root, state } } = this, hear = hearIn(root, signal), sheet = find(root, ".sheet"), more = find(root, ".more");
    let before = {};
    hear("mode", "change", ({ value }) => {
      const guides = value === "blend", { colormap, alpha } = state.settings;
      this.#set({ mode: /** @type {Style["mode"]} */ (value), ...(guides ? { colormap: "jet", alpha: 0.5 } : before) });
      before = guides ? { colormap, alpha } : {};
    });
    hear("shared", "change", ({ checked }) => this.#set({ scale: checked === (state.usualScale() === "shared") ? "auto" : checked ? "shared" : "own" }));
    hear("cells", "change", ({ checked }) => this.#set({ cells: checked }));
    hear("boxes", "input", ({ value }) => this.#set({ boxes: value }));
    hear("beside", "click", () => this.#set({ layout: state.layout() === "beside" ? "single" : "beside" }));
    hear("measure", "click", () => this.#measure(!state.measuring && !state.region));
    hear("edit", "click", () => viewer.send.setTriggerValue("edit", { picture: state.head.picture, edit: viewer.touch.edit }));
    hear("full", "click", () => {
      void viewer.toggleFull();
      // Space would press the button again, in place of hiding the map.
      find(root, ".base").focus({ preventScroll: true });
    });
    sheet.addEventListener("beforetoggle", ({ newState }) => {
      more.setAttribute("aria-expanded", String(newState === "open"));
      if (newState === "closed" && sheet.matches(":focus-within")) more.focus();
      const { right, bottom } = more.getBoundingClientRect();
      Object.assign(sheet.style, { top: `${bottom + 4}px`, right: `${document.documentElement.clientWidth - right}px` });
    }, { signal });
  }
}
