import assert from "node:assert/strict";
import test from "node:test";

import { State } from "../../sightglass/ui/viewer/state.js";

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
