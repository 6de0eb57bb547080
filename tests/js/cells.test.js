import assert from "node:assert/strict";
import test from "node:test";

import { similarTo, asHeat, beside, best, cellBox, cellUnder, dots, placeOf, sizes } from "../../sightglass/components/pairs/picture.js";

const grid = { down: [0, 10, 20], across: [-5, 10, 20, 35] };

test("a point lies in the cell whose edges are around it, outside in the nearest", () => {
  assert.deepEqual([[0, 0], [12, 3], [34, 19], [99, 99]].map(([x, y]) => cellUnder(grid, x, y)), [0, 1, 5, 5]);
});

test("a cell is drawn within the picture only, though it reaches over its edge", () => {
  assert.deepEqual(cellBox(grid, 3, [30, 20]), [0, 10, 10, 20]);
  assert.deepEqual(cellBox(grid, 2, [30, 20]), [20, 0, 30, 10]);
});

test("arrow keys stay within the grid", () => {
  assert.deepEqual([beside(grid, 0, -1, 0), beside(grid, 0, 1, 0), beside(grid, 0, 0, 1), beside(grid, 5, 1, 1)], [0, 1, 3, 5]);
});

test("a cell's matches are its row from the one side and its column from the other", () => {
  const matrix = { scores: Float32Array.of(0.1, 0.9, -0.5, 0.4, 0.2, 0.3), count: [2, 3] };
  assert.deepEqual([...similarTo(matrix, 0, 1)], [...Float32Array.of(0.4, 0.2, 0.3)]);
  assert.deepEqual([...similarTo(matrix, 1, 1)], [...Float32Array.of(0.9, 0.2)]);
  assert.equal(best(similarTo(matrix, 0, 0)), 1);
  assert.deepEqual([...asHeat(similarTo(matrix, 0, 0))].map((v) => Math.round(v / 655.35)), [11, 100, 0]);
});

test("places are named by thirds", () => {
  assert.equal(placeOf([0, 0, 10, 10], [90, 90]), "top left");
  assert.equal(placeOf([40, 40, 50, 50], [90, 90]), "middle");
  assert.equal(placeOf([40, 80, 50, 90], [90, 90]), "bottom");
});

test("two pictures are of one height beside each other and fit the room", () => {
  const [[a, h], [b, same]] = sizes(316, [1, 2], 500, false, 16);
  assert.deepEqual([a, h, b, same], [100, 100, 200, 100]);
  assert.deepEqual(sizes(300, [2, 3], 120, true, 16), [[240, 120], [300, 100]]);
});

test("a dotted line has one dot in each square, whichever order its pieces come in", () => {
  const pieces = [0, 1, 2, 10, 11, 3].flatMap((x) => [x, 2, x + 1, 2]);
  assert.deepEqual(dots(pieces, 5), [0, 2, 0, 2, 10, 2, 10, 2]);
  assert.deepEqual(dots([7, 7, 8, 8, -1, 7, 0, 7], 5), [7, 7, 7, 7, -1, 7, -1, 7]);
  assert.deepEqual(dots([], 5), []);
});
