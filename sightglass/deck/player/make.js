// Elements of the stage.

import { make } from "../../browser/elements.js";

/** A score as a bar that grows, below its number. @param {number|null} score 0..1 */
export function barOf(score) {
  const fill = make("i", "fill");
  fill.style.setProperty("--score", String(score ?? 0));
  return make("span", "track", "", [fill]);
}
