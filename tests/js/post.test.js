import assert from "node:assert/strict";
import test from "node:test";
import { post } from "../../sightglass/browser/hands.js";

/** A clock that is moved by hand. @param {import("node:test").TestContext} t */
function clock(t) {
  let time = 0;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  t.mock.method(performance, "now", () => time);
  return (ms) => {
    time += ms;
    t.mock.timers.tick(ms);
  };
}

test("Python gets a drawing while it is drawn, the latest only, and not before it has shown the last one", (t) => {
  const pass = clock(t), sent = [];
  const sender = post((turn) => sent.push(turn), 4, 150);
  sender.touch();
  sender.touch();
  pass(100);
  assert.deepEqual(sent, []);
  pass(60);
  assert.deepEqual(sent, [5]);
  sender.touch();
  for (let i = 0; i < 6; i++) pass(150);
  assert.deepEqual(sent, [5]);
  sender.heard(4);
  pass(150);
  assert.deepEqual(sent, [5]);
  sender.heard(5);
  pass(150);
  assert.deepEqual(sent, [5, 6]);
  sender.heard(6);
  for (let i = 0; i < 6; i++) pass(150);
  assert.deepEqual(sent, [5, 6]);
});

test("a finished stroke is sent at once, and once; while Python works the newest replaces those that wait", (t) => {
  const pass = clock(t), sent = [];
  const sender = post((turn) => sent.push(turn), 0, 30);
  sender.touch();
  sender.flush();
  assert.deepEqual(sent, [1]);
  pass(30);
  assert.deepEqual(sent, [1]);
  for (let i = 0; i < 5; i++) {
    sender.touch();
    sender.flush();
  }
  pass(90);
  assert.deepEqual(sent, [1]);
  sender.heard(1);
  pass(30);
  assert.deepEqual(sent, [1, 2]);
  sender.flush();
  assert.deepEqual(sent, [1, 2]);
});
