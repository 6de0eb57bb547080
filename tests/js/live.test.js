import assert from "node:assert/strict";
import test from "node:test";
import { packed } from "./packing.js";

import { percent } from "../../sightglass/browser/component.js";
import { Link } from "../../sightglass/ui/live/link.js";
import { Live, describeFollowed, mapOf, describeCameraError } from "../../sightglass/ui/live/live.js";

test("a map is drawn from its cells, and from its values where they are hardly more", () => {
  const blobs = [new Uint8Array(new Uint16Array([0, 1, 2, 65535]).buffer)];
  const about = { label: "cat", state: "ok", grid: [2, 2], extent: [0, 0, 8, 8], seen: [0, 0, 8, 8] };
  for (const [shape, cells, size] of [[[8, 8], [2, 2], [8, 8]], [[3, 2], null, [2, 2]]]) {
    const { own, ...map } = mapOf({ head: { map: { ...about, shape } }, blobs });
    assert.deepEqual([map.cells, [own.h, own.w]], [cells, size]);
    assert.deepEqual([...(own.coarse ?? own).values], [0, 1, 2, 65535]);
  }
  assert.equal(mapOf({ head: { map: { ...about, state: "flat" } }, blobs: [] }), null);
});

/** Sockets that a test speaks for, and the calls that wait for later. */
function world() {
  const sockets = [], heard = [], later = [];
  const connect = () => {
    const socket = new EventTarget();
    Object.assign(socket, { readyState: 0, sent: [], send: (data) => socket.sent.push(data), close: () => {} });
    sockets.push(socket);
    return socket;
  };
  const on = { say: (words) => heard.push(words), ready: () => heard.push("ready"), answer: ({ head }) => heard.push(head.n) };
  const link = new Link(connect, on, (ms, call) => later.push({ ms, call }));
  const speak = (type, data) => sockets.at(-1).dispatchEvent(Object.assign(new Event(type), { data }));
  const open = () => {
    sockets.at(-1).readyState = 1;
    speak("open");
  };
  const note = (given) => speak("message", JSON.stringify(given));
  const answer = (n) => speak("message", packed({ n }).buffer);
  return { link, sockets, heard, later, open, note, answer, speak };
}

/** A link on which frames may go. */
function ready() {
  const made = world();
  made.link.choose({ model: "m" });
  made.link.start();
  made.open();
  made.note({ type: "ready" });
  return made;
}

test("two frames go, and the next when one is answered", () => {
  const { link, sockets, answer } = ready();
  assert.deepEqual(JSON.parse(sockets[0].sent[0]), { type: "choose", model: "m" });
  const [one, two] = [link.reserve(), link.reserve()];
  assert.equal(link.hasRoom(), false);
  link.frame(one, new Uint8Array([9]).buffer);
  assert.deepEqual([...new Uint8Array(sockets[0].sent[1])], [83, 71, 70, 49, one, 0, 0, 0, 9]);
  link.frame(two, new Uint8Array([9]).buffer);
  answer(one);
  assert.equal(link.hasRoom(), true);
  link.reserve();
  assert.equal(link.hasRoom(), false);
  // The answer to a later frame settles those before it.
  answer(two);
  assert.ok(link.hasRoom());
});

test("a lost connection is tried again, less and less often, and goes on with what was chosen", () => {
  const { link, sockets, heard, later, open, note, speak } = ready();
  link.pin({ index: 3 });
  for (let i = 0; i < 6; i++) {
    speak("close");
    later.at(-1).call();
  }
  assert.deepEqual(later.map(({ ms }) => ms), [500, 1000, 2000, 4000, 8000, 8000]);
  assert.ok(heard.includes("The server does not answer: trying again in 1 s."));
  link.choose({ model: "other" });
  open();
  assert.deepEqual(JSON.parse(sockets.at(-1).sent[0]), { type: "choose", model: "other" });
  assert.equal(link.hasRoom(), false);
  note({ type: "ready" });
  assert.deepEqual(JSON.parse(sockets.at(-1).sent[1]), { type: "pin", pin: { index: 3 } });
  assert.equal(link.hasRoom(), true);
  // Once it worked, the first wait is short again.
  speak("close");
  assert.match(heard.at(-1), /in 1 s/);
});

