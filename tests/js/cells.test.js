import assert from "node:assert/strict";
import test from "node:test";

import { similarTo, asHeat, best, cellUnder, dots } from "../../sightglass/components/pairs/picture.js";

const grid = { down: [0, 10, 20], across: [-5, 10, 20, 35] };

test("a point lies in the cell whose edges are around it, outside in the nearest", () => {
  assert.deepEqual([[0, 0], [12, 3], [34, 19], [99, 99]].map(([x, y]) => cellUnder(grid, x, y)), [0, 1, 5, 5]);
});

test("a cell's matches are its row from the one side and its column from the other", () => {
  const matrix = { scores: Float32Array.of(0.1, 0.9, -0.5, 0.4, 0.2, 0.3), count: [2, 3] };
  assert.deepEqual([...similarTo(matrix, 0, 1)], [...Float32Array.of(0.4, 0.2, 0.3)]);
  assert.deepEqual([...similarTo(matrix, 1, 1)], [...Float32Array.of(0.9, 0.2)]);
  assert.equal(best(similarTo(matrix, 0, 0)), 1);
  assert.deepEqual([...asHeat(similarTo(matrix, 0, 0))].map((v) => Math.round(v / 655.35)), [11, 100, 0]);
});

test("a dotted line has one dot in each square, whichever order its pieces come in", () => {
  const pieces = [0, 1, 2, 10, 11, 3].flatMap((x) => [x, 2, x + 1, 2]);
  assert.deepEqual(dots(pieces, 5), [0, 2, 0, 2, 10, 2, 10, 2]);
  assert.deepEqual(dots([7, 7, 8, 8, -1, 7, 0, 7], 5), [7, 7, 7, 7, -1, 7, -1, 7]);
  assert.deepEqual(dots([], 5), []);
});
