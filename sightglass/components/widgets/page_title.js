// The page's name, for screen readers.

import { component } from "../../browser/component.js";

/** @param {HTMLElement} root */
function mount(root) {
  /** @param {import("../../browser/component.js").Given<{text: string}>} given */
  return ({ data }) => {
    root.textContent = data.text;
  };
}

export default component("h1", mount);
