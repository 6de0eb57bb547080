import assert from "node:assert/strict";
import test from "node:test";
import * as shapes from "../../sightglass/ui/viewer/marks.js";

const plain = { maps: [], boxes: null }, map = { maps: [{}], boxes: null };
const box = { xyxy: [0, 0, 1, 1], label: "bus 94 %", index: 0, marks: [] }, other = { ...box, label: "person 86 %", index: 1 };
const tags = (/** @type {any[]} */ ...given) => shapes.boxesShown(...given).map(({ tag }) => tag);

test("a box is known by its place, and the chosen one by its name too", () => {
  assert.deepEqual(tags(plain, [plain, map], [box, other], 0), ["1  bus 94 %", "2"]);
  assert.deepEqual(tags(map, [plain, map], [box, other], 0), ["1  bus 94 %"]);
  assert.deepEqual(tags(plain, [plain], [box], null), ["bus 94 %"]);
});

test("a label is known by its box and the place that it came to stand at", () => {
  globalThis.Path2D ??= /** @type {any} */ (class { lineTo() {} closePath() {} });
  const context = new Proxy({}, { get: (_, name) => () => (name === "measureText" ? { width: 20 } : null), set: () => true });
  const boxes = shapes.boxesShown(plain, [plain], [{ ...box, xyxy: [0, 0, 60, 60] }, { ...other, xyxy: [0, 0, 80, 80] }], 1);
  const labels = shapes.outlineBoxes(/** @type {any} */ (context), 100, 100, [0, 0, 100, 100], boxes, "sans-serif");
  assert.deepEqual(labels.map(({ index }) => index), [1, 0]);
  assert.deepEqual(labels[0].place, [0, 0, 32, 20]);
  // Over it there is no room any more.
  assert.deepEqual(labels[1].place, [0, 60, 32, 80]);
});

test("a body has a dot for each joint, a line for each limb, and a ring around the joint that is asked about", () => {
  const drawn = /** @type {number[][]} */ ([]);
  const before = globalThis.Path2D;
  globalThis.Path2D = /** @type {any} */ (class {
    lineTo(/** @type {number} */ x, /** @type {number} */ y) { drawn.push([x, y, 0]); }
    arc(/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ radius) { drawn.push([x, y, radius]); }
    moveTo() {}
    closePath() {}
  });
  const context = new Proxy({}, { get: (_, name) => () => (name === "measureText" ? { width: 20 } : null), set: () => true });
  const points = [[10, 10], [20, 30], [40, 40]];
  const joints = points.map((point, i) => ({ kind: "point", points: [point], hollow: i === 2, chosen: i === 1 }));
  const marks = [{ kind: "polyline", points: points.slice(0, 2) }, ...joints];
  const [shown] = shapes.boxesShown(plain, [plain], [{ ...box, marks }], 0);
  shapes.outlineBoxes(/** @type {any} */ (context), 100, 100, [0, 0, 100, 100], [shown], "sans-serif");
  globalThis.Path2D = before;
  const rounds = drawn.filter(([, , radius]) => radius), lines = drawn.filter(([, , radius]) => !radius);
  assert.deepEqual(rounds.map(([x, y]) => [x, y]), [[10, 10], [20, 30], [20, 30], [40, 40]]);
  assert.deepEqual(rounds.map(([, , radius]) => radius > 5), [false, false, true, false]);
  assert.deepEqual(lines, [[20, 30, 0]]);
});
