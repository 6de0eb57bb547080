import assert from "node:assert/strict";
import test from "node:test";
import { deflateSync } from "node:zlib";

import { grids, inflate, unpack } from "../../sightglass/browser/unpack.js";

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
  assert.deepEqual(grids(steps, [[2, 3], [1, 2]]).map((grid) => [...grid()]), [[1, 3, 0, 7, 7, 8], [40000, 14464]]);
});
