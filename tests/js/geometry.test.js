import assert from "node:assert/strict";
import test from "node:test";

import * as g from "../../sightglass/browser/geometry.js";

test("as many columns as fit, in rows of equal length", () => {
  assert.equal(g.columnsFor(4, 1026, null), 4);
  assert.equal(g.columnsFor(4, 600, null), 2);
  assert.equal(g.columnsFor(4, 360, null), 2);
  assert.equal(g.columnsFor(5, 700, null), 3);
  assert.equal(g.columnsFor(3, 100, null), 1);
  assert.equal(g.columnsFor(24, 754, 6), 6);
  assert.equal(g.columnsFor(24, 360, 6), 3);
  assert.equal(g.columnsFor(4, 100, 3), 1);
  // A strip of seven in one row, or in two of nearly equal length.
  assert.equal(g.columnsFor(7, 1026, 7), 7);
  assert.equal(g.columnsFor(7, 712, 7), 4);
  assert.equal(g.columnsFor(7, 360, 7), 3);
});

test("zooming keeps what is under the pointer, and never leaves the picture", () => {
  const viewport = g.zoomAt({ x: 0, y: 0, zoom: 1 }, 0.5, 0.25, 4);
  assert.deepEqual(g.visible(viewport, [800, 400]), [300, 75, 500, 175]);
  assert.deepEqual(g.panned(viewport, 10, 10), { x: 0, y: 0, zoom: 4 });
  assert.deepEqual(g.zoomAt(viewport, 0, 0, 0.01), { x: 0, y: 0, zoom: 1 });
});

test("inside nested boxes the smallest is meant", () => {
  const boxes = [{ xyxy: [0, 0, 10, 10], index: 0 }, { xyxy: [2, 2, 4, 4], index: 1 }];
  assert.equal(g.smallestBox(boxes, 3, 3).index, 1);
  assert.equal(g.smallestBox(boxes, 5, 5).index, 0);
  assert.equal(g.smallestBox(boxes, 11, 5), null);
});

test("a place in a dashed box is a place beside every box, or in the box that is shown there", () => {
  const boxes = [{ xyxy: [0, 0, 8, 8], index: 0 }, { xyxy: [2, 2, 20, 20], index: 1, dashed: true }];
  assert.equal(g.smallestBox(boxes, 10, 10), null);
  assert.equal(g.smallestBox(boxes, 3, 3).index, 0);
  assert.equal(g.smallestBox([boxes[0], { ...boxes[1], xyxy: [2, 2, 4, 4] }], 3, 3).index, 0);
});

test("a moving picture that took too long has half its pixels, down to a quarter, and twice as many where it was quick", () => {
  assert.equal(g.paced(1, 11), 1);
  assert.equal(g.paced(1, 13), 0.5);
  assert.equal(g.paced(0.5, 8), 0.5);
  assert.equal(g.paced(0.25, 90), 0.25);
  assert.equal(g.paced(0.25, 3), 0.5);
  assert.equal(g.paced(1, 1), 1);
  // What was doubled is still quick enough: it does not go to and fro.
  assert.equal(g.paced(g.paced(0.25, 3.9), 7.8), 0.5);
});
