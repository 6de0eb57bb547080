// Arrows, circles and text over a picture. Python is told of each step at once; it saves it and redraws nothing.

import { ARROWS, component, find, fractionOf, onResize } from "../../browser/component.js";
import { make } from "../../browser/elements.js";
import { panned } from "../../browser/geometry.js";
import { Board } from "./board.js";
import { INKS, inside, listMarks, markAt, reshaped, shifted, TOOLS } from "./shapes.js";

/** @typedef {import("./shapes.js").Point} Point */

const REACH = 12, STEP = 0.01, FAR = 0.05;

/** @param {Board} board @param {AbortSignal} signal */
export function wirePointer(board, signal) {
  const { stage } = board;
  /** Where fingers are, to zoom with two. @type {Map<number, {clientX: number, clientY: number}>} */
  const fingers = new Map();

  stage.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    board.written(true);
    stage.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
    Object.assign(board.pen, { shown: false, from: null });
    board.drag = fingers.size > 1 ? null : begunDrag(board, event);
    board.refresh();
  }, { signal });
  stage.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    if (fingers.size === 2) {
      const [, other] = /** @type {[number, PointerEvent]} */ ([...fingers].find(([id]) => id !== event.pointerId));
      const apart = (/** @type {{clientX: number, clientY: number}} */ { clientX, clientY }) =>
        Math.hypot(clientX - other.clientX, clientY - other.clientY);
      board.zoom(apart(event) / Math.max(1, apart(before)), fractionOf(stage, other));
    }
    fingers.set(event.pointerId, event);
    drag(board, event);
    board.redraw();
  }, { signal });
  for (const name of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
    stage.addEventListener(name, ({ pointerId, type }) => {
      if (fingers.delete(pointerId)) drop(board, type === "pointerup");
    }, { signal });
  }
  stage.addEventListener("dblclick", (event) => {
    const { page, unit, size } = board, reach = REACH * board.scale;
    const place = board.tool === "choose" ? markAt(page.value, board.pointOf(event), reach, unit, size) : -1;
    if (place >= 0) board.write(place);
  }, { signal });
  stage.addEventListener("wheel", (event) => {
    // Without a modifier key the wheel scrolls the page.
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    board.zoom(Math.exp(-event.deltaY / 300), fractionOf(stage, event));
  }, { signal, passive: false });
}

/**
 * Return what a drag from here means: a new mark, a point of the selected one, a mark to move, or the picture.
 * @param {Board} board @param {PointerEvent} event @returns {import("./board.js").Drag|null}
 */
function begunDrag(board, event) {
  const at = board.pointOf(event), begun = board.begun(at);
  if (begun) return { kind: "draw", mark: begun };
  const { page, selected, chosen, viewport } = board, reach = REACH * board.scale * (event.pointerType === "mouse" ? 0.7 : 1.6);
  const point = selected ? selected.points.findIndex(([x, y]) => Math.hypot(x - at[0], y - at[1]) <= reach) : -1;
  const place = point < 0 ? markAt(page.value, at, reach, board.unit, board.size) : chosen;
  page.close();
  board.chosen = place;
  const movable = point >= 0 && selected.kind !== "text" && !(selected.kind === "circle" && point === 0);
  if (movable) return { kind: "bend", place, point };
  if (place >= 0) return { kind: "move", place, from: at, mark: page.value[place] };
  return viewport.zoom > 1 ? { kind: "pan", viewport, x: event.clientX, y: event.clientY } : null;
}

/** @param {Board} board @param {PointerEvent} event */
function drag(board, event) {
  const { drag: hand, page, size } = board, at = board.pointOf(event);
  if (hand?.kind === "draw") {
    const points = hand.mark.kind === "text" ? [inside(at, size)] : [hand.mark.points[0], inside(at, size)];
    hand.mark = { ...hand.mark, points };
  } else if (hand?.kind === "move") {
    page.change(hand.place, shifted(hand.mark, at[0] - hand.from[0], at[1] - hand.from[1], size), "drag");
    board.changed(false);
  } else if (hand?.kind === "bend") {
    page.change(hand.place, reshaped(page.value[hand.place], hand.point, at, size), "drag");
    board.changed(false);
  } else if (hand?.kind === "pan") {
    const { width, height } = board.stage.getBoundingClientRect();
    board.viewport = panned(hand.viewport, (event.clientX - hand.x) / width, (event.clientY - hand.y) / height);
  }
}

/** @param {Board} board @param {boolean} lifted and not cancelled */
function drop(board, lifted) {
  const { drag: done, page } = board;
  board.drag = null;
  if (done?.kind === "draw" && lifted) board.finish(done.mark);
  else if (done?.kind === "move" || done?.kind === "bend") {
    page.close();
    listMarks(board);
  }
  board.refresh();
}

