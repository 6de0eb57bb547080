import assert from "node:assert/strict";
import test from "node:test";

import { Intake } from "../../sightglass/components/picture_bar/intake.js";
import { Places, unanswered } from "../../sightglass/components/picture_bar/picture_bar.js";

const BUS = { page: "explore", picture: "bus", model: "s", query: "" };
const CHINA = { page: "explore", picture: "china", model: "s", query: "example=china" };
const LARGE = { page: "explore", picture: "china", model: "l", query: "example=china&model=l" };
const TOPK = { ...CHINA, page: "topk" };

/** A window with a history of its own, as browsers have it. */
function browser() {
  const entries = [{ state: null, href: "http://localhost:8501/" }];
  let at = 0, heard = () => {};
  const set = (i, state, href) => (entries[i] = { state, href: href ?? entries[at].href });
  const history = {
    get state() {
      return entries[at].state;
    },
    replaceState: (state, _, href) => set(at, state, href),
    pushState: (state, _, href) => {
      const entry = { state, href: href ?? entries[at].href };
      entries.splice(++at, Infinity, entry);
    },
  };
  const location = {
    get href() {
      return entries[at].href;
    },
  };
  const go = (by) => {
    at += by;
    heard({ state: entries[at].state });
  };
  const window = { history, location, addEventListener: (_, handler) => (heard = handler) };
  return { window, entries, go, at: () => at };
}

function opened(...shown) {
  const seen = browser(), places = new Places(seen.window), asked = [];
  places.ask = (place) => asked.push(place);
  for (const place of shown) places.show(place);
  return { ...seen, places, asked };
}

test("another picture or model on a page is an entry of its own, with its own address", () => {
  const { entries } = opened(BUS, CHINA, CHINA, LARGE);
  assert.deepEqual(entries.map(({ state }) => state.place), [BUS, CHINA, LARGE]);
  assert.deepEqual(entries.map(({ href }) => new URL(href).search), ["", "?example=china", "?example=china&model=l"]);
});

test("back and forward ask for what the entry showed, and make no entry", () => {
  const { places, asked, entries, go } = opened(BUS, CHINA, LARGE);
  go(-2);
  assert.deepEqual(asked, [BUS]);
  // A run that was under way shows the place before once more.
  places.show(LARGE);
  places.show(BUS);
  go(1);
  places.show(CHINA);
  assert.deepEqual(asked, [BUS, CHINA]);
  assert.equal(entries.length, 3);
});

test("back to another page asks for its picture once that page is there", () => {
  const { places, asked, entries, go, window } = opened(BUS, CHINA);
  window.history.pushState({}, "", "http://localhost:8501/topk?example=china");
  places.leave(places.ask);
  places.ask = (place) => asked.push(place);
  places.show(TOPK);
  places.show({ ...BUS, page: "topk" });
  assert.equal(entries.length, 4);
  go(-2);
  places.leave(places.ask);
  places.ask = (place) => asked.push(place);
  assert.deepEqual(asked, []);
  places.show(BUS);
  assert.deepEqual(asked, [CHINA]);
  places.show(CHINA);
  assert.equal(entries.length, 4);
});

test("a bar that goes after the next page's has come changes nothing", () => {
  const { places, asked, go } = opened(BUS, CHINA);
  places.leave(() => {});
  go(-1);
  assert.deepEqual(asked, [BUS]);
});

test("what an uploader of the page refuses is told, and that it is gone", async () => {
  const listeners = {}, told = [];
  class Input {
    dataset = { testid: "stFileUploader" };
  }
  Object.assign(globalThis, { HTMLElement: Input, HTMLInputElement: Input });
  globalThis.window = { addEventListener: (name, handler) => (listeners[name] = handler) };
  let marked = false;
  globalThis.document = { querySelector: () => marked || null };
  const intake = new Intake({ textContent: "" }, {}, (kind, value) => told.push([kind, value]));
  intake.target = { prefix: "", bays: [], megabytes: 1, takes: false };
  const input = new Input(), small = { name: "a.jpg", size: 9 }, large = { name: "b.zip", size: 2 ** 21 };
  const given = (...files) => listeners.change({ target: Object.assign(input, { files }), composedPath: () => [input] });
  given(small);
  assert.deepEqual(told, []);
  given(small, large);
  marked = true;
  given(small);
  assert.equal(told.length, 1);
  marked = false;
  given(small);
  const refused = [["refused-by-uploader", [large]], ["refused-by-uploader", []]];
  assert.deepEqual(told, refused);
  listeners.drop({ dataTransfer: { types: ["Files"], files: [large] }, composedPath: () => [input] });
  // Its button in the list was pressed.
  listeners.click({ composedPath: () => [input] });
  await new Promise((done) => {
    setTimeout(done);
  });
  assert.deepEqual(told, [...refused, ...refused]);
});

test("after a restart of the server only what it was not yet told is done again", () => {
  const acts = [
    { n: 5, session: "before", kind: "choose", value: "bus" },
    { n: 6, session: "before", kind: "choose", value: "china" },
    { n: 7, session: "other", kind: "choose", value: "zidane" },
  ];
  assert.deepEqual(unanswered(acts, { session: "before", last: 5 }), [acts[1]]);
  assert.deepEqual(unanswered(acts, { session: "before", last: 6 }), []);
  assert.deepEqual(unanswered(acts, { session: "before", last: 0 }), acts.slice(0, 2));
});
