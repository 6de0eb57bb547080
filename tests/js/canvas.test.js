import assert from "node:assert/strict";
import test from "node:test";
import { Sheet, described, extend } from "../../components/canvas/sheet.js";
import { post } from "../../components/canvas/canvas.js";

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

test("a hand that rests adds no points", () => {
  const line = new Sheet([]).begin(0.5, 0.5, 0.05, false);
  assert.ok(!extend(line, 0.501, 0.501));
  assert.ok(extend(line, 0.51, 0.5));
  assert.deepEqual(line.points, [0.5, 0.5, 0.51, 0.5]);
});

test("a drawing is described in words", () => {
  const line = (...points) => ({ points, width: 0.05, erases: false });
  assert.equal(described([]), "The canvas is empty.");
  assert.equal(described([{ ...line(0.5, 0.5), erases: true }]), "The canvas is empty.");
  assert.equal(described([line(0.1, 0.1, 0.2, 0.2)]), "1 line, at the top left.");
  assert.equal(described([line(0.45, 0.45), line(0.55, 0.55)]), "2 lines, in the middle.");
  assert.equal(described([line(0.1, 0.1, 0.9, 0.9)]), "1 line, across the whole canvas.");
  assert.equal(described([line(0.1, 0.9, 0.9, 0.9)]), "1 line, at the bottom.");
});

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

test("a reply that never comes does not block the pen", () => {
  const time = clock(), sent = [];
  const sender = post((turn) => sent.push(turn), time, 0);
  sender.touch();
  time.pass(150);
  sender.touch();
  for (let i = 0; i < 30; i++) time.pass(150);
  assert.deepEqual(sent, [1, 2]);
});
