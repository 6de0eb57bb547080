import assert from "node:assert/strict";
import test from "node:test";
import { Hand } from "../../sightglass/ui/painter/edits.js";

/** A hand that goes down, along the places, and up. */
function drawn(hand, tool, places, size = 0.1) {
  hand.begin(tool, ...places[0], size);
  for (const place of places.slice(1)) hand.move(...place);
  return hand.end();
}

test("a brush or an eraser leaves a path, without points that change no pixel", () => {
  const mark = drawn(new Hand(), "brush", [[0.1, 0.2], [0.105, 0.2], [0.3, 0.2], [0.3, 0.20005]]);
  assert.deepEqual(mark, { kind: "brush", points: [0.1, 0.2, 0.3, 0.2], size: 0.1 });
  assert.deepEqual(drawn(new Hand(), "brush", [[0.5, 0.5]]).points, [0.5, 0.5]);
  assert.deepEqual(drawn(new Hand(), "erase", [[0.1, 0.2], [0.3, 0.2]]), { kind: "erase", points: [0.1, 0.2, 0.3, 0.2], size: 0.1 });
});

test("a rectangle is the same from whichever corner it is drawn, ends at the border, and a click is none", () => {
  const hand = new Hand();
  assert.deepEqual(drawn(hand, "rectangle", [[0.6, 0.1], [0.9, 0.9], [0.2, 1.4]]).points, [0.2, 0.1, 0.6, 1]);
  assert.equal(drawn(hand, "rectangle", [[0.5, 0.5], [0.501, 0.501]]), null);
  assert.ok(!hand.mark);
});
