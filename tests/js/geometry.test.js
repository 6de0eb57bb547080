import assert from "node:assert/strict";
import test from "node:test";

import * as g from "../../sightglass/browser/geometry.js";

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
  const boxes = [{ xyxy: [0, 0, 8, 8], index: 0 }, { xyxy: [2, 2, 20, 20], index: 1, marks: [{ kind: "polygon", hollow: true }] }];
  assert.equal(g.smallestBox(boxes, 10, 10), null);
  assert.equal(g.smallestBox(boxes, 3, 3).index, 0);
  assert.equal(g.smallestBox([boxes[0], { ...boxes[1], xyxy: [2, 2, 4, 4] }], 3, 3).index, 0);
});

test("a rectangle is the same from any corner and ends at the picture", () => {
  assert.deepEqual(g.rectangle([10, 50], [130, 20], [100, 80]), [10, 20, 100, 50]);
  assert.deepEqual(g.rectangle([130, 20], [10, 50], [100, 80]), [10, 20, 100, 50]);
});
