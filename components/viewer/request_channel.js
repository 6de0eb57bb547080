// Asks Python for what the viewer wants, and hands it over. It stands in a fragment of its own: nothing else runs again.

import { unpack } from "./unpack.js";

/** @typedef {(name: string, value: unknown) => void} Tell */

let last = "";
/** @type {{owner: HTMLElement, tell: Tell}|null} */
let open = null;

window.addEventListener("sightglass:want", (event) => {
  const { name, value } = /** @type {CustomEvent} */ (event).detail;
  open?.tell(name, value);
});

/** @param {{data: Uint8Array, parentElement: HTMLElement, setStateValue: Tell, setTriggerValue: Tell}} given */
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  open = {
    owner: parentElement,
    tell: (name, value) => (name === "file" ? setTriggerValue : setStateValue)(name, value),
  };
  const { head, blobs } = unpack(data);
  // The same file is not saved again because a theme changed.
  if (head.id && head.id !== last) {
    last = head.id;
    window.dispatchEvent(new CustomEvent("sightglass:parcel", { detail: { head, blob: blobs[0] } }));
  }
  return () => {
    if (open?.owner === parentElement) open = null;
  };
}
