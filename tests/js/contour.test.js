import assert from "node:assert/strict";
import test from "node:test";
import { chained, isolines, withoutSmall } from "../../sightglass/browser/contour.js";

test("the segments around a hill follow each other, and a small hill beside it has none", () => {
  const field = new Float32Array(48).fill(0);
  for (const at of [17, 18, 25, 26, 22]) field[at] = 1;
  const lines = chained(isolines(withoutSmall(field, 8, 6, 0.5, 0.05), 8, 6, 0.5)), ends = [...lines.slice(2), ...lines.slice(0, 2)];
  assert.equal(lines.length, 32);
  for (let i = 0; i < lines.length; i += 4) assert.deepEqual(ends.slice(i, i + 2), ends.slice(i + 2, i + 4));
  assert.equal(chained(isolines(field, 8, 6, 0.5)).length, 48);
});
