import assert from "node:assert/strict";
import test from "node:test";

import { first, pieces } from "../../sightglass/components/tour/tour.js";

/** @param {Record<string, object>} held */
const storage = (held = {}) => ({ getItem: (name) => (name in held ? JSON.stringify(held[name]) : null) });
const NAME = "sightglass-tour";

test("it begins by itself once, and goes on where it was in the same window", () => {
  assert.equal(first(storage(), storage(), false), 0);
  assert.equal(first(storage({ [NAME]: { shown: true } }), storage(), false), -1);
  assert.equal(first(storage({ [NAME]: { shown: true } }), storage({ [NAME]: { step: 3 } }), false), 3);
  assert.equal(first(storage({ [NAME]: { shown: true } }), storage({ [NAME]: {} }), false), -1);
});

test("a browser that a program drives has no first minutes", () => {
  assert.equal(first(storage(), storage(), true), -1);
});

test("where nothing can be stored it still begins", () => {
  const refused = { getItem() {
    throw new Error("denied");
  } };
  assert.equal(first(refused, refused, false), 0);
});

test("terms of a text are found, and nothing of it is lost", () => {
  assert.deepEqual(pieces("Each has a {score}."), [
    { text: "Each has a ", term: false }, { text: "score", term: true }, { text: ".", term: false },
  ]);
  assert.deepEqual(pieces("{map}"), [{ text: "map", term: true }]);
  assert.deepEqual(pieces("no term"), [{ text: "no term", term: false }]);
});
