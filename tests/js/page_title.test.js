import assert from "node:assert/strict";
import test from "node:test";

import { forgetDrawer, isLink } from "../../sightglass/components/widgets/page_title.js";

test("a drawer that was opened is not stored, and nothing else is lost", () => {
  class Stored {
    removeItem(name) {
      delete this[name];
    }
  }
  const storage = Object.assign(new Stored(), {
    "stSidebarCollapsed-": "false", "stSidebarCollapsed-/app": "true", sidebarWidth: "264",
  });
  forgetDrawer(storage);
  assert.deepEqual(Object.keys(storage), ["sidebarWidth"]);
});

test("a menu of one page opens it, on that page and on others", () => {
  assert.ok(isLink("History", ["Prove", "History"]));
  assert.ok(isLink("Prove · Catch the cheat", ["Prove", "History"]));
  assert.ok(!isLink("Look", ["Prove", "History"]));
  assert.ok(!isLink("1 more", ["Prove", "History"]));
  assert.ok(!isLink("Prover", ["Prove"]));
});
