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
