import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { Measured } from "../../sightglass/browser/statistics.js";

const CASES = JSON.parse(readFileSync(new URL("../statistics_cases.json", import.meta.url), "utf-8"));

/** Return values as Python sends them. */
function sampled(rows, kind) {
  const low = kind === "heat" ? 0 : -1;
  const values = Uint16Array.from(rows.flat(), (value) => Math.round(((value - low) / (1 - low)) * 65535));
  return { values, w: rows[0].length, h: rows.length, kind, extent: [0, 0, 1, 1] };
}

const near = (value, expected, name) => assert.ok(Math.abs(value - expected) < 5e-4, `${name}: ${value}, not ${expected}`);

for (const { name, kind, values, extent, above, half, scatter, peak, histogram } of CASES) {
  test(`the numbers of a map: ${name}`, () => {
    const measured = new Measured(sampled(values, kind));
    for (const { level, area, evidence, regions } of above) {
      const found = measured.above(level);
      near(found.area, area, `area above ${level}`);
      near(found.evidence, evidence, `evidence above ${level}`);
      assert.equal(found.regions, regions, `regions above ${level}`);
    }
    near(measured.half, half, "half");
    near(measured.scatter, scatter, "scatter");
    measured.peak(extent).forEach((place, i) => near(place, peak[i], "peak"));
    assert.deepEqual(measured.histogram, histogram);
  });
}

test("a map of more than 320 cells a side is reduced by area, as in Python", () => {
  const rows = Array.from({ length: 2 }, () => Array.from({ length: 640 }, (_, i) => (i % 2 ? 1 : 0)));
  const measured = new Measured(sampled(rows, "heat"));
  assert.deepEqual([measured.w, measured.h], [320, 1]);
  assert.ok(measured.values.every((value) => Math.abs(value - 0.5) < 1e-4));
});
