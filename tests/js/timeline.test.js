import assert from "node:assert/strict";
import test from "node:test";

import { frameOf, momentAt, nextMoment, traceOf } from "../../sightglass/components/widgets/timeline.js";

const frame = frameOf(500);
const moments = [1.5, 3, 7.25].map((seconds, i) => ({ seconds, frame: i, kind: "answer", words: "" }));

test("keys lead to the moment before and after, and nowhere behind the last", () => {
  assert.equal(nextMoment(moments, 0, 1)?.seconds, 1.5);
  assert.equal(nextMoment(moments, 1.5, 1)?.seconds, 3);
  assert.equal(nextMoment(moments, 3, -1)?.seconds, 1.5);
  assert.equal(nextMoment(moments, 7.25, 1), null);
  assert.equal(nextMoment(moments, 1.5, -1), null);
  assert.deepEqual([0, 1.5, 2.9, 60].map((time) => momentAt(moments, time)), [-1, 0, 0, 2]);
});

test("a line is broken where an object was not seen, and where there was no map", () => {
  const steps = (from, to, area = 0.1) => Array.from({ length: to - from }, (_, i) => [(from + i) / 10, 0.5, area]);
  const whole = traceOf(steps(0, 100), 1, 1, 10, frame, frame.rows[0]);
  assert.equal(whole.match(/M/g).length, 1);
  const gap = traceOf([...steps(0, 30), ...steps(60, 100)], 1, 1, 10, frame, frame.rows[0]);
  assert.equal(gap.match(/M/g).length, 2);
  const without = traceOf([...steps(0, 30), ...steps(30, 32, null), ...steps(32, 50)], 2, 1, 10, frame, frame.rows[1]);
  assert.equal(without.match(/M/g).length, 2);
  assert.equal(traceOf(steps(0, 5, null), 2, 1, 10, frame, frame.rows[1]), "");
});
