import { described, extend, sheet } from "./sheet.js";
import { post } from "./post.js";

const MOVE = 0.02, FAR = 0.1;
const WIDTHS = { thin: 1 / 28, medium: 1 / 16, thick: 1 / 9 };
const ERASER = 2;
const live = new WeakMap();
/** Sheets outlive the place on the page that they are drawn in. @type {Map<string, ReturnType<typeof sheet>>} */
const sheets = new Map();

/**
 * @typedef {import("./sheet.js").Stroke} Stroke
 * @typedef {{id: string, paper: string, ink: string, turn: number, strokes: Stroke[]}} Given
 * @typedef {(name: string, value: unknown) => void} Send
 */

/** @param {HTMLElement} root */
function mount(root) {
  const $ = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (root.querySelector(selector));
  const canvas = /** @type {HTMLCanvasElement} */ ($("canvas")), paint = canvas.getContext("2d");
  const gone = new AbortController(), { signal } = gone;
  const clock = { after: (/** @type {number} */ ms, /** @type {() => void} */ call) => void setTimeout(call, ms),
    now: () => performance.now() };
  let page = sheet(), id = "", colours = { ink: "white", paper: "black" };
  let erasing = false, width = WIDTHS.medium, drawing = false;
  /** @type {Send} */
  let send = () => {};
  /** @type {ReturnType<typeof post>} */
  let courier = post(() => {}, clock, 0);
  /** What each finger, mouse or pen is drawing, and where the paper was: the page may move while a line is drawn.
   * @type {Map<number, {stroke: Stroke, box: DOMRect}>} */
  const hands = new Map();
  /** The pen that the keyboard moves. */
  const key = { x: 0.5, y: 0.5, shown: false, stroke: /** @type {Stroke | null} */ (null) };

  function draw() {
    drawing = false;
    if (!paint) return;
    const side = canvas.width;
    paint.fillStyle = colours.paper;
    paint.fillRect(0, 0, side, side);
    paint.lineCap = paint.lineJoin = "round";
    for (const { points, width: thick, erases } of page.strokes()) {
      paint.strokeStyle = paint.fillStyle = erases ? colours.paper : colours.ink;
      paint.lineWidth = Math.max(1, thick * side);
      paint.beginPath();
      if (points.length === 2) {
        // A line of no length would not be drawn.
        paint.arc(points[0] * side, points[1] * side, paint.lineWidth / 2, 0, 2 * Math.PI);
        paint.fill();
        continue;
      }
      for (let i = 0; i < points.length; i += 2) paint.lineTo(points[i] * side, points[i + 1] * side);
      paint.stroke();
    }
    if (!key.shown) return;
    paint.strokeStyle = key.stroke ? "#e0568f" : "#888";
    paint.lineWidth = Math.max(2, side / 150);
    paint.beginPath();
    paint.arc(key.x * side, key.y * side, (width * side * (erasing ? ERASER : 1)) / 2 + 3, 0, 2 * Math.PI);
    paint.stroke();
  }

  function soon() {
    if (!drawing) requestAnimationFrame(draw);
    drawing = true;
  }

  function changed() {
    soon();
    courier.touch();
  }

  function tell() {
    const words = described(page.strokes());
    canvas.setAttribute("aria-label", `Paper to draw on. ${words}`);
    $(".said").textContent = words;
    for (const [selector, off] of /** @type {[string, boolean][]} */ (
      [[".undo", !page.steps()], [".clear", !page.strokes().length]]
    )) /** @type {HTMLButtonElement} */ ($(selector)).disabled = off;
  }

  /** @param {PointerEvent} event @param {DOMRect} box */
  function place(event, box) {
    return /** @type {const} */ ([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
  }

  /** @param {number} x @param {number} y @param {boolean} [rubber] */
  function begun(x, y, rubber = false) {
    const erases = erasing || rubber;
    return page.begin(x, y, erases ? width * ERASER : width, erases);
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    key.shown = false;
    // The other end of a pen is its eraser.
    const box = canvas.getBoundingClientRect(), [x, y] = place(event, box);
    hands.set(event.pointerId, { stroke: begun(x, y, (event.buttons & 32) > 0), box });
    changed();
  }, { signal });
  canvas.addEventListener("pointermove", (event) => {
    const hand = hands.get(event.pointerId);
    if (!hand) return;
    const all = event.getCoalescedEvents?.() ?? [];
    let moved = false;
    for (const one of all.length ? all : [event]) moved = extend(hand.stroke, ...place(one, hand.box)) || moved;
    if (moved) changed();
  }, { signal });
  for (const name of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
    canvas.addEventListener(name, ({ pointerId }) => {
      if (hands.delete(pointerId)) tell();
    }, { signal });
  }

  function undo() {
    hands.clear();
    key.stroke = null;
    if (page.undo()) changed();
    tell();
  }

  function clear() {
    hands.clear();
    key.stroke = null;
    if (page.clear()) changed();
    tell();
  }

  /** @param {boolean} rubber */
  function take(rubber) {
    erasing = rubber;
    $(".pen").setAttribute("aria-pressed", String(!rubber));
    $(".eraser").setAttribute("aria-pressed", String(rubber));
    soon();
  }

  /** @type {Record<string, [number, number]>} */
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const arrow = arrows[event.key], typed = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && typed === "z") undo();
    else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (arrow) {
      const by = event.shiftKey ? FAR : MOVE;
      key.x = Math.min(1, Math.max(0, key.x + arrow[0] * by));
      key.y = Math.min(1, Math.max(0, key.y + arrow[1] * by));
      key.shown = true;
      if (key.stroke && extend(key.stroke, key.x, key.y)) changed();
      else soon();
    } else if (typed === " " || typed === "enter") {
      key.shown = true;
      if (key.stroke) key.stroke = null;
      else {
        key.stroke = begun(key.x, key.y);
        changed();
      }
      tell();
      soon();
    } else if (typed === "e") take(!erasing);
    else if (typed === "u") undo();
    else if (typed === "c") clear();
    else return;
    event.preventDefault();
    // What the page does with a key is not meant here.
    event.stopPropagation();
  }, { signal });
  canvas.addEventListener("blur", () => {
    key.shown = false;
    key.stroke = null;
    tell();
    soon();
  }, { signal });

  $(".pen").addEventListener("click", () => take(false), { signal });
  $(".eraser").addEventListener("click", () => take(true), { signal });
  $(".undo").addEventListener("click", undo, { signal });
  $(".clear").addEventListener("click", clear, { signal });
  $(".width").addEventListener("change", (event) => {
    const chosen = /** @type {HTMLSelectElement} */ (event.target).value;
    width = WIDTHS[/** @type {keyof typeof WIDTHS} */ (chosen)];
  }, { signal });

  const fitted = new ResizeObserver(() => {
    const side = Math.round(canvas.clientWidth * window.devicePixelRatio);
    if (!side || side === canvas.width) return;
    canvas.width = canvas.height = side;
    draw();
  });
  fitted.observe(canvas);

  return {
    /** @param {Given} data @param {Send} setStateValue */
    show(data, setStateValue) {
      send = setStateValue;
      colours = { ink: data.ink, paper: data.paper };
      if (data.id !== id) {
        id = data.id;
        page = sheets.get(id) ?? sheet(data.strokes);
        sheets.set(id, page);
        courier = post((turn) => send("drawing", { turn, strokes: page.strokes() }), clock, data.turn);
      }
      courier.heard(data.turn);
      tell();
      soon();
    },
    unmount() {
      gone.abort();
      fitted.disconnect();
    },
  };
}

/** @param {{data: Given, parentElement: HTMLElement, setStateValue: Send}} component */
export default function ({ data, parentElement, setStateValue }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".pad"));
  let pad = live.get(root);
  if (!pad) live.set(root, (pad = mount(root)));
  pad.show(data, setStateValue);
  return () => {
    pad.unmount();
    live.delete(root);
  };
}
