// The geometry of marks, in pixels of the picture, the same as in files: sightglass/export/annotations.py.

import { find } from "../../browser/component.js";
import { svgElement, svgText } from "../../browser/elements.js";

/**
 * @typedef {[number, number]} Point
 * @typedef {{kind: "arrow"|"circle"|"text", points: Point[], text: string, ink: "light"|"dark"|"accent"}} Mark
 *   points: of an arrow its tail and its head, of a circle its centre and a point on it, of a text where it begins
 * @typedef {{at: Point, anchor: "start"|"middle"|"end", lines: string[], size: number}} Words  `at`: the middle of the
 *   first line's height
 * @typedef {{line: [Point, Point]|null, head: Point[], circle: {at: Point, radius: number}|null, words: Words|null}} Drawing
 */

/** In units, which are one pixel where the picture is 500 long. */
export const STROKE = 2.6, HALO = 1.6;
const HEAD = 15, HALF = 6, TEXT = 16, LEADING = 1.25, ACROSS = 0.58, GAP_TEXT = 8;
/** Letters of a line, and of a mark. */
const MAX_LINE = 28, MAX_LETTERS = 120;
/** Units of the smallest mark: a smaller one is an accident. */
const MIN_SIZE = 4;
export const MAX_MARKS = 100;

/** @param {number[]} size of the picture @param {number} [zoom] lines stay as thin on the screen @returns {number} */
export function unitOf([width, height], zoom = 1) {
  return Math.max(width, height) / 500 / zoom;
}

/** @param {Point} a @param {Point} b */
export function apart([ax, ay], [bx, by]) {
  return Math.hypot(bx - ax, by - ay);
}

