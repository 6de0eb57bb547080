import assert from "node:assert/strict";
import test from "node:test";

import { keepPlaces, onePlace } from "../../sightglass/ui/widgets/page.js";

const at = (rest) => new URL(rest, "http://localhost:8501");

test("another screen, and what is opened on one, is a place of its own, and other choices on it are none", () => {
  assert.ok(onePlace(at("/"), at("/?model=resnet18")));
  assert.ok(onePlace(at("/topk?model=a&method=b"), at("/topk")));
  assert.ok(onePlace(at("/saved?kept=1&find=bus"), at("/saved?kept=1")));
  assert.ok(!onePlace(at("/"), at("/topk")));
  assert.ok(!onePlace(at("/topk?model=a"), at("/compare?model=a")));
  assert.ok(!onePlace(at("/saved"), at("/saved?kept=1")));
  assert.ok(!onePlace(at("/saved?kept=1"), at("/saved?kept=1&deck=2")));
});

test("an address that is written again leaves the entry its place", () => {
  const entries = [{ state: { place: "bus" }, href: "http://localhost:8501/" }];
  const set = (place) => (state, _, href) => (entries[place()] = { state, href: String(new URL(href, "http://localhost:8501")) });
  const history = { get state() { return entries.at(-1).state; }, pushState: set(() => entries.length), replaceState: set(() => entries.length - 1) };
  const location = { get href() { return entries.at(-1).href; } };
  keepPlaces({ history, location });
  history.replaceState({}, "", "/?example=china");
  history.pushState({}, "", "/?example=china&model=l");
  history.pushState({}, "", "/topk");
  history.replaceState({}, "", "/topk?example=china");
  assert.deepEqual(entries.map(({ state }) => state), [{ place: "bus" }, {}]);
  assert.deepEqual(entries.map(({ href }) => new URL(href).search), ["?example=china&model=l", "?example=china"]);
});
