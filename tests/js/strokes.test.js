import assert from "node:assert/strict";
import test from "node:test";

import { cover, planes, stroke } from "../../sightglass/browser/contour.js";

const row = (plane, width, y) => [...plane.subarray(y * width, (y + 1) * width)];

test("a pixel is covered by how near the line runs to its centre", () => {
  const made = planes(9, 5);
  cover(made, 9, 5, [2.5, 2.5, 6.5, 2.5], 1, 1);
  assert.deepEqual(row(made.line, 9, 2), [0, 0, 255, 255, 255, 255, 255, 0, 0]);
  assert.deepEqual(row(made.line, 9, 1), Array(9).fill(0));
  // The halo is 1.75 wider: half a pixel less than 1.375 + 0.5 reaches the next row.
  assert.equal(made.halo[9 + 4], Math.floor(255 * 0.875 + 0.5));
  assert.deepEqual(made.box, [1, 1, 8, 4]);
});

test("where lines meet nothing is drawn twice, and used planes start clean", () => {
  const once = planes(8, 8), twice = planes(8, 8);
  cover(once, 8, 8, [1, 1, 7, 6], 1.4, 1);
  cover(twice, 8, 8, [1, 1, 7, 6, 1, 1, 7, 6], 1.4, 1);
  assert.deepEqual(twice.halo, once.halo);
  assert.deepEqual(twice.line, once.line);
  const again = planes(8, 8, twice);
  assert.equal(again.halo, twice.halo);
  assert.ok(again.halo.every((value) => value === 0));
});

test("segments off the canvas are no error, a point is a dot", () => {
  const made = planes(4, 4);
  cover(made, 4, 4, [-50, -50, -40, -40, 2, 2, 2, 2], 2, 1);
  assert.ok(made.line[5] > 0 && made.line[5] === made.line[10]);
  assert.equal(made.line[0], 0);
});

test("white over a dark halo, only within the rectangle", () => {
  const made = planes(3, 1), out = new Uint8ClampedArray(12).fill(100);
  made.halo.set([255, 255, 0]);
  made.line.set([255, 0, 0]);
  made.box = [0, 0, 3, 1];
  stroke(out, 3, made, [0, 0, 3, 1]);
  assert.deepEqual([out[0], out[4], out[8]], [255, 40, 100]);
  const kept = new Uint8ClampedArray(12).fill(100);
  stroke(kept, 3, made, [2, 0, 3, 1]);
  assert.ok(kept.every((value) => value === 100));
});
