// Elements of the stage.

import { make } from "../../browser/elements.js";

/** A score as a bar that grows, beside its number. @param {number|null} score 0..1 */
export function barOf(score) {
  const fill = make("i", "fill");
  fill.style.setProperty("--score", String(score ?? 0));
  return make("span", "track", "", [fill]);
}

/** Of the letters' size, what a font reaches beyond its lines, which is no overflow. */
const INK = 0.1;

/**
 * Make a text smaller until it fits its element, which has a height of its own or a most; never smaller than `least`.
 * @param {HTMLElement} node @param {number} most @param {number} least  units of the stage
 */
export function shrink(node, most, least) {
  for (let size = most; ; size -= 0.4) {
    node.style.fontSize = `calc(${Math.max(least, size).toFixed(1)} * var(--u))`;
    if (size <= least || fits(node)) return;
  }
}

/** @param {HTMLElement} node */
export function fits(node) {
  const reach = 1 + INK * parseFloat(getComputedStyle(node).fontSize);
  return node.scrollHeight <= node.clientHeight + reach && node.scrollWidth <= node.clientWidth + 1;
}