/** @param {Board} board @param {AbortSignal} signal */
export function wireKeys(board, signal) {
  const set = () => setPoint(board), remove = () => board.remove(board.chosen);
  /** @type {Record<string, () => void>} */
  const keys = {
    v: () => board.take("choose"), a: () => board.take("arrow"), c: () => board.take("circle"), t: () => board.take("text"),
    u: () => board.undo(), U: () => board.redo(), Enter: set, " ": set, Delete: remove, Backspace: remove,
    "+": () => board.zoom(1.5), "=": () => board.zoom(1.5), "-": () => board.zoom(1 / 1.5),
    n: () => board.page.value.length && board.choose((board.chosen + 1) % board.page.value.length),
    Escape: () => board.take("choose"),
  };
  board.stage.addEventListener("keydown", (event) => {
    const { key } = event, control = event.ctrlKey || event.metaKey;
    if (control && key.toLowerCase() === "z") (event.shiftKey ? keys.U : keys.u)();
    else if (control || event.altKey) return;
    else if (ARROWS[key]) step(board, ARROWS[key], event.shiftKey ? FAR : STEP);
    else if (keys[key]) keys[key]();
    else return;
    event.preventDefault();
    // The page must not handle the key as well.
    event.stopPropagation();
  }, { signal });
  board.stage.addEventListener("blur", () => {
    Object.assign(board.pen, { shown: false, from: null });
    // A text mark and its text are one step.
    if (board.editing < 0) board.page.close();
    board.redraw();
  }, { signal });
}

/** Move the selected mark, or else the pen. @param {Board} board @param {[number, number]} arrow @param {number} by */
function step(board, [x, y], by) {
  const { viewport, size, selected, pen, page, chosen } = board, far = (by * Math.max(...size)) / viewport.zoom;
  if (selected && board.tool === "choose") {
    page.change(chosen, shifted(selected, x * far, y * far, size), `keys ${chosen}`);
    return board.changed();
  }
  if (pen.shown) pen.at = inside([pen.at[0] + x * far, pen.at[1] + y * far], size);
  else pen.at = [size[0] * (viewport.x + 0.5 / viewport.zoom), size[1] * (viewport.y + 0.5 / viewport.zoom)];
  pen.shown = true;
  board.redraw();
}

/** Set a point of a mark with the pen, or edit the text of the selected one. @param {Board} board */
function setPoint(board) {
  const { pen } = board;
  if (board.tool === "choose") {
    if (board.selected) board.write(board.chosen);
    return;
  }
  if (!pen.shown) return step(board, [0, 0], 0);
  const mark = board.begun(pen.from ?? pen.at);
  if (!mark) return;
  if (mark.kind !== "text" && !pen.from) pen.from = pen.at;
  else {
    pen.from = null;
    board.finish(mark.kind === "text" ? mark : { ...mark, points: [mark.points[0], inside(pen.at, board.size)] });
  }
  board.redraw();
}

/** @typedef {import("./shapes.js").Mark} Mark */

const INK_NAMES = { accent: "Teal ink", light: "White ink", dark: "Black ink" };

/** @param {string} group @param {string} value @param {string} title @param {string} face HTML of ours */
function choice(group, value, title, face) {
  const label = make("label", "choice");
  label.title = title;
  label.innerHTML = `<input type="radio" name="${group}" value="${value}"><span class="face">${face}</span>`;
  find(label, "input").setAttribute("aria-label", title);
  return label;
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
function mount(root, signal) {
  const board = new Board(root), { entry } = board;
  find(root, ".pens").append(...TOOLS.map(([value, icon, word, title]) =>
    choice("tool", value, title, `<span class="icon" aria-hidden="true">${icon}</span><span class="word">${word}</span>`)));
  find(root, ".inks").append(...Object.entries(INKS).map(([value, [front, back]]) => choice("ink", value,
    INK_NAMES[/** @type {Mark["ink"]} */ (value)], `<span class="swatch" style="background:${front};border-color:${back}"></span>`)));
  wirePointer(board, signal);
  wireKeys(board, signal);
  entry.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Enter" && event.key !== "Escape") return;
    board.written(event.key === "Enter");
    board.stage.focus({ preventScroll: true });
  }, { signal });
  entry.addEventListener("blur", () => board.written(true), { signal });
  root.addEventListener("change", ({ target }) => {
    const radio = /** @type {HTMLInputElement} */ (target);
    if (radio.name === "tool") board.take(radio.value);
    if (radio.name === "ink") board.setInk(/** @type {Mark["ink"]} */ (radio.value));
  }, { signal });
  /** @type {Record<string, () => void>} */
  const buttons = { undo: () => board.undo(), redo: () => board.redo(), delete: () => board.remove(board.chosen),
    in: () => board.zoom(1.5), out: () => board.zoom(1 / 1.5) };
  for (const [name, act] of Object.entries(buttons)) find(root, `.${name}`).addEventListener("click", act, { signal });
  onResize(root, () => board.fit(), signal);
  signal.addEventListener("abort", () => board.close());

  /** @param {import("../../browser/component.js").Given<import("./board.js").BoardHead>} given */
  return ({ data, blobs, setStateValue }) => {
    board.send = setStateValue;
    board.open(data, blobs[0]);
  };
}

export default component(".markup", mount);
