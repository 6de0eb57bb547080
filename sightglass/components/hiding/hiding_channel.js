// Pass Python the disc that hides a part of the picture, and the viewer what was answered. It is in a fragment of its own.

import { broadcast, onBroadcast } from "../../browser/component.js";
import { unpack } from "../../browser/unpack.js";

/** @typedef {import("../../browser/component.js").Send} Send */

/** @type {{owner: HTMLElement, send: Send}|null} */
let asked = null;

onBroadcast("hide", (disc) => asked?.send("disc", disc));

/** @param {{data: Uint8Array, parentElement: HTMLElement, setTriggerValue: Send}} given */
export default function ({ data, parentElement, setTriggerValue }) {
  asked = { owner: parentElement, send: setTriggerValue };
  const { head, blobs } = /** @type {{head: import("../../browser/component.js").Hidden, blobs: Uint8Array[]}} */ (unpack(data));
  broadcast("hidden", { ...head, blob: blobs[0] });
  return () => {
    if (asked?.owner === parentElement) asked = null;
  };
}
