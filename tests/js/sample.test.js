import assert from "node:assert/strict";
import test from "node:test";

import { cellsOf, level, nearest, resample, valueAt } from "../../sightglass/browser/sample.js";

const same = (value) => value;
const grid = (values, w, h, extent = [0, 0, w, h], kind = "heat") => ({ values: Uint16Array.from(values), w, h, extent, kind });

test("bilinear between pixel centres, clamped at the edges", () => {
  const out = resample(grid([0, 400], 2, 1), [0, 0, 2, 1], 4, 1, same, new Float32Array(4));
  assert.deepEqual([...out], [0, 100, 300, 400]);
  const square = resample(grid([0, 100, 200, 300], 2, 2), [0, 0, 2, 2], 2, 2, same, new Float32Array(4));
  assert.deepEqual([...square], [0, 100, 200, 300]);
  const middle = resample(grid([0, 100, 200, 300], 2, 2), [0.5, 0.5, 1.5, 1.5], 1, 1, same, new Float32Array(1));
  assert.equal(middle[0], 150);
});

test("a map covers its extent, and a part of the picture can be asked for", () => {
  const map = grid([0, 400], 2, 1, [10, 0, 14, 1]);
  const out = resample(map, [9, 0, 15, 1], 6, 1, same, new Float32Array(6));
  assert.deepEqual([...out], [0, 0, 100, 300, 400, 400]);
});

test("levels", () => {
  assert.deepEqual([0, 257 * 128, 65535].map(level("heat")), [0, 128, 255]);
  assert.deepEqual([0, 32768, 65535].map(level("difference")), [1, 128, 255]);
});

test("true cells are blocks of the value at their centre", () => {
  const map = grid([0, 0, 100, 100, 0, 0, 100, 100], 4, 2);
  const coarse = cellsOf(map, [1, 2]);
  assert.deepEqual([...coarse.values], [0, 100]);
  assert.deepEqual([...nearest(coarse, [0, 0, 4, 2], 4, 1, same, new Float32Array(4))], [0, 0, 100, 100]);
});

test("the value under a point", () => {
  assert.ok(Math.abs(valueAt(grid([0, 65535], 2, 1), 1, 0.5) - 0.5) < 1e-4);
  assert.equal(valueAt(grid([0, 65535], 2, 1, [0, 0, 2, 1], "difference"), 0.2, 0.5), -1);
});

test("another scale is a gain and an offset, and ends at both ends", () => {
  const shared = level("heat", 0.5, 0.25), steep = level("heat", 2, 0);
  assert.deepEqual([shared(0), shared(65535), steep(40000)], [64, 191, 255]);
  assert.deepEqual([level("heat", 1, 0)(12345), level("heat")(12345)], [48, 48]);
});