/** Wrap text to lines of at most 28 letters; a longer word has a line of its own. @param {string} text @returns {string[]} */
export function wrapped(text) {
  /** @type {string[]} */
  const lines = [];
  for (const word of text.slice(0, MAX_LETTERS).split(/\s+/).filter(Boolean)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= MAX_LINE) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** @param {Mark} mark @param {number} unit @param {number[]} size @returns {Drawing} */
export function drawingOf(mark, unit, size) {
  const tall = TEXT * LEADING * unit, down = (wrapped(mark.text).length - 0.5) * tall, gap = GAP_TEXT * unit;
  if (mark.kind === "circle") return circleOf(mark, unit, size, down, gap);
  if (mark.kind === "arrow") return arrowOf(mark, unit, size, down, gap);
  return { line: null, head: [], circle: null, words: placed(mark.text, mark.points[0], "start", unit, size) };
}

/**
 * Place its text above it, or below where there is no room.
 * @param {Mark} mark @param {number} unit @param {number[]} size @param {number} down @param {number} gap @returns {Drawing}
 */
function circleOf({ points: [at, edge], text }, unit, size, down, gap) {
  const radius = apart(at, edge), above = at[1] - radius - gap - down;
  const y = above >= (TEXT * unit) / 2 ? above : at[1] + radius + gap + (TEXT * LEADING * unit) / 2;
  return { line: null, head: [], circle: { at, radius }, words: placed(text, [at[0], y], "middle", unit, size) };
}

/**
 * Place its text beyond its tail, away from where it points.
 * @param {Mark} mark @param {number} unit @param {number[]} size @param {number} down @param {number} gap @returns {Drawing}
 */
function arrowOf({ points: [tail, tip], text }, unit, size, down, gap) {
  const length = apart(tail, tip) || 1, long = Math.min(HEAD * unit, length * 0.6), half = (long / HEAD) * HALF;
  const dx = (tip[0] - tail[0]) / length, dy = (tip[1] - tail[1]) / length, tall = TEXT * LEADING * unit;
  /** @type {Point} */
  const base = [tip[0] - dx * long, tip[1] - dy * long];
  /** @type {Point[]} */
  const head = [tip, [base[0] - dy * half, base[1] + dx * half], [base[0] + dy * half, base[1] - dx * half]];
  const room = (dx < 0 ? size[0] - tail[0] : tail[0]) - gap;
  // Where there is none beside the tail, above or below it.
  const anchor = Math.abs(dx) < 0.5 || room < wide(wrapped(text), unit) ? "middle" : dx < 0 ? "start" : "end";
  const x = anchor === "middle" ? tail[0] : tail[0] - Math.sign(dx) * gap;
  const beside = tail[1] - (down - tall / 2) / 2, y = dy > 0 ? tail[1] - gap - down : tail[1] + gap + tall / 2;
  const words = placed(text, [x, anchor === "middle" ? y : beside], anchor, unit, size);
  return { line: [tail, base], head, circle: null, words };
}

/** Estimate the width of lines. @param {string[]} lines @param {number} unit */
function wide(lines, unit) {
  return Math.max(0, ...lines.map(({ length }) => length)) * ACROSS * TEXT * unit;
}

/**
 * Place text, moved as far as it would leave the picture.
 * @param {string} text @param {Point} at @param {"start"|"middle"|"end"} anchor @param {number} unit @param {number[]} size
 * @returns {Words|null}
 */
function placed(text, [x, y], anchor, unit, [width, height]) {
  const lines = wrapped(text), letter = TEXT * unit;
  if (!lines.length) return null;
  const across = Math.min(width, wide(lines, unit));
  const before = { start: 0, middle: across / 2, end: across }[anchor], down = (lines.length - 1) * LEADING * letter;
  return {
    at: [clamped(x, before, width - across + before), clamped(y, letter / 2, height - letter / 2 - down)],
    anchor,
    lines,
    size: letter,
  };
}

/** Return the middle of the height of line `i`. @param {Words} words @param {number} i @returns {Point} */
export function lineAt({ at, size }, i) {
  return [at[0], at[1] + i * LEADING * size];
}

/** @param {number} value @param {number} low @param {number} high */
function clamped(value, low, high) {
  return Math.max(low, Math.min(Math.max(low, high), value));
}

/** @param {Point} point @param {number[]} size @returns {Point} within the picture, to a hundredth of a pixel */
export function inside([x, y], [width, height]) {
  const exact = (/** @type {number} */ value) => Math.round(100 * value) / 100;
  return [exact(clamped(x, 0, width)), exact(clamped(y, 0, height))];
}

/** @param {Mark} mark @param {number} dx @param {number} dy @param {number[]} size @returns {Mark} moved, its points in the picture */
export function shifted(mark, dx, dy, [width, height]) {
  // Only the centre of a circle stays inside: it may reach over the edge.
  const kept = mark.kind === "circle" ? mark.points.slice(0, 1) : mark.points;
  const xs = kept.map(([x]) => x), ys = kept.map(([, y]) => y);
  const bx = clamped(dx, -Math.min(...xs), width - Math.max(...xs)), by = clamped(dy, -Math.min(...ys), height - Math.max(...ys));
  return { ...mark, points: mark.points.map(([x, y]) => [Math.round(100 * (x + bx)) / 100, Math.round(100 * (y + by)) / 100]) };
}

/** @param {Mark} mark @param {number} place of the point @param {Point} to @param {number[]} size @returns {Mark} */
export function reshaped(mark, place, to, size) {
  return { ...mark, points: mark.points.map((point, i) => (i === place ? inside(to, size) : point)) };
}

/** Whether it was not drawn by accident. @param {Mark} mark @param {number} unit */
export function isLargeEnough({ kind, points }, unit) {
  return kind === "text" || apart(points[0], points[1]) >= MIN_SIZE * unit;
}

/** Return how far a point is from what is drawn of a mark. @param {Mark} mark @param {Point} point @param {number} unit @param {number[]} size */
export function distance(mark, point, unit, size) {
  const { line, circle, words } = drawingOf(mark, unit, size);
  const found = [Infinity];
  if (line) found.push(toSegment(point, mark.points[0], mark.points[1]));
  if (circle) found.push(Math.abs(apart(circle.at, point) - circle.radius));
  if (words) {
    const [left, top, right, bottom] = textBox(mark, unit, size);
    found.push(Math.hypot(Math.max(left - point[0], 0, point[0] - right), Math.max(top - point[1], 0, point[1] - bottom)));
  }
  return Math.min(...found);
}

/** Estimate the box of a mark's text: x0, y0, x1, y1. @param {Mark} mark @param {number} unit @param {number[]} size */
export function textBox(mark, unit, size) {
  const { words } = drawingOf(mark, unit, size);
  if (!words) return [...mark.points[0], ...mark.points[0]];
  const across = wide(words.lines, unit), left = words.at[0] - { start: 0, middle: across / 2, end: across }[words.anchor];
  const last = lineAt(words, words.lines.length - 1)[1];
  return [left, words.at[1] - words.size / 2, left + across, last + words.size / 2];
}

/** @param {Point} point @param {Point} from @param {Point} to */
function toSegment(point, from, to) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]], long = dx * dx + dy * dy;
  const t = long ? clamped(((point[0] - from[0]) * dx + (point[1] - from[1]) * dy) / long, 0, 1) : 0;
  return apart(point, [from[0] + t * dx, from[1] + t * dy]);
}

/** Return the index of the nearest mark within reach, of equals the last drawn; -1 for none.
 * @param {Mark[]} marks @param {Point} point @param {number} reach @param {number} unit @param {number[]} size */
export function markAt(marks, point, reach, unit, size) {
  let best = -1, least = reach;
  marks.forEach((mark, i) => {
    const far = distance(mark, point, unit, size);
    if (far <= least) [best, least] = [i, far];
  });
  return best;
}

/** Describe a mark for a screen reader. @param {Mark} mark @param {number[]} size */
export function describe({ kind, points }, size) {
  const [x, y] = kind === "arrow" ? points[1] : points[0];
  const down = third(y / size[1], ["top", "", "bottom"]), across = third(x / size[0], ["left", "", "right"]);
  const where = down || across ? `at the ${[down, across].filter(Boolean).join(" ")}` : "in the middle";
  return `${{ arrow: "Arrow head", circle: "Circle", text: "Text" }[kind]} ${where}`;
}

