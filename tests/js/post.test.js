import assert from "node:assert/strict";
import test from "node:test";
import { post } from "../../sightglass/browser/hands.js";

/** A clock that is moved by hand. */
function clock() {
  let time = 0, due = [];
  return {
    now: () => time,
    after: (ms, call) => due.push([time + ms, call]),
    pass(ms) {
      time += ms;
      const ripe = due.filter(([when]) => when <= time);
      due = due.filter(([when]) => when > time);
      for (const [, call] of ripe) call();
    },
  };
}

test("Python gets a drawing while it is drawn, the latest only, and not before it has shown the last one", () => {
  const time = clock(), sent = [];
  const sender = post((turn) => sent.push(turn), time, 4);
  sender.touch();
  sender.touch();
  time.pass(100);
  assert.deepEqual(sent, []);
  time.pass(60);
  assert.deepEqual(sent, [5]);
  sender.touch();
  for (let i = 0; i < 6; i++) time.pass(150);
  assert.deepEqual(sent, [5]);
  sender.heard(4);
  time.pass(150);
  assert.deepEqual(sent, [5]);
  sender.heard(5);
  time.pass(150);
  assert.deepEqual(sent, [5, 6]);
  sender.heard(6);
  for (let i = 0; i < 6; i++) time.pass(150);
  assert.deepEqual(sent, [5, 6]);
});

test("a finished stroke is sent at once, and once; while Python works the newest replaces those that wait", () => {
  const time = clock(), sent = [];
  const sender = post((turn) => sent.push(turn), time, 0, 30);
  sender.touch();
  sender.flush();
  assert.deepEqual(sent, [1]);
  time.pass(30);
  assert.deepEqual(sent, [1]);
  for (let i = 0; i < 5; i++) {
    sender.touch();
    sender.flush();
  }
  time.pass(90);
  assert.deepEqual(sent, [1]);
  sender.heard(1);
  time.pass(30);
  assert.deepEqual(sent, [1, 2]);
  sender.flush();
  assert.deepEqual(sent, [1, 2]);
});
