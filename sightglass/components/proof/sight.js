// Bring the panel into sight once for each time that it was opened by hand.

import { unpack } from "../../browser/unpack.js";

/** Milliseconds after which it is as high as it gets at first. */
const GROWN_MS = 700;
/** Of the last panel that was scrolled to. */
let scrolled = 0;

/** @param {{data: Uint8Array, parentElement: HTMLElement}} given */
export default function ({ data, parentElement }) {
  const { clicks } = /** @type {{clicks: number}} */ (unpack(data).head);
  if (clicks <= scrolled) return;
  scrolled = clicks;
  const root = parentElement.getRootNode();
  const panel = (root instanceof ShadowRoot ? root.host : parentElement).closest(".st-key-proof");
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  for (const after of [0, GROWN_MS]) setTimeout(() => panel?.scrollIntoView({ block: "nearest", behavior }), after);
}
