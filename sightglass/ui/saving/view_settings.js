// The settings of the page's viewer, for Python: figures and slides look like the screen.

import { broadcast, component } from "../../browser/component.js";

class ViewSettings {
  #reported = "";

  /** @param {import("../../browser/component.js").Payload<object>} payload */
  show({ setStateValue }) {
    const answer = /** @type {{settings?: object}} */ ({});
    broadcast("settings", answer);
    const now = JSON.stringify(answer.settings ?? {});
    if (now === this.#reported) return;
    this.#reported = now;
    setStateValue("settings", now);
  }
}

export default component("", ViewSettings);
