// Hands what Python made after the maps, or on request, to the viewer: a second component, so that the viewer's own
// payload stays as it is.

import { unpack } from "./unpack.js";

/** @typedef {{head: any, blob: Uint8Array}} Parcel */

let last = "";
/** @type {Parcel|null} */
let words = null;

/** @param {Parcel|null} detail */
function hand(detail) {
  if (detail) window.dispatchEvent(new CustomEvent("sightglass:parcel", { detail }));
}

// A viewer that has only just come up, or has only just unpacked its maps, asks.
window.addEventListener("sightglass:ask", () => hand(words));

/** @param {{data: Uint8Array}} given */
export default function ({ data }) {
  const { head, blobs } = unpack(data), parcel = { head, blob: blobs[0] };
  if (head.kind === "words") words = parcel;
  // The same file is not saved again because a theme changed.
  else if (head.id === last) return;
  else last = head.id;
  hand(parcel);
}
