import assert from "node:assert/strict";
import test from "node:test";
import { Sheet, extend } from "../../sightglass/components/canvas/canvas.js";

test("every step on a sheet can be taken back, rubbing out and clearing too", () => {
  const page = new Sheet([]);
  extend(page.begin(0.1, 0.1, 0.05, false), 0.5, 0.5);
  page.begin(0.5, 0.5, 0.1, true);
  assert.ok(page.clear());
  assert.deepEqual(page.value, []);
  assert.ok(!page.clear());
  assert.ok(page.undo());
  assert.deepEqual(page.value.map(({ erases }) => erases), [false, true]);
  page.undo();
  assert.deepEqual(page.value, [{ points: [0.1, 0.1, 0.5, 0.5], width: 0.05, erases: false }]);
  page.undo();
  assert.deepEqual([page.value, page.back, page.undo()], [[], 0, false]);
});
