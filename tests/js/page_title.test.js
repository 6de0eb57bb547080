import assert from "node:assert/strict";
import test from "node:test";

import { forgetDrawer } from "../../sightglass/components/widgets/page_title.js";

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
