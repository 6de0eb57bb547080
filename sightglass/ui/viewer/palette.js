// The colormaps among a page's options: one choice for every viewer.

import { broadcast, component, hearIn } from "../../browser/component.js";
import { optionOf } from "./controls.js";
import { keep, recalled } from "./settings.js";

class Palette {
  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.list = /** @type {HTMLSelectElement} */ (root.querySelector("select"));
    hearIn(root, signal)("all", "change", ({ value }) => {
      // Also for the viewers of other pages, and the camera.
      keep(sessionStorage, { ...recalled(sessionStorage, null, []), colormap: value });
      broadcast("colormap", { name: value });
    });
  }

  /** @param {import("../../browser/component.js").Given<{names: string[]}>} given */
  show({ data: { names } }) {
    this.list.replaceChildren(...names.map(optionOf));
    this.list.value = recalled(sessionStorage, null, names).colormap;
  }
}

export default component(".palette", Palette);
