// The area that a person marks: a rectangle, or what a brush painted.

import { contextOf, hiddenContext } from "../../browser/canvas.js";
import { reduced } from "../../browser/geometry.js";

/**
 * @typedef {{kind: "rectangle", xyxy: number[]}} MarkedRectangle
 * @typedef {{kind: "brush", mask: Uint8Array, w: number, h: number, picture: HTMLCanvasElement}} Painted
 * @typedef {MarkedRectangle|Painted} Region
 */

const MAX_MASK_SIDE = 512;
const TEAL = [34, 160, 172, 130];

/** @param {number[]} from @param {number[]} to corners in original pixels @param {number[]} size @returns {MarkedRectangle} */
export function rectangle(from, to, [width, height]) {
  const [x0, x1] = [from[0], to[0]].map((x) => Math.min(width, Math.max(0, x))).sort((a, b) => a - b);
  const [y0, y1] = [from[1], to[1]].map((y) => Math.min(height, Math.max(0, y))).sort((a, b) => a - b);
  return { kind: "rectangle", xyxy: [x0, y0, x1, y1] };
}

/** Create an empty mask to paint on, coarser than the picture. @param {number[]} size @returns {Painted} */
export function blank(size) {
  const [w, h] = reduced(size, MAX_MASK_SIDE);
  return { kind: "brush", mask: new Uint8Array(w * h), w, h, picture: hiddenContext(w, h).canvas };
}

/**
 * Paint one stroke of a round brush, in shares of the picture's width and height; `radius` in shares of its longer side.
 * @param {{mask: Uint8Array, w: number, h: number}} painted @param {number[]} from @param {number[]} to
 * @param {number} radius
 * @returns {[number, number, number, number]} the cells that may have changed
 */
export function paintStroke({ mask, w, h }, from, to, radius) {
  const r = Math.max(0.5, radius * Math.max(w, h)), ax = from[0] * w, ay = from[1] * h;
  const dx = to[0] * w - ax, dy = to[1] * h - ay, long = dx * dx + dy * dy;
  const left = Math.max(0, Math.floor(Math.min(ax, ax + dx) - r)), right = Math.min(w, Math.ceil(Math.max(ax, ax + dx) + r));
  const top = Math.max(0, Math.floor(Math.min(ay, ay + dy) - r)), bottom = Math.min(h, Math.ceil(Math.max(ay, ay + dy) + r));
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const px = x + 0.5 - ax, py = y + 0.5 - ay;
      const t = long > 0 ? Math.min(1, Math.max(0, (px * dx + py * dy) / long)) : 0;
      if (Math.hypot(px - t * dx, py - t * dy) <= r) mask[y * w + x] = 1;
    }
  }
  return [left, top, right, bottom];
}

/** @param {Painted} painted @param {[number, number, number, number]} changed cells to colour anew */
function tint({ mask, w, picture }, [left, top, right, bottom]) {
  const across = right - left, down = bottom - top;
  if (across < 1 || down < 1) return;
  const part = new ImageData(across, down);
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) if (mask[(top + y) * w + left + x]) part.data.set(TEAL, 4 * (y * across + x));
  }
  contextOf(picture).putImageData(part, left, top);
}

/**
 * Track what a hand marks with which tool: a rectangle or a brush marks an area, `ask` asks about a place.
 * @param {(done: boolean) => void} changed called for each step to draw, with true at the end of marking an area
 * @param {(xyxy: number[]) => void} asked called with the place, a point twice where it was clicked
 */
export function createMarker(changed, asked) {
  /** @type {number[]|null} */
  let start = null;
  /** @type {Region|null} what was marked before this drag */
  let before = null;
  const marker = {
    /** @type {string|null} */
    tool: null,
    /** @type {Region|null} */
    region: null,
    /** The place that is being asked about. @type {MarkedRectangle|null} */
    question: null,
    version: 0,
    /** @param {string|null} tool */
    use(tool) {
      marker.tool = tool;
      marker.question = start = null;
    },
    clear() {
      marker.region = start = null;
      marker.version++;
    },
    /**
     * Take one step of a drag, at a point of the original. @param {string} phase @param {number[]} at
     * @param {number[]} size @param {number} radius of the brush, in shares of the longer side
     */
    mark(phase, at, size, radius) {
      if (phase === "start") [start, before] = [at, marker.region];
      if (!start) return;
      if (marker.tool === "ask") return marker.ask(phase, start, at, size);
      if (phase === "cancel") marker.region = before;
      else if (marker.tool === "rectangle") {
        const drawn = rectangle(start, at, size);
        // A mere click marks nothing and removes nothing.
        marker.region = small(drawn.xyxy) ? before : drawn;
      } else {
        if (marker.region?.kind !== "brush") marker.region = blank(size);
        const [from, to] = [start, at].map(([x, y]) => [x / size[0], y / size[1]]);
        tint(marker.region, paintStroke(marker.region, from, to, radius));
        start = at;
      }
      const done = phase === "end" || phase === "cancel";
      if (done) start = null;
      marker.version++;
      changed(done);
    },
    /** @param {string} phase @param {number[]} from @param {number[]} to @param {number[]} size */
    ask(phase, from, to, size) {
      const drawn = rectangle(from, to, size), done = phase === "end" || phase === "cancel";
      marker.question = done ? null : drawn;
      marker.version++;
      // One question at a time: the next click chooses a box again.
      if (done) marker.use(null);
      changed(false);
      if (phase === "end") asked(small(drawn.xyxy) ? [...to, ...to] : drawn.xyxy);
    },
    /**
     * Mark by keys: the first time one corner, the next time the other; a brush dabs.
     * @param {number[]} at @param {number[]} size @param {number} radius
     */
    corner(at, size, radius) {
      const first = !start;
      if (first) marker.mark("start", at, size, radius);
      if (!first || marker.tool === "brush") marker.mark("end", at, size, radius);
    },
  };
  return marker;
}

/** Whether a rectangle is too small to be meant. @param {number[]} xyxy */
function small([x0, y0, x1, y1]) {
  return x1 - x0 < 2 || y1 - y0 < 2;
}

/** Pack a mask into bits, the first one the highest of its byte, as numpy.unpackbits reads them. @param {Uint8Array} mask */
export function packed(mask) {
  const out = new Uint8Array(Math.ceil(mask.length / 8));
  for (let i = 0; i < mask.length; i++) if (mask[i]) out[i >> 3] |= 128 >> (i & 7);
  return out;
}

/** Return a region as Python reads it. @param {Region|null} region @param {string} picture */
export async function regionMessage(region, picture) {
  if (!region) return null;
  if (region.kind === "rectangle") return { picture, kind: region.kind, xyxy: region.xyxy };
  const stream = new Blob([packed(region.mask)]).stream().pipeThrough(new CompressionStream("deflate"));
  const bits = new Uint8Array(await new Response(stream).arrayBuffer());
  return { picture, kind: region.kind, size: [region.w, region.h], bits: btoa(String.fromCharCode(...bits)) };
}
