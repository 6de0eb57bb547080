import assert from "node:assert/strict";
import test from "node:test";

import { valueAt } from "../../sightglass/browser/sample.js";

const grid = (values, w, h, extent = [0, 0, w, h], kind = "heat") => ({ values: Uint16Array.from(values), w, h, extent, kind });

test("the value under a point", () => {
  assert.ok(Math.abs(valueAt(grid([0, 65535], 2, 1), 1, 0.5) - 0.5) < 1e-4);
  assert.equal(valueAt(grid([0, 65535], 2, 1, [0, 0, 2, 1], "difference"), 0.2, 0.5), -1);
});
