// Mouse, touch and pen on one panel, told as what was meant: point, choose, zoom, pan, hold.

const SLACK = 5;
const HOLD_MS = 350;

/**
 * @param {HTMLElement} stage
 * @param {{zoomed: () => boolean, over: (fx: number, fy: number) => void, out: () => void, hold: (on: boolean) => void,
 *   click: (fx: number, fy: number) => void, zoom: (fx: number, fy: number, factor: number) => void,
 *   pan: (dx: number, dy: number) => void, reset: () => void}} on  everything in fractions of the panel
 * @param {AbortSignal} signal
 */
export function listen(stage, on, signal) {
  const down = new Map();
  let moved = false, held = false, holding = 0, clicking = 0, scrolled = 0;
  const place = (event) => {
    const { left, top, width, height } = stage.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  };
  const add = (type, handler, options) => stage.addEventListener(type, handler, { signal, ...options });
  const release = () => {
    clearTimeout(holding);
    if (held) on.hold(false);
  };

  add("pointerdown", (event) => {
    if (event.button) return;
    stage.setPointerCapture(event.pointerId);
    down.set(event.pointerId, event);
    if (down.size > 1) return release();
    moved = held = false;
    if (event.pointerType === "touch") holding = setTimeout(() => on.hold((held = true)), HOLD_MS);
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
      const apart = (e) => Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY);
      const [ax, ay] = place(other);
      on.zoom((at[0] + ax) / 2, (at[1] + ay) / 2, apart(event) / Math.max(1, apart(before)));
    } else if (on.zoomed() && !held) on.pan(dx / width, dy / height);
    else on.over(...at);
    down.set(event.pointerId, event);
  });
  add("pointerup", (event) => {
    if (!down.delete(event.pointerId) || down.size) return;
    release();
    if (moved || held) return;
    const at = place(event);
    on.over(...at);
    clearTimeout(clicking);
    // A double click resets the zoom; where there is none to reset, a click need not wait for a second one.
    if (on.zoomed()) clicking = setTimeout(() => on.click(...at), 250);
    else on.click(...at);
  });
  add("pointercancel", (event) => {
    down.delete(event.pointerId);
    release();
  });
  add("pointerleave", (event) => event.pointerType === "mouse" && !down.size && on.out());
  add("contextmenu", (event) => held && event.preventDefault());
  add("dblclick", () => {
    clearTimeout(clicking);
    on.reset();
  });
  add("wheel", (event) => {
    // Nobody who scrolls the page past a picture means to zoom it, nor who turns back where nothing is zoomed.
    if (event.timeStamp - scrolled < 300 || (!on.zoomed() && event.deltaY > 0)) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    on.zoom(...place(event), Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / 400));
  }, { passive: false });
  window.addEventListener("scroll", (event) => (scrolled = event.timeStamp), { signal, capture: true, passive: true });
}

/** Space belongs to whatever else can be pressed or typed into. */
export function free(event) {
  const target = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || !(target instanceof Element)) return false;
  if (target.matches("input[type=range], input[type=radio]:checked")) return true;
  return !target.closest("input, textarea, select, button, a, summary, [contenteditable], [role=button], [role=tab]");
}
