import assert from "node:assert/strict";
import test from "node:test";

import { DEFAULTS } from "../../sightglass/common/style.js";
import { keep, linkLasts, linkTo, validated, readout, recall, viewportOf } from "../../sightglass/ui/viewer/settings.js";
import { State } from "../../sightglass/ui/viewer/state.js";

const MAPS = ["inferno", "jet"];
const WIDE = { x: 0, y: 0, zoom: 1 };

test("a link wins once over what is remembered, and says all that is not the default", () => {
  const store = new Map(), storage = { getItem: (k) => store.get(k) ?? null, setItem: (k, v) => store.set(k, v) };
  assert.deepEqual(recall(storage, null, MAPS), DEFAULTS);
  keep(storage, { ...DEFAULTS, alpha: 0.2, cells: true });
  assert.equal(recall(storage, null, MAPS).alpha, 0.2);
  assert.deepEqual(recall(storage, { alpha: "0.7", id: "a" }, MAPS), { ...DEFAULTS, alpha: 0.7 });
  keep(storage, { ...DEFAULTS, alpha: 0.4, colormap: "jet" });
  assert.equal(recall(storage, { alpha: "0.7", id: "a" }, MAPS).alpha, 0.4);
  assert.equal(recall(storage, { alpha: "0.7", id: "b" }, MAPS).alpha, 0.7);
});

test("a link cannot bring nonsense", () => {
  const odd = { alpha: 7, mode: "<b>", colormap: "none", threshold: "x", cells: "1", scale: "log", other: 1 };
  assert.deepEqual(validated(odd, MAPS), { ...DEFAULTS, cells: true });
  assert.deepEqual(validated({ __proto__: null, constructor: "x", scale: "fixed" }, MAPS), DEFAULTS);
});

test("a view goes into an address and comes out the same", () => {
  const wanted = { ...DEFAULTS, mode: "contour", layout: "beside", colormap: "jet", scale: "shared" };
  const settings = { ...wanted, cells: true, threshold: 1 / 3 }, viewport = { x: 0.125, y: 0.3, zoom: 4 };
  const url = new URL(linkTo("http://here/topk?model=m&alpha=0.1&class=a+b#x", settings, viewport));
  assert.equal(url.searchParams.get("model"), "m");
  assert.equal(url.searchParams.get("class"), "a b");
  assert.equal(url.searchParams.get("alpha"), null);
  const back = validated(Object.fromEntries(url.searchParams), MAPS);
  assert.deepEqual(back, { ...settings, threshold: 0.33333 });
  assert.deepEqual(viewportOf(url.searchParams.get("zoom")), viewport);
  assert.equal(new URL(linkTo(url.href, DEFAULTS, WIDE)).search, "?model=m&class=a+b");
});

test("what is said of a link is how long it opens an upload", () => {
  const name = "a b.png", now = new Date(2026, 0, 1, 14, 40).getTime();
  assert.equal(linkLasts({ private: name, keeps: 3600 }, now, "en-GB"), " a b.png opens with it until 15:40.");
  assert.equal(linkLasts({ private: name, keeps: 0 }, now), " a b.png opens with it for as long as its sender keeps it.");
  assert.equal(linkLasts({ private: name, keeps: null }, now), "");
  assert.equal(linkLasts({ private: "", keeps: null }, now), "");
});

test("storage that is forbidden or broken is no error", () => {
  const broken = { getItem: () => "{", setItem: () => assert.fail("unexpected") };
  const forbidden = { getItem: () => { throw new Error("no"); } };
  assert.deepEqual(recall(broken, null, []), DEFAULTS);
  assert.deepEqual(recall(forbidden, null, []), DEFAULTS);
  keep(forbidden, DEFAULTS);
});

const plain = (line) => line.map(([text, bold]) => (bold ? `*${text}*` : text)).join("");
const heat = (title, value, raw = [0, 0.5], full = true) => ({ title, kind: "heat", raw, value, full });

test("the reading of one map, of several, and where the model did not see", () => {
  assert.equal(plain(readout([heat("minibus", 0.83)], 405.7, 540.2)), "minibus *0.83* of its maximum, raw *0.415* at 405, 540");
  const gap = { title: "Difference", kind: "difference", raw: null, value: -0.25, full: true };
  const line = readout([heat("s", 0.5), heat("m", 0.1), gap], 1, 2);
  assert.equal(plain(line), "s *0.50* (raw 0.25), m *0.10* (raw 0.05) of their maxima, Difference *−0.25* at 1, 2");
  assert.equal(plain(readout([heat("s", null)], 1, 2)), "The model did not see this part of the picture, at 1, 2");
});

test("of panels with keys one is shown, chosen by its key or number", () => {
  globalThis.innerWidth = 1440;
  const state = new State(), panel = (title, maps) => ({ title, note: "", rows: [], maps, boxes: null });
  state.listed = [panel("small", [{}]), panel("large", []), panel("Difference", [{}])];
  state.head = { ...state.head, plain: panel("Picture", []), keys: ["s", "l", ""], size: [90, 160], beside: true };
  assert.deepEqual(["s", "L", "3", "m", "4", "Enter"].map((key) => state.placeOf(key)), [0, 1, 2, -1, -1, -1]);
  // A model without a map takes the place of the others' maps, beside the picture.
  const titles = [null, 1].map((choice) => Object.assign(state, { choice }).panelsToShow().map(({ title }) => title));
  assert.deepEqual(titles, [["Picture", "small"], ["Picture", "large"]]);
});

test("a drag measures one area; a click, a second finger and another measurement take it away", () => {
  const state = new State();
  state.head = { ...state.head, size: [100, 80] };
  const drag = (from, to, end = "end") => {
    state.measure(true);
    state.drag("start", from);
    state.drag("move", to);
    return [state.drag(end, to), state.region, state.measuring];
  };
  assert.deepEqual(drag([10, 10], [40, 30]), [true, [10, 10, 40, 30], false]);
  assert.deepEqual(drag([5, 5], [5, 5]), [false, null, true]);
  assert.deepEqual(drag([5, 5], [50, 50], "cancel"), [false, null, true]);
  state.measure(true);
  assert.deepEqual([state.corner([1, 2]), state.corner([30, 40]), state.region], [false, true, [1, 2, 30, 40]]);
  assert.equal(state.drag("move", [9, 9]), false);
});
