// Hands the viewer its sentences, which Python makes after the maps: so the payload with the maps stays as it is.

import { unpack } from "./unpack.js";

/** @type {{head: any}|null} */
let words = null;

function hand() {
  if (words) window.dispatchEvent(new CustomEvent("sightglass:parcel", { detail: words }));
}

// A viewer that has only just come up, or has only just unpacked its maps, asks.
window.addEventListener("sightglass:ask", hand);

/** @param {{data: Uint8Array}} given */
export default function ({ data }) {
  words = unpack(data);
  hand();
}
