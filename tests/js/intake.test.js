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
const { Intake } = await import("../../sightglass/ui/picture_bar/intake.js");

/** A page with uploaders, whose files arrive or are lost. */
function page() {
  let now = 1000;
  frames.length = 0;
  performance.now = () => now;
  const inputs = new Map(), chips = new Set(), received = [];
  globalThis.document = {
    querySelector(selector) {
      const number = Number(selector.match(/\.bay-(\d+)/)[1]);
      if (selector.includes("IconError")) return null;
      return selector.includes("stFileChip") ? (chips.has(number) ? {} : null) : (inputs.get(number) ?? null);
    },
  };
  const veil = { textContent: "" }, intake = new Intake(veil, new AbortController().signal, () => {});
  const bay = (number) => {
    const input = new FakeInput();
    input.addEventListener("change", () => received.push([number, input.files.map(({ name }) => name).join()]));
    inputs.clear();
    inputs.set(number, input);
    intake.target = { prefix: ".bay-", bay: number, megabytes: 1, takes: true };
  };
  const wait = (milliseconds) => {
    for (const end = now + milliseconds; now < end; now += 100) for (const draw of frames.splice(0)) draw();
  };
  bay(1);
  return { intake, bay, wait, chips, received, veil };
}

const file = (name) => ({ name, size: 10 });

test("files that an uploader lost are given to it again, until Python has them", () => {
  const { intake, bay, wait, received } = page();
  intake.take([file("a.jpg")]);
  wait(1000);
  assert.deepEqual(received, [[1, "a.jpg"]]);
  wait(2000);
  assert.deepEqual(received, [[1, "a.jpg"], [1, "a.jpg"]]);
  bay(2);
  wait(5000);
  assert.equal(received.length, 2);
  assert.equal(frames.length, 0);
});

test("files that are on their way are given once, and the next drop waits for the next uploader", () => {
  const { intake, bay, wait, chips, received } = page();
  intake.take([file("a.jpg")]);
  wait(300);
  chips.add(1);
  intake.take([file("b.jpg")]);
  intake.take([file("c.jpg")]);
  wait(10_000);
  assert.deepEqual(received, [[1, "a.jpg"]]);
  // It has arrived, and Python never heard of it.
  wait(10_000);
  assert.deepEqual(received.splice(1), [[1, "a.jpg"]]);
  bay(2);
  wait(300);
  assert.deepEqual(received, [[1, "a.jpg"], [2, "b.jpg,c.jpg"]]);
});

test("after an upload that never arrived the next one is taken", () => {
  const { intake, wait, received, veil } = page();
  intake.take([file("a.jpg")]);
  wait(40_000);
  assert.match(veil.textContent, /The upload failed/);
  assert.equal(frames.length, 0);
  const before = received.length;
  intake.take([file("b.jpg")]);
  wait(300);
  assert.deepEqual(received.slice(before), [[1, "b.jpg"]]);
});
