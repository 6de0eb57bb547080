import assert from "node:assert/strict";
import test from "node:test";

import * as t from "../../sightglass/browser/table.js";

const LUT = Uint8Array.from({ length: 768 }, (_, i) => (i % 3 === 0 ? i / 3 : i % 3 === 1 ? 255 - (i - 1) / 3 : 7));
const LEVELS = Uint8Array.from({ length: 256 }, (_, i) => i);

/** One row of 256 pixels, one of each level. */
function blended(table, source = pixels()) {
  const out = new Uint8ClampedArray(source);
  t.blend(out, source, LEVELS, table, 256, [0, 0, 256, 1]);
  return out;
}

function pixels() {
  return Uint8ClampedArray.from({ length: 1024 }, (_, i) => (i % 4 === 3 ? 255 : (i * 37) % 256));
}

test("opacity 0 leaves the picture exactly as it is", () => {
  assert.deepEqual(blended(t.overlayTable(LUT, { alpha: 0, even: false, threshold: 0 })), pixels());
  assert.deepEqual(blended(t.overlayTable(LUT, { alpha: 0, even: true, threshold: 0 })), pixels());
});

test("even opacity 1 is the map exactly", () => {
  const out = blended(t.overlayTable(LUT, { alpha: 1, even: true, threshold: 0 }));
  for (let i = 0; i < 256; i++) assert.deepEqual([...out.subarray(4 * i, 4 * i + 3)], [...LUT.subarray(3 * i, 3 * i + 3)]);
});

test("opacity grows as the value to the power of 1.5", () => {
  const a = t.opacities({ alpha: 0.9, even: false, threshold: 0 });
  assert.equal(a[0], 0);
  assert.ok(Math.abs(a[128] - 0.9 * (128 / 255) ** 1.5) < 1e-6);
  assert.ok(Math.abs(a[255] - 0.9) < 1e-6);
});

test("below the threshold nothing is coloured", () => {
  const a = t.opacities({ alpha: 0.5, even: true, threshold: 0.6 });
  assert.equal(a[152], 0);
  assert.equal(a[153], 0.5);
});

test("the threshold's level rounds halves to even, as OpenCV does", () => {
  assert.deepEqual([0.1, 0.3, 0.5, 0.7, 0.9].map((v) => t.rint(255 * v)), [26, 76, 128, 178, 230]);
});

test("spotlight darkens the cold and leaves the hot", () => {
  const out = blended(t.spotlightTable(1, 0));
  assert.ok(out[0] < 0.1 * 255);
  assert.deepEqual([...out.subarray(1020, 1023)], [...pixels().subarray(1020, 1023)]);
});

test("no difference has no colour, the ends have theirs", () => {
  const table = t.differenceTable({ alpha: 1, even: false, threshold: 0 }), out = blended(table);
  assert.deepEqual([...out.subarray(512, 515)], [...pixels().subarray(512, 515)]);
  assert.deepEqual([...out.subarray(1020, 1023)], [0x1f, 0x5f, 0xd0]);
  assert.deepEqual([...out.subarray(4, 7)], [0xc8, 0x32, 0x1f]);
});

test("fading keeps the rectangle and mixes the rest into the page", () => {
  const source = Uint8ClampedArray.from([100, 100, 100, 255, 10, 20, 30, 255]);
  const out = new Uint8ClampedArray([0, 0, 0, 0, 10, 20, 30, 255]);
  t.fade(out, source, 2, [1, 0, 2, 1], 255);
  assert.deepEqual([...out], [202, 202, 202, 255, 10, 20, 30, 255]);
});

test("inverted, a table reads from the other end, and twice is as before", () => {
  const table = t.overlayTable(LUT, { alpha: 0.7, even: false, threshold: 0.2 }), turned = t.inverted(table, "heat");
  assert.equal(turned.K[255], table.K[0]);
  assert.deepEqual([...turned.A.subarray(0, 3)], [...table.A.subarray(765)]);
  assert.deepEqual(t.inverted(turned, "heat"), table);
  const gap = t.differenceTable({ alpha: 1, even: false, threshold: 0 }), other = t.inverted(gap, "difference");
  assert.equal(other.K[128], gap.K[128]);
  assert.deepEqual([...other.A.subarray(765)], [...gap.A.subarray(3, 6)]);
});
