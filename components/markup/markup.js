// Arrows, circles and words over a picture. Each step is told to Python at once, which keeps it and draws nothing anew.

import { unpack } from "../viewer/unpack.js";
import { panned, visible, zoomAt } from "../viewer/geometry.js";
import { MOST_MARKS, bent, drawingOf, inside, lettersBox, meant, shifted, told, under, unitOf } from "./shapes.js";
import { INKS, drawn, figure } from "./figure.js";
import { steps } from "./steps.js";

/**
 * @typedef {import("./shapes.js").Mark} Mark @typedef {import("./shapes.js").Point} Point
 * @typedef {import("../viewer/geometry.js").Look} Look
 * @typedef {{id: string, size: number[], marks: Mark[], height: number, about: string}} Head
 * @typedef {(name: string, value: unknown) => void} Send
 * @typedef {{kind: "draw", mark: Mark}|{kind: "move", place: number, from: Point, mark: Mark}|
 *   {kind: "bend", place: number, point: number}|{kind: "pan", look: Look, x: number, y: number}} Hand
 */

/** @type {[string, string, string, string][]} */
const TOOLS = [
  ["choose", "arrow_selector_tool", "Choose", "Choose, move and change marks (V)"],
  ["arrow", "north_east", "Arrow", "Draw an arrow, from its tail to what it points at (A)"],
  ["circle", "circle", "Circle", "Draw a circle, from its middle (C)"],
  ["text", "title", "Words", "Write words at a place (T)"],
];
const INK_NAMES = { accent: "Teal ink", light: "White ink", dark: "Black ink" };
const REACH = 12, WAIT = 150, STEP = 0.01, FAR = 0.05;
const live = new WeakMap();
/** Marks outlive the place on the page that they are drawn in. @type {Map<string, ReturnType<typeof steps>>} */
const pages = new Map();

/** @param {string} group @param {string} value @param {string} title @param {string} face HTML of ours */
function choice(group, value, title, face) {
  const label = document.createElement("label");
  label.className = "choice";
  label.title = title;
  label.innerHTML = `<input type="radio" name="${group}" value="${value}"><span class="face">${face}</span>`;
  label.firstElementChild?.setAttribute("aria-label", title);
  return label;
}