/** @param {number} share @param {string[]} words */
function third(share, [low, middle, high]) {
  return share < 0.36 ? low : share > 0.64 ? high : middle;
}

/** @typedef {import("./board.js").Board} Board */

/** Value, icon, label and tooltip. @type {[string, string, string, string][]} */
export const TOOLS = [
  ["choose", "arrow_selector_tool", "Select", "Select, move and change marks (V)"],
  ["arrow", "north_east", "Arrow", "Draw an arrow, from its tail to what it points at (A)"],
  ["circle", "circle", "Circle", "Draw a circle from its centre (C)"],
  ["text", "title", "Text", "Write text (T)"],
];

/** @param {Mark} mark @param {number[]} size */
function titled(mark, size) {
  const text = mark.text.trim();
  return describe(mark, size) + (text ? `, “${text}”` : "");
}

/** @param {Board} board */
export function listMarks(board) {
  const { page, size } = board;
  find(board.root, ".list").replaceChildren(...page.value.map((mark, i) => {
    const row = document.createElement("li"), what = describe(mark, size);
    row.innerHTML = '<button type="button" title="Select this mark"><span class="icon" aria-hidden="true"></span>' +
      '<span class="what"></span></button><input type="text" maxlength="120" placeholder="no text">' +
      '<button type="button" class="away" title="Delete this mark"><span class="icon" aria-hidden="true">close</span></button>';
    const input = find(row, "input"), away = find(row, ".away");
    find(row, ".icon").textContent = TOOLS.find(([value]) => value === mark.kind)?.[1] ?? "";
    find(row, ".what").textContent = what;
    input.value = mark.text;
    input.setAttribute("aria-label", `Text of: ${what}`);
    away.setAttribute("aria-label", `Delete: ${titled(mark, size)}`);
    find(row, "button").addEventListener("click", () => board.choose(i));
    input.addEventListener("input", () => {
      page.change(i, { ...page.value[i], text: input.value }, `words ${i}`);
      board.changed(false);
    });
    input.addEventListener("change", () => page.close());
    away.addEventListener("click", () => board.remove(i));
    return row;
  }));
}

/** Show which tool and mark are selected, and say it to screen readers. @param {Board} board */
export function showStatus({ root, page, stage, chosen, viewport, about, size, tool, ink }) {
  const count = page.value.length, mark = page.value[chosen];
  const disabled = { undo: !page.back, redo: !page.forth, delete: !mark, out: viewport.zoom === 1 };
  for (const [name, off] of Object.entries(disabled)) find(root, `.${name}`).disabled = off;
  const status = mark ? `Selected: ${titled(mark, size)}.` : count ? `${count} ${count === 1 ? "mark" : "marks"}.` :
    "No marks yet: draw an arrow or a circle, or write text.";
  find(root, ".said").textContent = status;
  stage.setAttribute("aria-label", `${about} ${status}`);
  for (const node of root.querySelectorAll("input[type=radio]")) {
    const radio = /** @type {HTMLInputElement} */ (node);
    radio.checked = radio.value === (radio.name === "tool" ? tool : mark?.ink ?? ink);
  }
  [...find(root, ".list").children].forEach((row, i) => row.setAttribute("aria-current", String(i === chosen)));
}

/** The ink and the colour around it, as sightglass/export/annotations.py has them. @type {Record<Mark["ink"], [string, string]>} */
export const INKS = { accent: ["#2fd6e3", "#0c2326"], light: ["#ffffff", "#141414"], dark: ["#141414", "#ffffff"] };

/** @param {Mark} mark @param {number} unit @param {number[]} size of the picture */
export function drawMark(mark, unit, size) {
  const node = svgElement("g", { class: `mark ${mark.kind}` }), [front, back] = INKS[mark.ink];
  const { line, head, circle, words } = drawingOf(mark, unit, size);
  for (const [colour, width] of /** @type {[string, number][]} */ ([[back, STROKE + 2 * HALO], [front, STROKE]])) {
    const pen = { stroke: colour, "stroke-width": width * unit, "stroke-linecap": "round", "stroke-linejoin": "round" };
    if (line) node.append(svgElement("line", { x1: line[0][0], y1: line[0][1], x2: line[1][0], y2: line[1][1], ...pen }));
    if (circle) node.append(svgElement("circle", { cx: circle.at[0], cy: circle.at[1], r: circle.radius, ...pen, fill: "none" }));
    if (head.length) {
      const points = head.map((at) => at.join()).join(" "), around = colour === back ? 2 * HALO * unit : 0;
      node.append(svgElement("polygon", { ...pen, points, fill: colour, "stroke-width": around }));
    }
  }
  if (words) node.append(...lettered(words, front, back, unit));
  return node;
}

/** @param {Words} words @param {string} front @param {string} back @param {number} unit */
function lettered(words, front, back, unit) {
  return words.lines.map((text, i) => {
    const around = { stroke: back, "stroke-width": 2 * HALO * unit, "stroke-linejoin": "round" };
    return svgText(text, ...lineAt(words, i), words.anchor, { "dominant-baseline": "central", "font-size": words.size, ...around, fill: front });
  });
}
