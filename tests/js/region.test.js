import assert from "node:assert/strict";
import test from "node:test";

import { createMarker, paintStroke, rectangle } from "../../sightglass/components/viewer/region.js";

test("a rectangle is the same from any corner and ends at the picture", () => {
  const expected = { kind: "rectangle", xyxy: [10, 20, 100, 50] };
  assert.deepEqual(rectangle([10, 50], [130, 20], [100, 80]), expected);
  assert.deepEqual(rectangle([130, 20], [10, 50], [100, 80]), expected);
});

test("asking about a place leaves what is measured as it is, and measuring asks nothing", () => {
  const done = [], asked = [], size = [100, 80];
  const marker = createMarker((end) => done.push(end), (xyxy) => asked.push(xyxy));
  const drag = (from, to) => {
    marker.mark("start", from, size, 0);
    marker.mark("move", to, size, 0);
    marker.mark("end", to, size, 0);
  };
  marker.use("rectangle");
  drag([10, 10], [40, 30]);
  const measured = { kind: "rectangle", xyxy: [10, 10, 40, 30] };
  assert.deepEqual([marker.region, asked, done.at(-1)], [measured, [], true]);
  marker.use("ask");
  marker.mark("start", [50, 50], size, 0);
  marker.mark("move", [70, 60], size, 0);
  assert.deepEqual(marker.question?.xyxy, [50, 50, 70, 60]);
  marker.mark("end", [70, 60], size, 0);
  assert.deepEqual([marker.region, marker.question, marker.tool], [measured, null, null]);
  assert.equal(done.at(-1), false);
  marker.use("ask");
  drag([5, 5], [5, 5]);
  marker.use("ask");
  marker.mark("start", [1, 1], size, 0);
  marker.mark("cancel", [30, 30], size, 0);
  assert.deepEqual(asked, [[50, 50, 70, 60], [5, 5, 5, 5]]);
});

test("a stroke covers the round of its brush along its way", () => {
  const painted = { mask: new Uint8Array(200), w: 20, h: 10 };
  const changed = paintStroke(painted, [0.25, 0.5], [0.75, 0.5], 0.1);
  assert.deepEqual(changed, [3, 3, 17, 7]);
  assert.equal(painted.mask[5 * 20 + 10], 1);
  assert.equal(painted.mask[3 * 20 + 10], 1);
  assert.equal(painted.mask[2 * 20 + 10], 0);
  assert.equal(painted.mask[3 * 20 + 3], 0);
  paintStroke(painted, [2, 2], [3, 3], 0.1);
});
