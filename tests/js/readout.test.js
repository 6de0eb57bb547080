import assert from "node:assert/strict";
import test from "node:test";

import { readout } from "../../sightglass/ui/viewer/settings.js";

const plain = (line) => line.map(([text, bold]) => (bold ? `*${text}*` : text)).join("");
const heat = (title, value, raw = [0, 0.5], full = true) => ({ title, kind: "heat", raw, value, full });

test("the reading of one map", () => {
  assert.equal(plain(readout([heat("minibus", 0.83)], 405.7, 540.2)), "minibus *0.83* of its maximum, raw *0.415* at 405, 540");
});

test("the reading of several", () => {
  const gap = { title: "Difference", kind: "difference", raw: null, value: -0.25, full: true };
  const line = readout([heat("s", 0.5), heat("m", 0.1), gap], 1, 2);
  assert.equal(plain(line), "s *0.50* (raw 0.25), m *0.10* (raw 0.05) of their maxima, Difference *−0.25* at 1, 2");
});

test("where the model did not see nothing is read", () => {
  assert.equal(plain(readout([heat("s", null)], 1, 2)), "The model did not see this part of the picture, at 1, 2");
});
