// Hands what Python made on request to the viewer: a second component, so that the viewer's own payload stays as it is.

import { unpack } from "./unpack.js";

let last = "";

/** @param {{data: Uint8Array}} given */
export default function ({ data }) {
  const { head, blobs } = unpack(data);
  if (head.id === last) return;
  last = head.id;
  window.dispatchEvent(new CustomEvent("sightglass:parcel", { detail: { head, blob: blobs[0] } }));
}
