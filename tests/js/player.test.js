import assert from "node:assert/strict";
import test from "node:test";

import { clock, currentMoment, timeAt } from "../../sightglass/ui/player/player.js";

const moments = [0.9333, 2.4, 2.4].map((seconds) => ({ seconds, words: "" }));
const head = { place: "", begin: 0, end: null, seconds: 3, moments, note: "" };

test("a time is written as in Python", () => {
  assert.deepEqual([0, 0.96, 59.96, 3599.99].map((at) => clock(at, 1)), ["0:00.0", "0:01.0", "1:00.0", "1:00:00.0"]);
  assert.deepEqual([0.0333, 7.428, 3661.5].map((at) => clock(at, 2)), ["0:00.03", "0:07.43", "1:01:01.50"]);
});

test("a place of the chart is a time, and a mark its moment's own", () => {
  assert.deepEqual([-5, 0, 150, 300, 400].map((x) => timeAt({ x, y: 50 }, 300, head)), [0, 0, 1.5, 3, 3]);
  // Near the mark of 0.9333 s, which lies at 93 pixels.
  assert.equal(timeAt({ x: 90, y: 2 }, 300, head), 0.9333);
  assert.notEqual(timeAt({ x: 90, y: 50 }, 300, head), 0.9333);
});

test("the current moment is the last that has begun, though its time is rounded", () => {
  assert.deepEqual([0, 0.9, 0.9333333, 2, 2.4, 3].map((at) => currentMoment(moments, at)), [-1, -1, 0, 0, 2, 2]);
});
