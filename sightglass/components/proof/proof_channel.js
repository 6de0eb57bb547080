// Pass the panel its curves. They come one by one, while the picture and the map's order are sent once.

import { broadcast, onBroadcast } from "../../browser/component.js";

/** @type {import("../../browser/component.js").Broadcasts["proof"]|null} */
let latest = null;

function send() {
  if (latest) broadcast("proof", latest);
}

onBroadcast("ask-proof", send);

/** @param {{data: [NonNullable<typeof latest>]}} given  in a list, see declare.py */
export default function ({ data }) {
  [latest] = data;
  send();
}
