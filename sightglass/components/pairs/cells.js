// The cells of two pictures: which one is under a point, and what matches it in the other picture.

/**
 * @typedef {{down: number[], across: number[]}} Grid  edges of its rows and columns, in original pixels
 * @typedef {{scores: Float32Array, count: number[]}} Matrix  -1..1, a row for each cell of the first picture
 */

/** Return the interval between two edges that holds a value; the outer ones are open. @param {number[]} edges @param {number} at */
function between(edges, at) {
  let i = 0;
  while (i < edges.length - 2 && at >= edges[i + 1]) i++;
  return i;
}

/** @param {Grid} grid */
export function columnsOf({ across }) {
  return across.length - 1;
}

/** @param {Grid} grid @param {number} x @param {number} y original pixels @returns {number} row by row */
export function cellUnder(grid, x, y) {
  return between(grid.down, y) * columnsOf(grid) + between(grid.across, x);
}

/** @param {Grid} grid @param {number} cell @param {number[]} size @returns {number[]} xyxy within the picture */
export function cellBox(grid, cell, [width, height]) {
  const columns = columnsOf(grid), row = Math.floor(cell / columns), column = cell % columns;
  const within = (/** @type {number} */ v, /** @type {number} */ most) => Math.min(most, Math.max(0, v));
  return [
    within(grid.across[column], width), within(grid.down[row], height),
    within(grid.across[column + 1], width), within(grid.down[row + 1], height),
  ];
}

/** Return the cell beside one, or itself at the edge. @param {Grid} grid @param {number} cell @param {number} dx @param {number} dy */
export function beside(grid, cell, dx, dy) {
  const columns = columnsOf(grid), rows = grid.down.length - 1;
  const column = Math.min(columns - 1, Math.max(0, (cell % columns) + dx));
  const row = Math.min(rows - 1, Math.max(0, Math.floor(cell / columns) + dy));
  return row * columns + column;
}

/**
 * Return the similarity of every cell of the other picture to one of this.
 * @param {Matrix} matrix @param {number} side 0 or 1: whose cell it is @param {number} cell @returns {Float32Array}
 */
export function similarTo({ scores, count: [rows, columns] }, side, cell) {
  if (side === 0) return scores.subarray(cell * columns, (cell + 1) * columns);
  return Float32Array.from({ length: rows }, (_, i) => scores[i * columns + cell]);
}

/** @param {ArrayLike<number>} values @returns {number} the index of the largest */
export function best(values) {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[at]) at = i;
  return at;
}

/** Return what is above 0, its largest at 65535, as the viewer's maps are. @param {Float32Array} values */
export function asHeat(values) {
  const most = Math.max(1e-6, values[best(values)]);
  return Uint16Array.from(values, (value) => Math.round((65535 * Math.max(0, value)) / most));
}

/** Name the place of a box in the picture: "top left", "middle". @param {number[]} box @param {number[]} size */
export function placeOf([x0, y0, x1, y1], [width, height]) {
  const third = (/** @type {number} */ at, /** @type {string[]} */ names) => names[Math.min(2, Math.floor(3 * at))];
  const across = third((x0 + x1) / 2 / width, ["left", "", "right"]);
  const down = third((y0 + y1) / 2 / height, ["top", "", "bottom"]);
  return [down, across].filter(Boolean).join(" ") || "middle";
}

/**
 * Return the sizes of two canvases of equal height beside each other, or of equal width one above the other.
 * @param {number} room CSS pixels @param {number[]} aspects @param {number} maxHeight @param {boolean} stacked @param {number} gap
 */
export function sizes(room, aspects, maxHeight, stacked, gap) {
  if (stacked) {
    return aspects.map((aspect) => {
      const width = Math.min(room, maxHeight * aspect);
      return [Math.floor(width), Math.max(1, Math.round(width / aspect))];
    });
  }
  const height = Math.min(maxHeight, (room - gap) / (aspects[0] + aspects[1]));
  return aspects.map((aspect) => [Math.max(1, Math.floor(height * aspect)), Math.max(1, Math.round(height))]);
}

/**
 * Return points of a line whose pieces come in no order, as pieces without length: at most one in each square of `step`.
 * @param {number[]} segments x0, y0, x1, y1 of each piece @param {number} step @returns {number[]}
 */
export function dots(segments, step) {
  const found = /** @type {number[]} */ ([]), taken = new Set();
  for (let i = 0; i < segments.length; i += 4) {
    const [x, y] = [segments[i], segments[i + 1]], square = `${Math.floor(x / step)} ${Math.floor(y / step)}`;
    if (!taken.has(square)) found.push(x, y, x, y);
    taken.add(square);
  }
  return found;
}
