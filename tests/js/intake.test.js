import assert from "node:assert/strict";
import test from "node:test";

class FakeInput extends EventTarget {}
const frames = [];
Object.assign(globalThis, {
  window: new EventTarget(),
  HTMLInputElement: FakeInput,
  requestAnimationFrame: (draw) => frames.push(draw),
  DataTransfer: class {
    files = [];
    items = { add: (one) => this.files.push(one) };
  },
});
const { Intake } = await import("../../sightglass/components/picture_bar/intake.js");

/** A page with uploaders, whose files arrive or are lost. */
function page() {
  let now = 1000;
  performance.now = () => now;
  const inputs = new Map(), chips = new Set(), received = [], acts = [];
  globalThis.document = {
    querySelector(selector) {
      const bay = Number(selector.match(/\.bay-(\d+)/)[1]);
      return selector.includes("stFileChip") ? (chips.has(bay) ? {} : null) : (inputs.get(bay) ?? null);
    },
  };
  const intake = new Intake({ textContent: "" }, new AbortController().signal, (kind, value) => acts.push([kind, value]));
  const bays = (...numbers) => {
    for (const number of numbers) {
      if (inputs.has(number)) continue;
      const input = new FakeInput();
      input.addEventListener("change", () => received.push([number, input.files.map(({ name }) => name).join()]));
      inputs.set(number, input);
    }
    intake.target = { prefix: ".bay-", bays: numbers, megabytes: 1, takes: true };
  };
  const wait = (milliseconds) => {
    for (const end = now + milliseconds; now < end; now += 100) for (const draw of frames.splice(0)) draw();
  };
  return { intake, bays, wait, chips, received, acts };
}

const file = (name) => ({ name, size: 10 });

test("files that an uploader lost are given to it again, until Python has them", () => {
  const { intake, bays, wait, received } = page();
  bays(1);
  intake.take([file("a.jpg")]);
  wait(1000);
  assert.deepEqual(received, [[1, "a.jpg"]]);
  wait(2000);
  assert.deepEqual(received, [[1, "a.jpg"], [1, "a.jpg"]]);
  bays(2);
  wait(5000);
  assert.equal(received.length, 2);
  assert.equal(frames.length, 0);
});

test("files that are on their way are given once, and the next drop waits for the next uploader", () => {
  const { intake, bays, wait, chips, received, acts } = page();
  bays(1);
  intake.take([file("a.jpg")]);
  wait(300);
  chips.add(1);
  intake.take([file("b.jpg")]);
  wait(5000);
  assert.deepEqual(received, [[1, "a.jpg"]]);
  assert.deepEqual(acts, [["coming", 2]]);
  bays(1, 2);
  wait(300);
  assert.deepEqual(received, [[1, "a.jpg"], [2, "b.jpg"]]);
});
