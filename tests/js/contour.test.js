import assert from "node:assert/strict";
import test from "node:test";

import { isolines } from "../../sightglass/browser/contour.js";

const points = (segments) => new Set(Array.from({ length: segments.length / 2 }, (_, i) => segments.slice(2 * i, 2 * i + 2).join()));

test("one hot cell has a diamond around it", () => {
  const segments = isolines(Float32Array.from([0, 0, 0, 0, 1, 0, 0, 0, 0]), 3, 3, 0.5);
  assert.equal(segments.length, 16);
  assert.deepEqual(points(segments), new Set(["1,1.5", "1.5,1", "2,1.5", "1.5,2"]));
});

test("a hot half has one straight line, up to the edge and never along it", () => {
  const segments = isolines(Float32Array.from([0, 1, 0, 1]), 2, 2, 0.5), xs = segments.filter((_, i) => i % 2 === 0);
  assert.ok(xs.every((x) => x === 1));
  const ys = segments.filter((_, i) => i % 2 === 1);
  assert.deepEqual([Math.min(...ys), Math.max(...ys)], [0, 2]);
});

test("a flat field has no line", () => {
  assert.deepEqual(isolines(new Float32Array(12).fill(1), 4, 3, 0.5), []);
  assert.deepEqual(isolines(new Float32Array(12), 4, 3, 0.5), []);
});

test("at a saddle the middle decides, and no point is lost", () => {
  for (const values of [[1, 0, 0, 1], [0, 1, 1, 0], [1, 0.2, 0.2, 1], [0.2, 1, 1, 0.2]]) {
    const segments = isolines(Float32Array.from(values), 2, 2, 0.5), count = new Map();
    for (let i = 0; i < segments.length; i += 2) {
      const name = segments.slice(i, i + 2).map((v) => v.toFixed(5)).join();
      count.set(name, (count.get(name) ?? 0) + 1);
    }
    const inner = [...count].filter(([name]) => !name.split(",").some((v) => Number(v) === 0 || Number(v) === 2));
    assert.ok(inner.length > 0 && inner.every(([, n]) => n === 2), JSON.stringify([...count]));
  }
});
