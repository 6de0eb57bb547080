// Contour lines by marching squares, where explain/rendering/contours.py has them too.

/** Length of a frame's corner as a share of its shorter side; pixels of the screen between the frame and the edge. */
const CORNER = 0.06;
const INSET = 2;
/** Pixels of the screen of a dash, and of the gap after it, around what lowers. */
export const DASH = 6;

/**
 * Return segments x0, y0, x1, y1, ... where the field crosses the level, in cells of the field: its samples are at the
 * centres of cells. The field continues unchanged beyond its edge, so lines run up to it and none runs along it.
 * @param {Float32Array} field w x h values, which stay as they are @param {number} w @param {number} h
 * @param {number} level @returns {number[]}
 */
export function isolines(field, w, h, level) {
  const segments = /** @type {number[]} */ ([]);
  for (let y = 0; y <= h; y++) {
    const upper = Math.max(0, y - 1) * w, lower = Math.min(h - 1, y) * w;
    let a = field[upper] >= level, d = field[lower] >= level;
    for (let x = 0; x <= w; x++) {
      const i = x < w ? x : w - 1, b = field[upper + i] >= level, c = field[lower + i] >= level;
      if (a !== b || a !== c || a !== d) cross(segments, field, w, h, level, x, y);
      a = b;
      d = c;
    }
  }
  return segments;
}

/**
 * Add where the level crosses the cell whose lower right corner is the sample (x, y). Not in the loop: the variables that its
 * inner functions capture would be slow there.
 * @param {number[]} segments @param {Float32Array} field @param {number} w @param {number} h @param {number} level
 * @param {number} column @param {number} line
 */
function cross(segments, field, w, h, level, column, line) {
  const [x0, x1] = [column - 1, column].map((x) => Math.min(w - 1, Math.max(0, x)));
  const [y0, y1] = [line - 1, line].map((y) => w * Math.min(h - 1, Math.max(0, y)));
  const [left, right] = [column, column + 1].map((at) => Math.min(w, Math.max(0, at - 0.5)));
  const [top, bottom] = [line, line + 1].map((at) => Math.min(h, Math.max(0, at - 0.5)));
  const a = field[y0 + x0], b = field[y0 + x1], c = field[y1 + x1], d = field[y1 + x0];
  const cuts = /** @type {number[][]} */ ([]), crosses = (/** @type {number} */ u, /** @type {number} */ v) => u >= level !== v >= level;
  const between = (/** @type {number} */ u, /** @type {number} */ v, /** @type {number} */ from, /** @type {number} */ to) =>
    from + ((level - u) / (v - u)) * (to - from);
  if (crosses(a, b)) cuts.push([between(a, b, left, right), top]);
  if (crosses(b, c)) cuts.push([right, between(b, c, top, bottom)]);
  if (crosses(d, c)) cuts.push([between(d, c, left, right), bottom]);
  if (crosses(a, d)) cuts.push([left, between(a, d, top, bottom)]);
  const [north, east, south, west] = cuts;
  if (cuts.length === 2) segments.push(...north, ...east);
  // Of a saddle the corners are apart that are on the other side than its middle.
  else if (a < level === (a + b + c + d) / 4 >= level) segments.push(...north, ...west, ...south, ...east);
  else segments.push(...north, ...east, ...west, ...south);
}

/**
 * Return segments x0, y0, x1, y1, ... in the order in which they follow each other, open lines first; those of no length are
 * left out.
 * @param {number[]} segments @returns {number[]}
 */
export function chained(segments) {
  /** @type {Map<number, number[]>} the segments at each point */
  const joins = new Map(), used = new Set(), out = /** @type {number[]} */ ([]);
  // One number is found five times as fast as a text.
  const keyOf = (/** @type {number} */ at) => segments[at] * 65536 + segments[at + 1];
  for (let s = 0; s < segments.length; s += 4) {
    const keys = [keyOf(s), keyOf(s + 2)];
    if (keys[0] !== keys[1]) for (const key of keys) joins.get(key)?.push(s) ?? joins.set(key, [s]);
  }
  const points = [...joins.keys()], isOpen = (/** @type {number} */ key) => (joins.get(key) ?? []).length % 2 === 1;
  for (let point of [...points.filter(isOpen), ...points]) {
    for (let s; (s = joins.get(point)?.find((each) => !used.has(each))) !== undefined; ) {
      used.add(s);
      const [from, to] = keyOf(s) === point ? [s, s + 2] : [s + 2, s];
      out.push(segments[from], segments[from + 1], segments[to], segments[to + 1]);
      point = keyOf(to);
    }
  }
  return out;
}

