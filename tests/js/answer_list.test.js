import assert from "node:assert/strict";
import test from "node:test";
import { packed } from "./packing.js";

class Node {
  children = [];
  style = {};
  parts = {};
  attributes = {};
  classList = { toggle() {}, contains: () => false };
  append(...nodes) {
    this.children.push(...nodes);
  }
  closest() {
    return this;
  }
  querySelector(selector) {
    return (this.parts[selector] ??= new Node());
  }
  setAttribute(name, value) {
    this.attributes[name] = value;
  }
  addEventListener(type, listener) {
    this[type] = listener;
  }
}

globalThis.window = new EventTarget();
globalThis.Element = Node;
globalThis.document = { createElement: () => new Node() };
const { default: show } = await import("../../sightglass/ui/widgets/answer_list.js");

/** A place on the page for lists; `chosen` is where it stands, `sent` what Python was told of each list. */
function place() {
  const parentElement = new Node(), sent = [];
  return {
    sent,
    show: (name, labels, chosen) =>
      show({
        data: packed({ name, rows: labels.map((label) => ({ label, share: 0.5, text: "50 %" })), chosen, ticks: 3, ticked: [] }),
        parentElement,
        setStateValue: (key, value) => sent.push([name, ...(key === "chosen" ? [] : [key]), value]),
      }),
    rows: () => parentElement.querySelector(".rows").children,
    click: (index) => parentElement.querySelector(".rows").click({ target: parentElement.querySelector(".rows").children[index] }),
    chosen: () => parentElement.querySelector(".rows").children.findIndex((row) => row.parts.button.attributes["aria-pressed"] === "true"),
    tick: (index) => parentElement.querySelector(".rows").change({ target: parentElement.querySelector(".rows").children[index] }),
    ticked: () => parentElement.querySelector(".rows").children.flatMap((row, i) => (row.parts[".tick"].checked ? [i] : [])),
  };
}

test("a list that is about to go does not choose in the one that takes its place", () => {
  const old = place(), fresh = place();
  const stopOld = old.show("first", ["bus", "person"], 0);
  old.click(1);
  const stopFresh = fresh.show("second", ["bus", "person", "zebra"], 2);
  window.dispatchEvent(new CustomEvent("sightglass:ask"));
  assert.deepEqual([fresh.chosen(), fresh.sent], [2, []]);
  window.dispatchEvent(new CustomEvent("sightglass:choose", { detail: { index: 1 } }));
  assert.deepEqual([fresh.chosen(), fresh.sent], [1, [["second", 1]]]);
  stopOld();
  stopFresh();
});

test("an echo that a later click has overtaken changes nothing", () => {
  const only = place(), labels = ["bus", "person", "zebra"];
  only.show("one", labels, 0);
  only.click(1);
  only.click(2);
  only.show("one", labels, 1);
  assert.equal(only.chosen(), 2);
  const stop = only.show("one", labels, 2);
  assert.equal(only.chosen(), 2);
  stop();
});

test("two rows are ticked at most, Python hears of two alone, and a click ends the comparison", () => {
  const list = place(), stop = list.show("pair", ["bus", "person", "zebra"], 0);
  list.tick(2);
  assert.deepEqual([list.ticked(), list.sent], [[2], []]);
  list.tick(0);
  list.tick(1);
  assert.deepEqual([list.ticked(), list.sent], [[0, 1], [["pair", "ticked", [2, 0]], ["pair", "ticked", [0, 1]]]]);
  list.click(1);
  assert.deepEqual([list.ticked(), list.sent.slice(2)], [[], [["pair", "ticked", []], ["pair", 1]]]);
  stop();
});
