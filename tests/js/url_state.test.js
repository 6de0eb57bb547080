import assert from "node:assert/strict";
import test from "node:test";

import { onePlace } from "../../sightglass/components/session/url_state.js";

const at = (rest) => new URL(rest, "http://localhost:8501");

test("other choices on a screen are no place of their own", () => {
  assert.ok(onePlace(at("/"), at("/?model=resnet18")));
  assert.ok(onePlace(at("/topk?model=a&method=b"), at("/topk")));
  assert.ok(onePlace(at("/history?kept=1&find=bus"), at("/history?kept=1")));
});

test("another screen is, and what is opened on one", () => {
  assert.ok(!onePlace(at("/"), at("/topk")));
  assert.ok(!onePlace(at("/topk?model=a"), at("/compare?model=a")));
  assert.ok(!onePlace(at("/history"), at("/history?kept=1")));
  assert.ok(!onePlace(at("/history?kept=1"), at("/history?kept=1&against=2")));
});
