// Where things are: panels on the page, the visible part of the picture, boxes. Rectangles are x0, y0, x1, y1.

/** @typedef {number[]} Rect */
/** @typedef {{x: number, y: number, zoom: number}} Viewport  top left corner as a fraction of the picture, and 1..16 */

/** The whole picture. @type {Viewport} */
export const WHOLE = { x: 0, y: 0, zoom: 1 };
export const MAX_ZOOM = 16;

/** Return the size of that shape whose longer side is at most `most`. @param {number[]} size @param {number} most */
export function reduced(size, most) {
  const by = Math.min(1, most / Math.max(...size));
  return size.map((side) => Math.max(1, Math.round(side * by)));
}

/** @param {Viewport} viewport @param {number[]} size @returns {Rect} what is visible, in original pixels */
export function visible({ x, y, zoom }, [width, height]) {
  return [x * width, y * height, (x + 1 / zoom) * width, (y + 1 / zoom) * height];
}

/** Return functions from original pixels to those of a panel. @param {Rect} rect what is visible @param {number} width @param {number} height */
export function placer([x0, y0, x1, y1], width, height) {
  return {
    X: (/** @type {number} */ x) => ((x - x0) / (x1 - x0)) * width,
    Y: (/** @type {number} */ y) => ((y - y0) / (y1 - y0)) * height,
  };
}

/**
 * Zoom so that the point at the fraction (fx, fy) of a panel stays in place.
 * @param {Viewport} viewport @param {number} fx @param {number} fy @param {number} factor @returns {Viewport}
 */
export function zoomAt(viewport, fx, fy, factor) {
  const zoom = Math.min(MAX_ZOOM, Math.max(1, viewport.zoom * factor));
  return clampViewport({ x: viewport.x + fx / viewport.zoom - fx / zoom, y: viewport.y + fy / viewport.zoom - fy / zoom, zoom });
}

/** @param {Viewport} viewport @param {number} dx @param {number} dy @returns {Viewport} moved by fractions of a panel */
export function panned(viewport, dx, dy) {
  return clampViewport({ x: viewport.x - dx / viewport.zoom, y: viewport.y - dy / viewport.zoom, zoom: viewport.zoom });
}

/** @param {Viewport} viewport @returns {Viewport} */
function clampViewport({ x, y, zoom }) {
  const most = 1 - 1 / zoom;
  return { x: Math.min(most, Math.max(0, x)), y: Math.min(most, Math.max(0, y)), zoom };
}

/**
 * Return the canvas pixels whose centres are in a rectangle of original pixels.
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
 * Return the smallest box around a point: larger ones around it can be clicked elsewhere. A dashed one stands for what is not
 * shown, may be as large as the picture, and is never clicked.
 * @template {{xyxy: Rect, marks?: {kind: string, hollow?: boolean}[]}} Box @param {Box[]} boxes @param {number} x @param {number} y
 */
export function smallestBox(boxes, x, y) {
  const area = (/** @type {{xyxy: Rect}} */ { xyxy: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);
  const dashed = (/** @type {Box} */ { marks = [] }) => marks.some(({ kind, hollow }) => kind === "polygon" && hollow);
  const hit = boxes.filter((box) => !dashed(box) && contains(box.xyxy, x, y)).sort((a, b) => area(a) - area(b));
  return hit[0] ?? null;
}
