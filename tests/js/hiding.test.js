import assert from "node:assert/strict";
import test from "node:test";

globalThis.window = new EventTarget();
globalThis.matchMedia = () => ({ matches: false });
globalThis.createImageBitmap = async () => ({ close() {} });
const { Hiding } = await import("../../sightglass/components/viewer/hiding.js");

const ROW = { name: "minibus", label: "minibus", share: 0.31, text: "62 % → 31 %", boxes: "" };

/** A viewer of a picture of 800 by 1000 pixels; `asked` is what Python got, `scores` what the list of answers. */
function viewer(head = {}) {
  const asked = [], scores = [], said = [], gone = new AbortController(), { signal } = gone;
  window.addEventListener("sightglass:hide", ({ detail }) => asked.push(detail), { signal });
  window.addEventListener("sightglass:scores", ({ detail }) => scores.push(detail), { signal });
  const store = {
    head: { picture: "bus", size: [800, 1000], hides: true, ...head },
    viewport: { zoom: 1 }, marker: { use() {} }, panels: [{ canvas: { focus() {} } }], point: null, disc: null,
    original: (fx, fy) => [800 * fx, 1000 * fy],
    mapOf: () => ({ title: "minibus" }),
  };
  const display = { pointAt() {}, showControls() {}, readOut() {}, say: (sentence) => said.push(sentence) };
  const hiding = new Hiding(store, { redraw() {} }, display);
  const close = () => {
    hiding.end();
    gone.abort();
  };
  return { hiding, store, asked, scores, said, close };
}

test("while an answer is awaited only the newest place is kept", async () => {
  const { hiding, asked, scores, store, close } = viewer();
  hiding.toggle();
  assert.deepEqual(asked.map(({ x, y, turn }) => [x, y, turn]), [[400, 500, 1]]);
  for (const x of [10, 20, 30]) hiding.move([x, 40]);
  assert.equal(asked.length, 1);
  assert.deepEqual([store.disc.x, store.disc.y], [30, 40]);
  await hiding.take({ picture: "bus", turn: 1, rows: [ROW], blob: new Uint8Array() });
  assert.deepEqual(scores.at(-1), [ROW]);
  assert.deepEqual(asked.slice(1).map(({ x, turn }) => [x, turn]), [[30, 2]]);
  close();
});

test("it ends with the original scores, and an answer that comes later changes nothing", async () => {
  const { hiding, scores, store, close } = viewer();
  hiding.toggle();
  await hiding.take({ picture: "bus", turn: 1, rows: [ROW], blob: new Uint8Array() });
  hiding.toggle();
  assert.deepEqual([hiding.on, store.disc, scores.at(-1)], [false, null, null]);
  await hiding.take({ picture: "bus", turn: 2, rows: [ROW], blob: new Uint8Array() });
  assert.equal(scores.at(-1), null);
  close();
});

test("a mistake ends it with its sentence", async () => {
  const { hiding, said, scores, close } = viewer();
  hiding.toggle();
  await hiding.take({ picture: "bus", turn: 1, sorry: "The service does not answer.", blob: new Uint8Array() });
  assert.deepEqual([hiding.on, said, scores.at(-1)], [false, ["The service does not answer."], null]);
  close();
});

test("the picture is blurred once it has come, and asked for only until then", async () => {
  const { hiding, store, asked, close } = viewer();
  hiding.toggle();
  await hiding.take({ picture: "bus", turn: 1, rows: [ROW], seen: [0, 100, 800, 900], blob: new Uint8Array(4) });
  assert.deepEqual(store.disc.blurred.rect, [0, 100, 800, 900]);
  hiding.move([5, 5]);
  assert.deepEqual(asked.map(({ blurred }) => blurred), [true, false]);
  close();
});