/** @param {HTMLElement} root */
function mount(root) {
  const $ = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (root.querySelector(selector));
  const stage = /** @type {SVGSVGElement} */ (root.querySelector(".stage"));
  const entry = /** @type {HTMLInputElement} */ ($(".words"));
  const gone = new AbortController(), { signal } = gone;
  let page = steps(), id = "", size = [1, 1], tallest = 496, about = "", url = "";
  /** @type {Look} */
  let look = { x: 0, y: 0, zoom: 1 };
  let tool = "choose", chosen = -1, editing = -1, frame = 0, timer = 0;
  /** @type {Mark["ink"]} */
  let ink = "accent";
  /** @type {Hand|null} */
  let hand = null;
  /** Where fingers are, to zoom with two. @type {Map<number, {x: number, y: number}>} */
  const fingers = new Map();
  /** The pen that keys move, and where a mark was begun with it. */
  const key = { at: /** @type {Point} */ ([0, 0]), shown: false, from: /** @type {Point|null} */ (null) };
  /** @type {Send} */
  let send = () => {};

  $(".pens").append(...TOOLS.map(([value, icon, word, title]) =>
    choice("tool", value, title, `<span class="icon" aria-hidden="true">${icon}</span><span class="word">${word}</span>`)));
  $(".inks").append(...Object.entries(INKS).map(([value, [front, back]]) => choice("ink", value,
    INK_NAMES[/** @type {Mark["ink"]} */ (value)], `<span class="swatch" style="background:${front};border-color:${back}"></span>`)));

  const unit = () => unitOf(size, look.zoom);

  /** @param {{clientX: number, clientY: number}} event @returns {Point} */
  function pointOf({ clientX, clientY }) {
    const box = stage.getBoundingClientRect(), [x0, y0, x1, y1] = visible(look, size);
    return [x0 + ((clientX - box.left) / box.width) * (x1 - x0), y0 + ((clientY - box.top) / box.height) * (y1 - y0)];
  }

  /** Pixels of the picture in one of the screen. */
  const scale = () => size[0] / look.zoom / (stage.clientWidth || 1);

  function soon() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    const [x0, y0, x1, y1] = visible(look, size), u = unit(), aids = [];
    stage.setAttribute("viewBox", `${x0} ${y0} ${x1 - x0} ${y1 - y0}`);
    const shown = hand?.kind === "draw" ? [...page.marks(), hand.mark] : page.marks();
    // What is being written is seen where it is written.
    $(".marks").replaceChildren(...shown.filter((_, i) => i !== editing).map((one) => figure(one, u, size)));
    const mark = page.marks()[chosen];
    if (mark?.kind === "text" && !hand) {
      const [left, top, right, bottom] = lettersBox(mark, u, size), far = 4 * scale();
      aids.push(drawn("rect", { x: left - far, y: top - far, width: right - left + 2 * far, height: bottom - top + 2 * far,
        rx: far, fill: "none", stroke: "#fff", "stroke-width": 1.5 * scale(), "stroke-dasharray": 4 * scale() }));
    } else if (mark && !hand) {
      for (const [x, y] of mark.points) {
        aids.push(drawn("circle", { cx: x, cy: y, r: 5 * scale(), fill: "#fff", stroke: "#0b6f78", "stroke-width": 2 * scale() }));
      }
    }
    if (key.shown) {
      const [x, y] = key.at, arm = 9 * scale();
      for (const [colour, wide] of /** @type {[string, number][]} */ ([["#141414", 4], ["#fff", 1.6]])) {
        aids.push(drawn("path", { d: `M${x - arm} ${y}h${2 * arm}M${x} ${y - arm}v${2 * arm}`, stroke: colour,
          "stroke-width": wide * scale(), fill: "none" }));
      }
      const from = key.from && fresh(key.from);
      if (from) aids.push(figure({ ...from, points: [from.points[0], key.at] }, u, size));
    }
    $(".aids").replaceChildren(...aids);
    stage.classList.toggle("choosing", tool === "choose");
    stage.classList.toggle("whole", look.zoom === 1);
    if (!entry.hidden) placeEntry(u);
  }

  /** @param {number} u */
  function placeEntry(u) {
    const mark = page.marks()[editing];
    if (!mark) return;
    const { words: there } = drawingOf({ ...mark, text: mark.text || "x" }, u, size), [x0, y0, x1, y1] = visible(look, size);
    const [x, y] = there?.at ?? mark.points[0], left = stage.getBoundingClientRect().left - $(".board").getBoundingClientRect().left;
    const across = stage.clientWidth, wide = entry.offsetWidth;
    entry.style.left = `${left + Math.max(0, Math.min(across - wide, ((x - x0) / (x1 - x0)) * across))}px`;
    entry.style.top = `${Math.max(0, ((y - y0) / (y1 - y0)) * stage.clientHeight - entry.offsetHeight / 2)}px`;
  }

  /** All marks, as Python is to keep them: words that are not written yet are none. */
  function tell() {
    clearTimeout(timer);
    timer = 0;
    // By its step Python knows what it has heard already, in a run that something else began.
    const step = `${Date.now()} ${Math.random()}`;
    send("marks", { id, step, marks: page.marks().filter(({ kind, text }) => kind !== "text" || text.trim()) });
  }

  /** @param {boolean} [listed] whether the list is drawn anew: not under a hand that writes in it */
  function changed(listed = true) {
    if (chosen >= page.marks().length) chosen = -1;
    clearTimeout(timer);
    timer = setTimeout(tell, WAIT);
    if (listed) list();
    words();
    soon();
  }

  function words() {
    const count = page.marks().length, mark = page.marks()[chosen];
    for (const [selector, off] of /** @type {[string, boolean][]} */ ([[".undo", !page.back()], [".redo", !page.forth()],
      [".delete", !mark], [".out", look.zoom === 1]])) /** @type {HTMLButtonElement} */ ($(selector)).disabled = off;
    const say = mark ? `Chosen: ${named(mark)}.` : count ? `${count} ${count === 1 ? "mark" : "marks"}.` :
      "No marks yet: draw an arrow or a circle, or write words.";
    $(".said").textContent = say;
    stage.setAttribute("aria-label", `${about} ${say}`);
    for (const node of root.querySelectorAll("input[type=radio]")) {
      const radio = /** @type {HTMLInputElement} */ (node);
      radio.checked = radio.value === (radio.name === "tool" ? tool : mark?.ink ?? ink);
    }
    [...$(".list").children].forEach((row, i) => row.setAttribute("aria-current", String(i === chosen)));
  }

  /** @param {Mark} mark */
  function named(mark) {
    return mark.text.trim() ? `${told(mark, size)}, “${mark.text.trim()}”` : told(mark, size);
  }

  /** Every mark with its words, for keys and for who does not see the picture. */
  function list() {
    $(".list").replaceChildren(...page.marks().map((mark, i) => {
      const row = document.createElement("li"), what = told(mark, size);
      row.innerHTML = '<button type="button"><span class="icon" aria-hidden="true"></span><span></span></button>' +
        '<input type="text" maxlength="120" placeholder="no words"><button type="button" class="away"><span class="icon" ' +
        'aria-hidden="true">close</span></button>';
      const [pick, input, away] = /** @type {[HTMLElement, HTMLInputElement, HTMLElement]} */ (/** @type {unknown} */ ([...row.children]));
      pick.children[0].textContent = TOOLS.find(([value]) => value === mark.kind)?.[1] ?? "";
      pick.children[1].textContent = what;
      pick.title = "Choose this mark";
      input.value = mark.text;
      input.setAttribute("aria-label", `Words of: ${what}`);
      away.setAttribute("aria-label", `Delete: ${named(mark)}`);
      away.title = "Delete this mark";
      pick.addEventListener("click", () => choose(i));
      input.addEventListener("input", () => {
        page.change(i, { ...page.marks()[i], text: input.value }, `words ${i}`);
        changed(false);
      });
      input.addEventListener("change", () => page.close());
      away.addEventListener("click", () => remove(i));
      return row;
    }));
  }

  /** @param {number} place */
  function choose(place) {
    chosen = place;
    page.close();
    take("choose");
  }

  /** @param {number} place */
  function remove(place) {
    page.remove(place);
    chosen = -1;
    changed();
  }

  /** @param {string} next */
  function take(next) {
    tool = next;
    key.from = null;
    if (tool !== "choose") chosen = -1;
    words();
    soon();
  }

  /** A mark that begins here. @param {Point} at @returns {Mark|null} */
  function fresh(at) {
    const kind = /** @type {Mark["kind"]} */ (tool), from = inside(at, size);
    return tool === "choose" ? null : { kind, points: kind === "text" ? [from] : [from, from], text: "", ink };
  }

  /** @param {Mark} mark */
  function finish(mark) {
    if (page.marks().length >= MOST_MARKS || !meant(mark, unit())) return;
    chosen = page.add(mark, mark.kind === "text" ? "new" : "");
    changed();
    if (mark.kind === "text") write(chosen);
  }

  /** Words are written where they stand. @param {number} place */
  function write(place) {
    editing = place;
    entry.hidden = false;
    entry.value = page.marks()[place].text;
    draw();
    entry.focus({ preventScroll: true });
    entry.select();
  }

  /** @param {boolean} kept */
  function written(kept) {
    if (editing < 0) return;
    const place = editing, mark = page.marks()[place], text = entry.value.trim();
    editing = -1;
    entry.hidden = true;
    if (!mark) return;
    if (kept && text !== mark.text) page.change(place, { ...mark, text }, mark.kind === "text" && !mark.text ? "new" : "");
    if (page.marks()[place].kind === "text" && !page.marks()[place].text) {
      page.undo();
      chosen = -1;
    }
    page.close();
    changed();
  }

  /** @param {PointerEvent} event */
  function pressed(event) {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    written(true);
    stage.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    key.shown = false;
    key.from = null;
    if (fingers.size > 1) {
      hand = null;
      return soon();
    }
    const at = pointOf(event), mark = fresh(at);
    if (mark) hand = { kind: "draw", mark };
    else {
      const reach = REACH * scale() * (event.pointerType === "mouse" ? 0.7 : 1.6), held = page.marks()[chosen];
      const point = held ? held.points.findIndex(([x, y]) => Math.hypot(x - at[0], y - at[1]) <= reach) : -1;
      const found = point < 0 ? under(page.marks(), at, reach, unit(), size) : chosen;
      page.close();
      if (point >= 0 && held.kind !== "text" && !(held.kind === "circle" && point === 0)) hand = { kind: "bend", place: chosen, point };
      else if (found >= 0) hand = { kind: "move", place: found, from: at, mark: page.marks()[found] };
      else hand = look.zoom > 1 ? { kind: "pan", look, x: event.clientX, y: event.clientY } : null;
      chosen = found;
    }
    words();
    soon();
  }

  /** @param {PointerEvent} event */
  function moved(event) {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const box = stage.getBoundingClientRect();
    if (fingers.size === 2) {
      const other = /** @type {{x: number, y: number}} */ ([...fingers].find(([name]) => name !== event.pointerId)?.[1]);
      const from = Math.hypot(before.x - other.x, before.y - other.y), to = Math.hypot(event.clientX - other.x, event.clientY - other.y);
      look = zoomAt(look, (other.x - box.left) / box.width, (other.y - box.top) / box.height, to / Math.max(1, from));
      words();
    }
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const at = pointOf(event);
    if (hand?.kind === "draw") {
      const first = hand.mark.points[0];
      hand.mark = { ...hand.mark, points: hand.mark.kind === "text" ? [inside(at, size)] : [first, inside(at, size)] };
    } else if (hand?.kind === "move") {
      page.change(hand.place, shifted(hand.mark, at[0] - hand.from[0], at[1] - hand.from[1], size), "drag");
      changed(false);
    } else if (hand?.kind === "bend") {
      page.change(hand.place, bent(page.marks()[hand.place], hand.point, at, size), "drag");
      changed(false);
    } else if (hand?.kind === "pan") {
      look = panned(hand.look, (event.clientX - hand.x) / box.width, (event.clientY - hand.y) / box.height);
    }
    soon();
  }

  /** @param {PointerEvent} event */
  function lifted(event) {
    if (!fingers.delete(event.pointerId)) return;
    const done = hand;
    hand = null;
    if (done?.kind === "draw" && event.type === "pointerup") finish(done.mark);
    else if (done?.kind === "move" || done?.kind === "bend") {
      page.close();
      list();
    }
    words();
    soon();
  }

  stage.addEventListener("pointerdown", pressed, { signal });
  stage.addEventListener("pointermove", moved, { signal });
  for (const name of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
    stage.addEventListener(name, lifted, { signal });
  }
  stage.addEventListener("dblclick", (event) => {
    const place = tool === "choose" ? under(page.marks(), pointOf(event), REACH * scale(), unit(), size) : -1;
    if (place >= 0) write(place);
  }, { signal });
  stage.addEventListener("wheel", (event) => {
    // Without a key the wheel is the page's.
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    look = zoomAt(look, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, Math.exp(-event.deltaY / 300));
    words();
    soon();
  }, { signal, passive: false });
  entry.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Enter" && event.key !== "Escape") return;
    written(event.key === "Enter");
    stage.focus({ preventScroll: true });
  }, { signal });
  entry.addEventListener("blur", () => written(true), { signal });

  /** @param {number} by */
  function zoom(by) {
    look = zoomAt(look, 0.5, 0.5, by);
    words();
    soon();
  }

  /** @type {Record<string, [number, number]>} */
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  /** @param {[number, number]} arrow @param {number} by */
  function stepped([x, y], by) {
    const far = (by * Math.max(...size)) / look.zoom, mark = page.marks()[chosen];
    if (mark && tool === "choose") {
      page.change(chosen, shifted(mark, x * far, y * far, size), `keys ${chosen}`);
      return changed();
    }
    if (!key.shown) key.at = [size[0] * (look.x + 0.5 / look.zoom), size[1] * (look.y + 0.5 / look.zoom)];
    else key.at = inside([key.at[0] + x * far, key.at[1] + y * far], size);
    key.shown = true;
    soon();
  }

  function set() {
    if (tool === "choose") {
      if (page.marks()[chosen]) write(chosen);
      return;
    }
    if (!key.shown) return stepped([0, 0], 0);
    const mark = fresh(key.from ?? key.at);
    if (!mark) return;
    if (mark.kind !== "text" && !key.from) key.from = key.at;
    else {
      key.from = null;
      finish(mark.kind === "text" ? mark : { ...mark, points: [mark.points[0], inside(key.at, size)] });
    }
    soon();
  }

  function undo() {
    if (page.undo()) changed();
  }

  function redo() {
    if (page.redo()) changed();
  }

  /** @type {Record<string, () => void>} */
  const keys = { v: () => take("choose"), a: () => take("arrow"), c: () => take("circle"), t: () => take("text"), u: undo, U: redo,
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), Enter: set, " ": set, Delete: () => remove(chosen),
    Backspace: () => remove(chosen), n: () => page.marks().length && choose((chosen + 1) % page.marks().length),
    Escape: () => take("choose") };
  stage.addEventListener("keydown", (event) => {
    const held = event.ctrlKey || event.metaKey;
    if (held && event.key.toLowerCase() === "z") (event.shiftKey ? redo : undo)();
    else if (held || event.altKey) return;
    else if (arrows[event.key]) stepped(arrows[event.key], event.shiftKey ? FAR : STEP);
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
    // What the page does with a key is not meant here.
    event.stopPropagation();
  }, { signal });
  stage.addEventListener("blur", () => {
    key.shown = false;
    key.from = null;
    // A text and its words are one step.
    if (editing < 0) page.close();
    soon();
  }, { signal });
  root.addEventListener("change", (event) => {
    const radio = /** @type {HTMLInputElement} */ (event.target);
    if (radio.name === "tool") take(radio.value);
    if (radio.name !== "ink") return;
    ink = /** @type {Mark["ink"]} */ (radio.value);
    if (page.marks()[chosen]) {
      page.change(chosen, { ...page.marks()[chosen], ink });
      changed();
    }
  }, { signal });
  /** @type {Record<string, () => void>} */
  const buttons = { ".undo": undo, ".redo": redo, ".delete": () => remove(chosen), ".in": () => zoom(1.5), ".out": () => zoom(1 / 1.5) };
  for (const [selector, act] of Object.entries(buttons)) $(selector).addEventListener("click", act, { signal });

  function fit() {
    const room = root.clientWidth, aspect = size[0] / size[1];
    const high = Math.max(300, tallest + window.innerHeight - 900), wide = Math.max(1, Math.floor(Math.min(room, high * aspect)));
    stage.style.width = `${wide}px`;
    stage.style.height = `${Math.round(wide / aspect)}px`;
    soon();
  }
  const fitted = new ResizeObserver(fit);
  fitted.observe(root);

  return {
    /** @param {Head} head @param {Uint8Array} picture @param {Send} setStateValue */
    show(head, picture, setStateValue) {
      send = setStateValue;
      if (head.id === id) return;
      ({ id, size, about } = head);
      tallest = head.height;
      page = pages.get(id) ?? steps(head.marks);
      pages.set(id, page);
      [chosen, editing, look, hand] = [-1, -1, { x: 0, y: 0, zoom: 1 }, null];
      entry.hidden = true;
      tool = page.marks().length ? "choose" : "arrow";
      URL.revokeObjectURL(url);
      url = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (picture)], { type: "image/jpeg" }));
      const image = $(".under");
      for (const [name, value] of Object.entries({ href: url, width: size[0], height: size[1] })) image.setAttribute(name, String(value));
      list();
      words();
      fit();
    },
    unmount() {
      if (timer) tell();
      gone.abort();
      fitted.disconnect();
      URL.revokeObjectURL(url);
    },
  };
}

/** @param {{data: Uint8Array, parentElement: HTMLElement, setStateValue: Send}} component */
export default function ({ data, parentElement, setStateValue }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".markup"));
  let board = live.get(root);
  if (!board) live.set(root, (board = mount(root)));
  const { head, blobs } = unpack(data);
  board.show(head, blobs[0], setStateValue);
  return () => {
    board.unmount();
    live.delete(root);
  };
}
