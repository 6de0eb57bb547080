// Pass the viewer the sentences about its maps. Python sends them later, so that the payload with the maps is unchanged.

import { broadcast, onBroadcast } from "../../browser/component.js";
import { unpack } from "../../browser/unpack.js";

/** @type {import("../../browser/component.js").Broadcasts["texts"]|null} */
let texts = null;

function sendTexts() {
  if (texts) broadcast("texts", texts);
}

// A viewer asks when it was mounted, and when it has unpacked new maps.
onBroadcast("ask", sendTexts);

/** @param {{data: Uint8Array}} given */
export default function ({ data }) {
  texts = unpack(data).head;
  sendTexts();
}
