// What Python sends the viewer besides the payload, which must not change: sentences of its maps, and finer pixels on request.
// The requests are answered in a fragment of its own: nothing else reruns.

import { broadcast, component, onBroadcast } from "../../browser/component.js";

/** @typedef {import("../../browser/component.js").Message} Message */

class Channel {
  /** @type {{head: Message, blob: Uint8Array}|null} */
  #last = null;
  /** @type {import("../../browser/component.js").Send} */
  #send = () => {};

  /** @param {HTMLElement} _root @param {AbortSignal} signal */
  constructor(_root, signal) {
    onBroadcast("detail", (detail) => this.#last?.head.kind !== "texts" && this.#send("detail", detail), signal);
    // A viewer asks when it has unpacked new maps: the sentences may have come before them.
    onBroadcast("ask", () => this.#last?.head.kind === "texts" && broadcast("message", this.#last), signal);
  }

  /** @param {import("../../browser/component.js").Given<Message>} given */
  show({ data: head, blobs, setStateValue }) {
    this.#send = setStateValue;
    this.#last = { head, blob: blobs[0] };
    if (head.kind) broadcast("message", this.#last);
  }
}

export default component("", Channel);
