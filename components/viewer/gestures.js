// Mouse, touch and pen on one panel, told as what was meant: point, choose, mark, zoom, pan, hold.

const SLACK = 5;
const HOLD_MS = 350;

/**
 * @typedef {{zoomed: () => boolean, marking: () => boolean, over: (fx: number, fy: number) => void, out: () => void,
 *   hold: (on: boolean) => void, click: (fx: number, fy: number) => void,
 *   mark: (phase: "start"|"move"|"end"|"cancel", fx: number, fy: number) => void,
 *   zoom: (fx: number, fy: number, factor: number) => void, pan: (dx: number, dy: number) => void,
 *   reset: () => void}} Meant  everything in fractions of the panel
 */

/** @param {HTMLElement} stage @param {Meant} on @param {AbortSignal} signal */
export function listen(stage, on, signal) {
  /** @type {Map<number, PointerEvent>} */
  const down = new Map();
  let moved = false, held = false, marking = false, holding = 0, clicking = 0, scrolled = 0;
  /** @param {MouseEvent} event @returns {[number, number]} */
  const place = (event) => {
    const { left, top, width, height } = stage.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  };
  /**
   * @template {keyof HTMLElementEventMap} K
   * @param {K} type @param {(event: HTMLElementEventMap[K]) => void} handler @param {AddEventListenerOptions} [options]
   */
  const add = (type, handler, options) => stage.addEventListener(type, handler, { signal, ...options });
  const release = () => {
    clearTimeout(holding);
    if (held) on.hold(false);
  };
  /** @param {PointerEvent} event a second finger means zoom, not mark */
  const unmark = (event) => {
    if (marking) on.mark("cancel", ...place(event));
    marking = false;
  };

  add("pointerdown", (event) => {
    if (event.button || (event.target instanceof Element && event.target.closest("input"))) return;
    stage.setPointerCapture(event.pointerId);
    down.set(event.pointerId, event);
    if (down.size > 1) {
      unmark(event);
      return release();
    }
    moved = held = false;
    marking = on.marking();
    if (marking) on.mark("start", ...place(event));
    else if (event.pointerType === "touch") holding = window.setTimeout(() => on.hold((held = true)), HOLD_MS);
  });
  add("pointermove", (event) => {
    const before = down.get(event.pointerId), at = place(event);
    if (!before) return on.over(...at);
    const { width, height } = stage.getBoundingClientRect();
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    if (!moved && Math.hypot(dx, dy) < SLACK) return;
    moved = true;
    if (!held) clearTimeout(holding);
    if (down.size === 2) {
      const [other] = [...down.values()].filter(({ pointerId }) => pointerId !== event.pointerId);
      const apart = (/** @type {PointerEvent} */ e) => Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY);
      const [ax, ay] = place(other);
      on.zoom((at[0] + ax) / 2, (at[1] + ay) / 2, apart(event) / Math.max(1, apart(before)));
    } else if (marking) on.mark("move", ...at);
    else if (on.zoomed() && !held) on.pan(dx / width, dy / height);
    else on.over(...at);
    down.set(event.pointerId, event);
  });
  add("pointerup", (event) => {
    if (!down.delete(event.pointerId) || down.size) return;
    release();
    const at = place(event);
    if (marking) {
      marking = false;
      return on.mark("end", ...at);
    }
    if (moved || held) return;
    on.over(...at);
    clearTimeout(clicking);
    // A double click resets the zoom; where there is none to reset, a click need not wait for a second one.
    if (on.zoomed()) clicking = window.setTimeout(() => on.click(...at), 250);
    else on.click(...at);
  });
  add("pointercancel", (event) => {
    down.delete(event.pointerId);
    unmark(event);
    release();
  });
  add("pointerleave", (event) => event.pointerType === "mouse" && !down.size && on.out());
  add("contextmenu", (event) => held && event.preventDefault());
  add("dblclick", () => {
    clearTimeout(clicking);
    if (!on.marking()) on.reset();
  });
  add("wheel", (event) => {
    // Nobody who scrolls the page past a picture means to zoom it, nor who turns back where nothing is zoomed.
    if (event.timeStamp - scrolled < 300 || (!on.zoomed() && event.deltaY > 0)) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    on.zoom(...place(event), Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / 400));
  }, { passive: false });
  const scroll = (/** @type {Event} */ event) => (scrolled = event.timeStamp);
  window.addEventListener("scroll", scroll, { signal, capture: true, passive: true });
}

/** Space belongs to whatever else can be pressed or typed into. @param {KeyboardEvent} event */
export function free(event) {
  const target = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || !(target instanceof Element)) return false;
  if (target.matches("input[type=range], input[type=radio]:checked")) return true;
  return !target.closest("input, textarea, select, button, a, summary, [contenteditable], [role=button], [role=tab]");
}
