import assert from "node:assert/strict";
import test from "node:test";

import { defaults, keep, linkTo, merged, recalled, viewportOf } from "../../sightglass/ui/viewer/settings.js";

const MAPS = ["inferno", "jet"];
const WIDE = { x: 0, y: 0, zoom: 1 };

test("a link wins once over what is remembered, and says all that is not the default", () => {
  const store = new Map(), storage = { getItem: (k) => store.get(k) ?? null, setItem: (k, v) => store.set(k, v) };
  assert.deepEqual(recalled(storage, null, MAPS), defaults());
  keep(storage, { ...defaults(), alpha: 0.2, cells: true });
  assert.equal(recalled(storage, null, MAPS).alpha, 0.2);
  assert.deepEqual(recalled(storage, { alpha: "0.7", id: "a" }, MAPS), { ...defaults(), alpha: 0.7 });
  keep(storage, { ...defaults(), alpha: 0.4, colormap: "jet" });
  assert.equal(recalled(storage, { alpha: "0.7", id: "a" }, MAPS).alpha, 0.4);
  assert.equal(recalled(storage, { alpha: "0.7", id: "b" }, MAPS).alpha, 0.7);
});

test("a link cannot bring nonsense", () => {
  const odd = { alpha: 7, split: "", mode: "<b>", colormap: "none", threshold: "x", cells: "1", scale: "log", other: 1 };
  assert.deepEqual(merged(defaults(), odd, MAPS), { ...defaults(), cells: true });
  // Settings of former versions among them.
  const former = { __proto__: null, constructor: "x", top: "2", even: "1", invert: "1", boxes: "0", scale: "fixed" };
  assert.deepEqual(merged(defaults(), former, MAPS), defaults());
});

test("a view goes into an address and comes out the same", () => {
  const wanted = { ...defaults(), mode: "contour", layout: "swipe", split: 0.25, colormap: "jet", scale: "shared" };
  const settings = { ...wanted, cells: true, threshold: 1 / 3 }, viewport = { x: 0.125, y: 0.3, zoom: 4 };
  const url = new URL(linkTo("http://here/topk?model=m&alpha=0.1&class=a+b#x", settings, viewport));
  assert.equal(url.searchParams.get("model"), "m");
  assert.equal(url.searchParams.get("class"), "a b");
  assert.equal(url.searchParams.get("alpha"), null);
  const back = merged(defaults(), Object.fromEntries(url.searchParams), MAPS);
  assert.deepEqual(back, { ...settings, threshold: 0.33333 });
  assert.deepEqual(viewportOf(url.searchParams.get("zoom")), viewport);
  assert.equal(new URL(linkTo(url.href, defaults(), WIDE)).search, "?model=m&class=a+b");
});

test("a link names an example and never an upload", () => {
  const href = linkTo("http://x/?picture=1f2e&class=cat", defaults(), { x: 0, y: 0, zoom: 1 });
  assert.equal(href, "http://x/?class=cat");
});

test("storage that is forbidden or broken is no error", () => {
  const broken = { getItem: () => "{", setItem: () => assert.fail("unexpected") };
  const forbidden = { getItem: () => { throw new Error("no"); } };
  assert.deepEqual(recalled(broken, null, []), defaults());
  assert.deepEqual(recalled(forbidden, null, []), defaults());
  keep(forbidden, defaults());
});
