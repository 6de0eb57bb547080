import assert from "node:assert/strict";
import test from "node:test";
import * as outline from "../../sightglass/components/viewer/outline.js";

const plain = { maps: [], boxes: null }, map = { maps: [{}], boxes: null };
const box = { xyxy: [0, 0, 1, 1], label: "bus 94 %", index: 0 }, other = { ...box, label: "person 86 %", index: 1 };
const tags = (/** @type {any[]} */ ...given) => outline.boxesShown(...given).map(({ tag }) => tag);

test("a box is known by its place, and the chosen one by its name too", () => {
  assert.deepEqual(tags(plain, [plain, map], [box, other], 0), ["1  bus 94 %", "2"]);
  assert.deepEqual(tags(map, [plain, map], [box, other], 0), ["1  bus 94 %"]);
  assert.deepEqual(tags(plain, [plain], [box], null), ["bus 94 %"]);
});

test("a tag of its own replaces the place, and the label then stands alone", () => {
  const tagged = [{ ...box, tag: "7", label: "7  bus 94 %" }, { ...other, tag: "?", dashed: true }];
  assert.deepEqual(tags(plain, [plain], tagged, 0), ["7  bus 94 %", "?"]);
  assert.equal(outline.boxesShown(plain, [plain], tagged, 0)[1].dashed, true);
});

test("a label is known by its box and the place that it came to stand at", () => {
  globalThis.Path2D ??= /** @type {any} */ (class { lineTo() {} closePath() {} });
  const context = new Proxy({}, { get: (_, name) => () => (name === "measureText" ? { width: 20 } : null), set: () => true });
  const boxes = outline.boxesShown(plain, [plain], [{ ...box, xyxy: [0, 0, 60, 60] }, { ...other, xyxy: [0, 0, 80, 80] }], 1);
  const labels = outline.outlineBoxes(/** @type {any} */ (context), 100, 100, [0, 0, 100, 100], boxes, "sans-serif");
  assert.deepEqual(labels.map(({ index }) => index), [1, 0]);
  assert.deepEqual(labels[0].place, [0, 0, 32, 20]);
  // Over it there is no room any more.
  assert.deepEqual(labels[1].place, [0, 60, 32, 80]);
});

test("a panel's own boxes keep their corners and cannot be chosen", () => {
  const corners = [[0, 1], [1, 0], [2, 1], [1, 2]];
  const [shown] = outline.boxesShown({ maps: [], boxes: [{ ...box, corners }] }, [], [], 0);
  assert.deepEqual([shown.corners, shown.chosen, shown.tag], [corners, false, "bus 94 %"]);
});