test("a refusal is said, and ends it; a model that cannot be used does not", () => {
  const { link, sockets, heard, later, note, speak } = ready();
  note({ type: "problem", sentence: "Choose another model.", fatal: false });
  assert.equal(heard.at(-1), "Choose another model.");
  link.choose({ model: "b" });
  note({ type: "ready" });
  assert.equal(heard.at(-1), "ready");
  note({ type: "problem", sentence: "Too many.", fatal: true });
  speak("close");
  assert.equal(later.length, 0);
  assert.equal(sockets.length, 1);
});

test("while a model is switched no frame goes, and an answer of the model before is not shown", () => {
  const { link, heard, answer, note } = ready();
  const number = link.reserve();
  link.choose({ model: "b" });
  link.frame(number, new ArrayBuffer(1));
  answer(number);
  assert.notEqual(heard.at(-1), number);
  assert.equal(link.hasRoom(), false);
  note({ type: "ready" });
  assert.equal(link.hasRoom(), true);
});

const answered = (more) => ({ head: { answers: [], map: null, place: null, ...more }, blobs: [] });

test("what is followed is said", () => {
  const map = { label: "cat", score: 0.5, sure: true, state: "ok" };
  assert.equal(describeFollowed(answered({ map }), null, false), "cat 50\u00a0%");
  assert.equal(describeFollowed(answered({ map: { ...map, score: 0.05, sure: false } }), null, false), "Unsure: cat 5\u00a0%");
  assert.equal(describeFollowed(answered({ map }), { index: 1, label: "cat" }, false), "Following cat 50\u00a0%");
  // A frame from before the choice; a box that is followed may change its class.
  assert.equal(describeFollowed(answered({ map }), { index: 2, label: "dog" }, false), "cat 50\u00a0%");
  assert.equal(describeFollowed(answered({ map, answers: [{}] }), { index: 2, label: "dog" }, true), "Following cat 50\u00a0%");
  assert.equal(describeFollowed(answered({}), { index: 1, label: "dog" }, false), "No dog in sight.");
  assert.equal(describeFollowed(answered({}), null, true), "No box in this frame.");
  assert.equal(describeFollowed(answered({ map: { ...map, state: "flat" } }), null, false), "cat: this map is empty.");
  assert.deepEqual([0, 0.004, 0.994, 0.9996, 1].map(percent), ["0\u00a0%", "<\u00a01\u00a0%", "99\u00a0%", ">\u00a099\u00a0%", "100\u00a0%"]);
});

test("a camera that is refused, absent, busy or pulled out is a sentence with a way on", () => {
  for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError", "ended", "insecure", "?"]) {
    assert.match(describeCameraError(name), /^[A-Z].+: .+\.$/);
  }
});

test("a camera is asked for once, and stopped where it is granted after the view was left", async () => {
  const any = new Proxy(() => any, { get: (_, name) => (name === "then" ? undefined : any), set: () => true });
  const start = new EventTarget(), gone = new AbortController(), asked = [], stopped = [];
  const root = { querySelector: (name) => (name === ".start" ? start : any), toggleAttribute: () => {} };
  Object.assign(globalThis, { document: any, window: any, ImageData: Object });
  const mediaDevices = { getUserMedia: () => new Promise((grant) => asked.push(grant)) };
  Object.defineProperty(globalThis, "navigator", { value: { mediaDevices } });
  new Live(root, gone.signal);
  for (const type of ["click", "click"]) start.dispatchEvent(new Event(type));
  assert.equal(asked.length, 1);
  gone.abort();
  asked[0]({ getTracks: () => [{ stop: () => stopped.push(1), addEventListener: () => {} }] });
  await new Promise(setImmediate);
  assert.equal(stopped.length, 1);
});
