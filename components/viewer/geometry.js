// Where things are: panels on the page, the visible part of the picture, boxes. Rectangles are x0, y0, x1, y1.

/** @typedef {number[]} Rect */
/** @typedef {{x: number, y: number, zoom: number}} Look  top left corner as a fraction of the picture, and 1..16 */

export const GAP = 16;
const NARROWEST = 150;
const TINY = 96;
const DEEPEST = 16;
/** Milliseconds in which a frame of a moving picture should be drawn, and the least share of its pixels it then has. */
const BRISK_MS = 12;
export const COARSEST = 1 / 4;

/**
 * As many columns as fit, in rows of equal length: four panels where three fit are two by two.
 * @param {number} count @param {number} room CSS pixels @param {number|null} fixed  so many, where each
 * has room for the smallest panel that still says something
 */
export function columnsFor(count, room, fixed) {
  const fits = (/** @type {number} */ least) => Math.max(1, Math.floor((room + GAP) / (least + GAP)));
  if (fixed) return Math.max(1, Math.min(fixed, count, fits(TINY)));
  const most = Math.min(count, fits(NARROWEST));
  return Math.ceil(count / Math.ceil(count / most));
}

/**
 * @param {number} room @param {number} columns @param {number} aspect @param {number} tallest
 * @returns {[number, number]} CSS pixels
 */
export function panelSize(room, columns, aspect, tallest) {
  const width = Math.min((room - GAP * (columns - 1)) / columns, tallest * aspect);
  return [Math.max(1, Math.floor(width)), Math.max(1, Math.round(width / aspect))];
}

/** @param {Look} look @param {number[]} size @returns {Rect} what is visible, in original pixels */
export function visible({ x, y, zoom }, [width, height]) {
  return [x * width, y * height, (x + 1 / zoom) * width, (y + 1 / zoom) * height];
}

/** A rectangle with a margin of a quarter, in whole pixels of the picture. @param {Rect} rect @param {number[]} size @returns {Rect} */
export function around([x0, y0, x1, y1], size) {
  const mx = (x1 - x0) / 4, my = (y1 - y0) / 4;
  return [x0 - mx, y0 - my, x1 + mx, y1 + my].map((edge, i) => Math.min(size[i % 2], Math.max(0, Math.round(edge))));
}

/**
 * Zooms so that what lies at the fraction (fx, fy) of a panel stays there.
 * @param {Look} look @param {number} fx @param {number} fy @param {number} factor @returns {Look}
 */
export function zoomAt(look, fx, fy, factor) {
  const zoom = Math.min(DEEPEST, Math.max(1, look.zoom * factor));
  return held({ x: look.x + fx / look.zoom - fx / zoom, y: look.y + fy / look.zoom - fy / zoom, zoom });
}

/** @param {Look} look @param {number} dx @param {number} dy @returns {Look} moved by fractions of a panel */
export function panned(look, dx, dy) {
  return held({ x: look.x - dx / look.zoom, y: look.y - dy / look.zoom, zoom: look.zoom });
}

/**
 * The share of its pixels that a moving picture has in the next frame, by what the last one took: on a busy machine fewer
 * of them, so that the page still answers between two frames; as many again where there is time for more than that.
 * @param {number} share @param {number} ms
 */
export function paced(share, ms) {
  if (ms > BRISK_MS) return Math.max(COARSEST, share / 2);
  return ms < BRISK_MS / 3 ? Math.min(1, 2 * share) : share;
}

/** @param {Look} look @returns {Look} */
function held({ x, y, zoom }) {
  const most = 1 - 1 / zoom;
  return { x: Math.min(most, Math.max(0, x)), y: Math.min(most, Math.max(0, y)), zoom };
}

/**
 * The canvas pixels whose centre lies in a rectangle of original pixels.
 * @param {Rect} rect @param {Rect} view what the canvas shows @param {number} width @param {number} height @returns {Rect}
 */
export function inCanvas([x0, y0, x1, y1], [left, top, right, bottom], width, height) {
  const across = (/** @type {number} */ x) => Math.min(width, Math.max(0, Math.ceil(((x - left) / (right - left)) * width - 0.5)));
  const down = (/** @type {number} */ y) => Math.min(height, Math.max(0, Math.ceil(((y - top) / (bottom - top)) * height - 0.5)));
  return [across(x0), down(y0), across(x1), down(y1)];
}

/** @param {Rect} rect @param {number} x @param {number} y */
export function contains([x0, y0, x1, y1], x, y) {
  return x >= x0 && x < x1 && y >= y0 && y < y1;
}

/**
 * Of boxes inside each other the smallest is meant: the larger ones can be hit beside it. A dashed one stands for what
 * is not shown, and may be as large as the picture: a place in it is just a place.
 * @param {any[]} boxes @param {number} x @param {number} y
 */
export function smallestBox(boxes, x, y) {
  const area = (/** @type {{xyxy: Rect}} */ { xyxy: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);
  const hit = boxes.filter(({ xyxy, dashed }) => !dashed && contains(xyxy, x, y)).sort((a, b) => area(a) - area(b));
  return hit.length ? hit[0] : null;
}
