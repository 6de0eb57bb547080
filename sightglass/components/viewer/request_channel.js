// Pass the viewer's requests to Python, and the responses back. It is in a fragment of its own: nothing else reruns.

import { broadcast, onBroadcast } from "../../browser/component.js";
import { unpack } from "../../browser/unpack.js";

/**
 * @typedef {import("../../browser/component.js").Send} Send
 * @typedef {import("../../browser/component.js").Response} Response
 */

let last = "";
/** @type {{owner: HTMLElement, send: Send}|null} */
let open = null;

onBroadcast("request", ({ name, value }) => open?.send(name, value));

/** @param {{data: Uint8Array, parentElement: HTMLElement, setStateValue: Send, setTriggerValue: Send}} given */
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  open = {
    owner: parentElement,
    send: (name, value) => (name === "file" ? setTriggerValue : setStateValue)(name, value),
  };
  const { head, blobs } = /** @type {{head: Response["head"], blobs: Uint8Array[]}} */ (unpack(data));
  // The same file is not saved again because a theme changed.
  if (head.id && head.id !== last) {
    last = head.id;
    broadcast("response", { head, blob: blobs[0] });
  }
  return () => {
    if (open?.owner === parentElement) open = null;
  };
}