/**
 * Return a field in which no region above the level is below a share of its area, as `drop_small` in contours.py does; the
 * largest region stays.
 * @param {Float32Array} field w x h values @param {number} w @param {number} h @param {number} level @param {number} share
 */
export function withoutSmall(field, w, h, level, share) {
  const runs = /** @type {[number, number, number][]} */ ([]), parents = /** @type {number[]} */ ([]), areas = /** @type {number[]} */ ([]);
  const rootOf = (/** @type {number} */ run) => {
    while (parents[run] !== run) run = parents[run] = parents[parents[run]];
    return run;
  };
  for (let y = 0, above = 0, until = 0; y < h; y++, above = until, until = runs.length) {
    for (let x = 0, from = y * w; x < w; x++) {
      if (!(field[from + x] >= level)) continue;
      const start = x;
      while (x < w && field[from + x] >= level) x++;
      const run = runs.push([from + start, from + x, x - start]) - 1;
      parents.push(run);
      areas.push(x - start);
      // Those of the row above that touch it, corners included.
      for (let other = above; other < until; other++) {
        if (runs[other][0] + w > from + x || runs[other][1] + w < from + start) continue;
        const [one, two] = [rootOf(run), rootOf(other)];
        if (one === two) continue;
        parents[one] = two;
        areas[two] += areas[one];
      }
    }
  }
  const roots = parents.flatMap((parent, run) => (parent === run ? [areas[run]] : []));
  if (roots.length < 2) return field;
  const least = Math.min(share * w * h, Math.max(...roots)), out = field.slice();
  runs.forEach(([start, end], run) => {
    if (areas[rootOf(run)] < least) out.fill(level - 1e-3, start, end);
  });
  return out;
}

/**
 * Return the path of segments x0, y0, x1, y1, ...: those that follow each other are one line.
 * @param {number[]} segments @param {(x: number) => number} X @param {(y: number) => number} Y from their unit to the canvas's
 */
export function pathOf(segments, X, Y) {
  const path = new Path2D();
  for (let s = 0; s < segments.length; s += 4) {
    if (segments[s] !== segments[s - 2] || segments[s + 1] !== segments[s - 1]) path.moveTo(X(segments[s]), Y(segments[s + 1]));
    path.lineTo(X(segments[s + 2]), Y(segments[s + 3]));
  }
  return path;
}

/**
 * Return the sides of a frame just inside a rectangle, and its corner brackets, each with its width and how much wider its
 * halo is, in pixels of the screen; as `_cover_frame` in contours.py draws it.
 * @param {number[]} rect in canvas pixels @param {number} unit canvas pixels in one of the screen
 * @returns {[Path2D, number, number][]}
 */
export function frameOf(rect, unit) {
  const x0 = rect[0] + INSET * unit, y0 = rect[1] + INSET * unit, x1 = rect[2] - INSET * unit, y1 = rect[3] - INSET * unit;
  const arm = CORNER * Math.min(x1 - x0, y1 - y0), sides = new Path2D(), brackets = new Path2D();
  sides.rect(x0, y0, x1 - x0, y1 - y0);
  for (const [x, y, dx, dy] of [[x0, y0, arm, arm], [x1, y0, -arm, arm], [x1, y1, -arm, -arm], [x0, y1, arm, -arm]]) {
    brackets.moveTo(x + dx, y);
    brackets.lineTo(x, y);
    brackets.lineTo(x, y + dy);
  }
  return [[sides, 0.75, 0.75], [brackets, 2, 1.25]];
}
