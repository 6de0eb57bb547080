import assert from "node:assert/strict";
import test from "node:test";

const { mask } = await import("../../sightglass/browser/compose.js");
const { pathOf, stepAt, writtenAt } = await import("../../sightglass/browser/curves.js");

const FRAME = { width: 120, height: 60, left: 10, right: 10, top: 5, bottom: 5 };

test("a step hides the cells whose order is below it, or keeps nothing else", () => {
  const order = new Uint8Array([0, 19, 20, 199]), pixels = new Uint8ClampedArray(16).fill(7);
  const alpha = () => [3, 7, 11, 15].map((i) => pixels[i]);
  mask(order, 10, false, pixels);
  assert.deepEqual(alpha(), [255, 255, 0, 0]);
  mask(order, 10, true, pixels);
  assert.deepEqual(alpha(), [0, 0, 255, 255]);
  mask(order, 0, false, pixels);
  assert.deepEqual(alpha(), [0, 0, 0, 0]);
  mask(order, 100, false, pixels);
  assert.deepEqual(alpha(), [255, 255, 255, 255]);
  assert.equal(pixels[0], 7);
});

test("between two steps of a curve about its value is written, unless more steps are coming", () => {
  const curve = { name: "random", title: "", filling: "blur", hidden: [0.8, 0.4, 0.2], kept: [0, 0.1, 0.8] };
  assert.equal(writtenAt(curve, "hidden", 0.5, true), "40\u00a0%");
  assert.equal(writtenAt(curve, "hidden", 0.25, false), "\u2248\u00a060\u00a0%");
  assert.equal(writtenAt(curve, "kept", 0.9, false), "\u2248\u00a066\u00a0%");
  assert.equal(writtenAt(curve, "hidden", 0.25, true), "");
  assert.equal(writtenAt(undefined, "hidden", 0.25, false), "");
});

test("a curve runs from edge to edge, and a place across the chart is its nearest step", () => {
  assert.equal(pathOf([1, 0.5, 0], 1, FRAME), "M10.0 5.0L60.0 30.0L110.0 55.0");
  assert.deepEqual([-50, 10, 34, 110, 900].map((x) => stepAt(x, FRAME, 20)), [0, 0, 5, 20, 20]);
});
