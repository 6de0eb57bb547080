import assert from "node:assert/strict";
import test from "node:test";
import { deflateSync } from "node:zlib";

import * as g from "../../sightglass/browser/geometry.js";
import { valueAt } from "../../sightglass/browser/sample.js";
import { grids, inflate, unpack } from "../../sightglass/browser/unpack.js";
import { post } from "../../sightglass/ui/painter/painter.js";
import { chained, isolines } from "../../sightglass/browser/contour.js";

test("zooming keeps what is under the pointer, and never leaves the picture", () => {
  const viewport = g.zoomAt({ x: 0, y: 0, zoom: 1 }, 0.5, 0.25, 4);
  assert.deepEqual(g.visible(viewport, [800, 400]), [300, 75, 500, 175]);
  assert.deepEqual(g.panned(viewport, 10, 10), { x: 0, y: 0, zoom: 4 });
  assert.deepEqual(g.zoomAt(viewport, 0, 0, 0.01), { x: 0, y: 0, zoom: 1 });
});

test("inside nested boxes the smallest is meant, and a dashed box is no box", () => {
  const boxes = [{ xyxy: [0, 0, 10, 10], index: 0 }, { xyxy: [2, 2, 4, 4], index: 1 }];
  assert.equal(g.smallestBox(boxes, 3, 3).index, 1);
  assert.equal(g.smallestBox(boxes, 5, 5).index, 0);
  assert.equal(g.smallestBox(boxes, 11, 5), null);
  const dashed = [{ xyxy: [0, 0, 8, 8], index: 0 }, { xyxy: [2, 2, 20, 20], index: 1, marks: [{ kind: "polygon", hollow: true }] }];
  assert.equal(g.smallestBox(dashed, 10, 10), null);
  assert.equal(g.smallestBox(dashed, 3, 3).index, 0);
  assert.equal(g.smallestBox([dashed[0], { ...dashed[1], xyxy: [2, 2, 4, 4] }], 3, 3).index, 0);
});

const grid = (values, w, h, extent = [0, 0, w, h], kind = "heat") => ({ values: Uint16Array.from(values), w, h, extent, kind });

test("the value under a point", () => {
  assert.ok(Math.abs(valueAt(grid([0, 65535], 2, 1), 1, 0.5) - 0.5) < 1e-4);
  assert.equal(valueAt(grid([0, 65535], 2, 1, [0, 0, 2, 1], "difference"), 0.2, 0.5), -1);
});

test("a payload made by hand comes apart, also where it does not start at 0", async () => {
  const map = Uint16Array.from([0, 1, 65535, 257]), blobs = [Buffer.from([1, 2, 3]), deflateSync(Buffer.from(map.buffer))];
  let text = JSON.stringify({ word: "mini·bus", sizes: blobs.map((blob) => blob.length) });
  text += " ".repeat((4 - (Buffer.byteLength(text) % 4)) % 4);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(text));
  const whole = new Uint8Array(Buffer.concat([Buffer.from("noise"), length, Buffer.from(text), ...blobs]));
  const { head, blobs: found } = unpack(whole.subarray(5));
  assert.equal(head.word, "mini·bus");
  assert.deepEqual([...found[0]], [1, 2, 3]);
  assert.deepEqual(await inflate(found[1], 4), map);
});

test("rows of differences are summed up, each grid in its own shape, around 65535 and back", () => {
  const steps = Uint16Array.from([1, 2, 65533, 7, 0, 1, 40000, 40000]);
  assert.deepEqual(grids(steps, [[2, 3], [1, 2]]).map((rows) => [...rows()]), [[1, 3, 0, 7, 7, 8], [40000, 14464]]);
});

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

test("the segments around a hill follow each other", () => {
  const field = Float32Array.from({ length: 48 }, (_, i) => Number([17, 18, 25, 26].includes(i)));
  const lines = chained(isolines(field, 8, 6, 0.5)), ends = [...lines.slice(2), ...lines.slice(0, 2)];
  assert.equal(lines.length, 32);
  for (let i = 0; i < lines.length; i += 4) assert.deepEqual(ends.slice(i, i + 2), ends.slice(i + 2, i + 4));
});
