// Sentences of the viewer's maps, which come after its payload: that must not change.

import { broadcast, component, onBroadcast } from "../../browser/component.js";

/** @typedef {import("../../browser/component.js").Texts} Texts */

class Channel {
  /** @type {Texts|null} */
  #last = null;

  /** @param {HTMLElement} _root @param {AbortSignal} signal */
  constructor(_root, signal) {
    // A viewer asks when it has unpacked new maps: the sentences may have come before them.
    onBroadcast("ask", () => this.#last && broadcast("texts", this.#last), signal);
  }

  /** @param {import("../../browser/component.js").Given<Texts>} given */
  show({ data }) {
    this.#last = data;
    broadcast("texts", data);
  }
}

export default component("", Channel);
