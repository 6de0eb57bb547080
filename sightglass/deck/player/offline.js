// The player in a file of its own: the page holds the scenes.

import { find } from "../../browser/component.js";
import { bytes } from "../../browser/unpack.js";
import { mount } from "./stage.js";

const root = find(document, ".stage");
root.classList.add("alone", "filling");
mount(root, new AbortController().signal)({
  data: bytes(/** @type {string} */ (find(document, "#deck").textContent)),
  parentElement: document.body,
  setStateValue: () => {},
});
root.focus();
