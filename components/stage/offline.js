// The player in a file of its own: the page holds the scenes.

import { find } from "../frontend/component.js";
import { bytes } from "../frontend/unpack.js";
import { mount } from "./stage.js";

const root = find(document, ".stage");
root.classList.add("alone", "filling");
mount(root, new AbortController().signal)({
  data: bytes(/** @type {string} */ (find(document, "#deck").textContent)),
  parentElement: document.body,
  setStateValue: () => {},
});
root.focus();
