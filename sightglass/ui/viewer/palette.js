// The colormaps among a page's options: one choice for every viewer.

import { broadcast, component, hearIn } from "../../browser/component.js";
import { optionOf } from "./controls.js";
import { keep, recall } from "./settings.js";

class Palette {
  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.list = /** @type {HTMLSelectElement} */ (root.querySelector("select"));
    hearIn(root, signal)("all", "change", ({ value }) => {
      // Also for the viewers of other pages, and the camera.
      keep(sessionStorage, { ...recall(sessionStorage, null, []), colormap: value });
      broadcast("colormap", { name: value });
    });
  }

  /** @param {import("../../browser/component.js").Payload<{names: string[]}>} payload */
  show({ data: { names } }) {
    this.list.replaceChildren(...names.map(optionOf));
    this.list.value = recall(sessionStorage, null, names).colormap;
  }
}

export default component(".palette", Palette);
