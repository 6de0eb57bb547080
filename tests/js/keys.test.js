import assert from "node:assert/strict";
import test from "node:test";

import { freeKey } from "../../sightglass/browser/keys.js";

const BODY = { tagName: "BODY" };
const free = (key, focus = BODY, more = {}) => freeKey({ key, composedPath: () => [focus, BODY], ...more });

test("a button keeps space and Enter alone, a field all keys, a slider none", () => {
  for (const focus of [{ tagName: "BUTTON", type: "button" }, { tagName: "DIV", role: "tab" }, { tagName: "A" }]) {
    assert.deepEqual(["2", "s", "[", "?", "d", "Escape", " ", "Enter"].map((key) => free(key, focus)), ["2", "s", "[", "?", "d", "escape", "", ""]);
  }
  const fields = [{ tagName: "TEXTAREA" }, { tagName: "SELECT" }, { tagName: "DIV", isContentEditable: true }, { tagName: "LI", role: "option" }];
  for (const focus of [...fields, ...["text", "search", "number"].map((type) => ({ tagName: "INPUT", type }))]) {
    assert.deepEqual(["2", "s", "[", "?", "d", " "].map((key) => free(key, focus)), ["", "", "", "", "", ""]);
  }
  assert.equal(free(" ", { tagName: "INPUT", type: "range" }), " ");
  assert.equal(free("2", { tagName: "INPUT", type: "radio" }), "2");
  assert.deepEqual([false, true].map((checked) => free(" ", { tagName: "INPUT", type: "radio", checked })), ["", " "]);
});

test("keys are the same with Caps Lock and on other keyboards", () => {
  assert.deepEqual(["S", "D", "T"].map((key) => free(key)), ["s", "d", "t"]);
  // French: the digits need Shift.
  assert.equal(free("&", BODY, { code: "Digit1" }), "1");
  assert.equal(free("1", BODY, { code: "Digit1", shiftKey: true }), "1");
  assert.equal(free("!", BODY, { code: "Digit1", shiftKey: true }), "!");
  // German, on Linux, Windows and a Mac.
  for (const more of [{}, { ctrlKey: true, altKey: true }, { altKey: true }]) {
    assert.equal(free("[", BODY, { code: "Digit8", ...more }), "[");
  }
});

test("what the browser or an input method takes is not free", () => {
  assert.deepEqual([free("d", BODY, { altKey: true }), free("1", BODY, { ctrlKey: true, code: "Digit1" }), free("[", BODY, { metaKey: true })], ["", "", ""]);
  assert.deepEqual([free("d", BODY, { isComposing: true }), free("1", BODY, { defaultPrevented: true })], ["", ""]);
});
