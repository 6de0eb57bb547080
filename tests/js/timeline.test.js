import assert from "node:assert/strict";
import test from "node:test";

import { clock, dashesOf, frameOf, momentAt, nextMoment, stepOf, timeAt, topArea, traceOf, xOf } from "../../sightglass/components/widgets/timeline.js";

const frame = frameOf(500);
const moments = [1.5, 3, 7.25].map((seconds, i) => ({ seconds, frame: i, kind: "answer", words: "" }));

test("curves are told apart by how long a stroke is, or by how much of the line is drawn", () => {
  const parts = [1, 2, 3, 4, 5].map((place) => dashesOf(place).split(" ").map(Number));
  const ink = parts.map((one) => one.filter((_, i) => i % 2 === 0).reduce((a, b) => a + b) / one.reduce((a, b) => a + b));
  const longest = parts.map((one) => Math.max(...one.filter((_, i) => i % 2 === 0)));
  for (let a = 0; a < 5; a++) for (let b = 0; b < a; b++) {
    assert.ok(Math.abs(ink[a] - ink[b]) > 0.1 || Math.max(longest[a], longest[b]) / Math.min(longest[a], longest[b]) >= 1.5);
  }
});

test("a place on the chart is the time that is drawn there", () => {
  for (const time of [0, 0.04, 3.3, 10]) assert.ok(Math.abs(timeAt(xOf(time, 10, frame), 10, frame) - time) < 1e-9);
  assert.equal(timeAt(-50, 10, frame), 0);
  assert.equal(timeAt(5000, 10, frame), 10);
  assert.equal(xOf(99, 10, frame), frame.width - frame.right);
});

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

test("times are written as a clock shows them, on a grid that is neither crowded nor bare", () => {
  assert.deepEqual([0, 7.44, 59.96, 75, 3723.5].map(clock), ["0:00.0", "0:07.4", "1:00.0", "1:15.0", "1:02:03.5"]);
  for (const seconds of [2, 6, 90, 600, 3600, 20000]) {
    const lines = seconds / stepOf(seconds, 440);
    assert.ok(lines <= 4 && lines >= 1, `${seconds}: ${lines}`);
  }
});

test("the axis of areas ends above all of them", () => {
  const curve = (...areas) => ({ name: "", points: areas.map((area, i) => [i, 0.5, area]) });
  assert.equal(topArea([curve(0.31, null), curve(0.12)]), 0.4);
  assert.equal(topArea([curve(null)]), 0.1);
  assert.equal(topArea([curve(1)]), 1);
});
