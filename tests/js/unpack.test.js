import assert from "node:assert/strict";
import test from "node:test";
import { deflateSync } from "node:zlib";

import { bytes, inflate, unpack } from "../../components/viewer/unpack.js";

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
  assert.deepEqual(await inflate(found[1]), map);
});

test("base64", () => assert.deepEqual([...bytes("AP8Q")], [0, 255, 16]));
