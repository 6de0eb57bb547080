import assert from "node:assert/strict";
import test from "node:test";

import { listen } from "../../sightglass/components/viewer/input.js";

/** A panel of 100 by 100 pixels; `turn` turns the wheel over its middle and says whether the page may scroll. */
function panel() {
  const heard = {}, done = [];
  const stage = {
    addEventListener: (type, handler) => (heard[type] = handler),
    getBoundingClientRect: () => ({ left: 0, top: 0, width: 100, height: 100 }),
    setPointerCapture: () => {},
  };
  const names = ["over", "out", "hold", "click", "mark", "zoom", "pan", "reset", "scrolled", "lifted"];
  const on = Object.fromEntries(names.map((name) => [name, (...given) => done.push([name, ...given])]));
  listen(stage, { ...on, zoomed: () => false, marking: () => false }, new AbortController().signal);
  const turn = (keys) => {
    let scrolls = true;
    heard.wheel({ clientX: 50, clientY: 50, deltaY: -120, deltaMode: 0, ...keys, preventDefault: () => (scrolls = false) });
    return scrolls;
  };
  return { heard, done, turn };
}

test("a pinch on a touchpad, which comes in small steps, zooms as far as a wheel", () => {
  const { done, turn } = panel();
  turn({ ctrlKey: true, deltaY: -8 });
  assert.ok(done[0][3] > 1.05);
});
