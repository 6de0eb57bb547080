import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, embedRecipe, withSettings } from "../../sightglass/components/viewer/painter.js";

test("CRC-32 is PNG's own: that of IEND stands in every file", () => {
  assert.equal(crc32(new TextEncoder().encode("IEND")), 0xae426082);
});

test("a chunk is put after the header and nothing else changes", () => {
  const png = Uint8Array.from({ length: 60 }, (_, i) => i);
  const made = embedRecipe(png, "{}");
  const view = new DataView(made.buffer), size = view.getUint32(33);
  assert.equal(size, 15 + 2);
  assert.equal(new TextDecoder().decode(made.subarray(37, 37 + 4 + size)), "iTXtSightglass\0\0\0\0\0{}");
  assert.equal(view.getUint32(37 + 4 + size), crc32(made.subarray(37, 37 + 4 + size)));
  assert.deepEqual([...made.subarray(0, 33), ...made.subarray(33 + 12 + size)], [...png]);
});

test("the settings of the moment are in it, in ASCII", () => {
  const line = withSettings('{"view":{"label":"ä","settings":{}}}', { alpha: 0.4, mode: "map", zoom: [1, 2], boxes: true });
  assert.match(line, /^[\x20-\x7e]+$/);
  assert.deepEqual(JSON.parse(line).view, { label: "ä", settings: { alpha: 0.4, mode: "map", boxes: true } });
});
