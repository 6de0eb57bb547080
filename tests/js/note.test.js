import assert from "node:assert/strict";
import test from "node:test";
import { packed } from "./packing.js";

globalThis.window = new EventTarget();
const { default: note } = await import("../../sightglass/components/widgets/note.js");

/** A field as the browser has it, and what it sends. */
function opened() {
  const field = Object.assign(new EventTarget(), { value: "", maxLength: 0 }), status = { textContent: "" };
  const root = { querySelector: (what) => (what === "textarea" ? field : status) };
  const sent = [], parentElement = { querySelector: () => root };
  const given = { id: "one", most: 100, saved: "", problem: "" };
  const show = (data) => note({ data: packed({ ...given, ...data }), parentElement, setStateValue: (_, value) => sent.push(value) });
  const type = (text) => {
    field.value = text;
    field.dispatchEvent(new Event("input"));
  };
  return { field, status, sent, show, type };
}

test("a note that was saved while the field was opened again comes into it", () => {
  const { field, sent, show } = opened();
  show({ text: "" });
  show({ text: "the roof" });
  assert.equal(field.value, "the roof");
  field.dispatchEvent(new Event("blur"));
  assert.deepEqual(sent, []);
});

test("what was typed since is not taken back by an answer to an earlier text", () => {
  const { field, status, sent, show, type } = opened();
  show({ text: "the roof" });
  type("the roof, the door");
  show({ text: "the roof" });
  assert.equal(field.value, "the roof, the door");
  field.dispatchEvent(new Event("blur"));
  show({ text: "the roof" });
  assert.equal(field.value, "the roof, the door");
  assert.equal(sent[0].text, "the roof, the door");
  show({ text: "the roof, the door", saved: sent[0].step });
  assert.equal(status.textContent, "Saved");
});
