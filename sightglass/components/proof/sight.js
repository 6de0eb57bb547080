// Bring the panel into sight once for each time that it was opened by hand.

import { unpack } from "../../browser/unpack.js";

/** Milliseconds in which it grows to its first height; a click, a key or a wheel ends that. */
const GROWS_MS = 3000;
const ACTS = ["pointerdown", "keydown", "wheel"];
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
  if (!panel) return;
  const observer = new ResizeObserver(() => panel.scrollIntoView({ block: "nearest", behavior }));
  const stop = () => observer.disconnect();
  observer.observe(panel);
  for (const act of ACTS) window.addEventListener(act, stop, { once: true, passive: true });
  setTimeout(stop, GROWS_MS);
}
