import assert from "node:assert/strict";
import test from "node:test";

import { Touch } from "../../sightglass/ui/viewer/touch.js";
import { wayOf } from "../../sightglass/ui/viewer/ghost.js";

const paint = new Proxy({ canvas: {} }, { get: (own, name) => own[name] ?? (() => {}), set: () => true });
globalThis.document = { createElement: () => ({ getContext: () => paint }) };
globalThis.window = new EventTarget();
globalThis.location = { href: "http://localhost/?edit=1" };

const soon = () => new Promise((resolve) => setTimeout(resolve));

test("only the latest trail is asked about, and answers to one that was cleared are dropped", async () => {
  const asked = [], heard = [], said = [];
  globalThis.fetch = (address, { body }) => new Promise((resolve) => {
    const reply = (sentence) => resolve({ json: async () => ({ rows: { bus: {} }, sentence }) });
    asked.push({ address: String(address), reply, ...JSON.parse(body) });
  });
  window.addEventListener("sightglass:touched", ({ detail }) => heard.push(detail.rows));
  const state = { head: { touch: "key", size: [200, 100] }, panels: [], cover: null };
  let drawn = 0;
  const root = { classList: { add() {}, remove() {} } };
  const viewer = { root, state, painter: { redraw: () => drawn++ }, pointAt() {}, readOut: (aloud) => said.push([touch.sentence, aloud]) };
  const touch = new Touch(viewer);
  touch.begin([100, 50]);
  for (const x of [120, 140, 160]) touch.move([x, 50]);
  assert.deepEqual(asked.map(({ address, exact, edit }) => [address, exact, edit.marks]), [
    ["http://localhost/api/touch", false, [{ kind: "brush", points: [0.5, 0.5], size: 0.06 }]],
  ]);
  asked[0].reply("first");
  await soon();
  assert.deepEqual(asked[1].edit.marks[0].points, [0.5, 0.5, 0.6, 0.5, 0.7, 0.5, 0.8, 0.5]);
  touch.size(2, [160, 50]);
  const before = drawn;
  touch.end();
  assert.equal(drawn, before);
  asked[1].reply("second");
  await soon();
  assert.deepEqual([asked[2].exact, asked[2].edit.marks.map(({ size }) => size)], [true, [0.06, 0.12]]);
  // While the hand is down nothing is read out.
  asked[2].reply("third");
  await soon();
  assert.deepEqual([said, heard.length, asked.length], [[["first", false], ["second", false], ["third", true]], 3, 3]);
  touch.begin([20, 20]);
  touch.clear();
  asked[3].reply("late");
  await soon();
  assert.deepEqual([touch.sentence, state.cover, heard.at(-1), touch.edit.marks], ["", null, null, []]);
});

test("the ghost covers only what the model saw", () => {
  const own = { values: [0, 0, 0, 9], w: 2, h: 2, extent: [80, 0, 120, 40] };
  const [from, to] = wayOf({ own, seen: [80, 0, 120, 40] }, [200, 40]);
  assert.deepEqual(to, [110, 30]);
  assert.deepEqual(from, [112, 32]);
  const edge = { values: [0, 9], w: 2, h: 1, extent: [80, 0, 120, 40] };
  assert.deepEqual(wayOf({ own: edge, seen: [80, 0, 112, 40] }, [200, 40])[1], [109.6, 20]);
});
