// Hand the viewer the sentences on its maps, which Python makes later: so the payload with the maps stays as it is.

import { broadcast, onBroadcast } from "../frontend/component.js";
import { unpack } from "../frontend/unpack.js";

/** @type {import("../frontend/component.js").Broadcasts["texts"]|null} */
let texts = null;

function hand() {
  if (texts) broadcast("texts", texts);
}

// A viewer that has only just come up, or has only just unpacked its maps, asks.
onBroadcast("ask", hand);

/** @param {{data: Uint8Array}} given */
export default function ({ data }) {
  texts = unpack(data).head;
  hand();
}
