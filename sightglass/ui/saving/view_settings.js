// The settings of the page's viewer, for Python: figures and slides look like the screen.

import { broadcast, component } from "../../browser/component.js";

class ViewSettings {
  #reported = "";

  /** @param {import("../../browser/component.js").Given<object>} given */
  show({ setStateValue }) {
    const wanted = /** @type {{settings?: object}} */ ({});
    broadcast("settings", wanted);
    const now = JSON.stringify(wanted.settings ?? {});
    if (now === this.#reported) return;
    this.#reported = now;
    setStateValue("settings", now);
  }
}

export default component("", ViewSettings);
