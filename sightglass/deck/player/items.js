// Texts, bars and keys of a slide, as Python laid them out.

import { make } from "../../browser/elements.js";

/** @typedef {import("./scenes.js").Item} Item */

const ELEMENTS = { Title: "h2", Sentence: "p" };

/** @param {Extract<Item, {type: "Text"}>} item */
export function drawText({ name, words, size, bold, tone, right }) {
  const node = make(/** @type {"h2"} */ (ELEMENTS[/** @type {"Title"} */ (name)] ?? "div"), `text ${tone} ${name.split(" ")[0].toLowerCase()}`, words);
  node.dataset.words = words;
  node.style.setProperty("--size", String(size));
  node.classList.toggle("bold", bold);
  node.classList.toggle("right", right);
  return node;
}

/** @param {Extract<Item, {type: "Key"}>} item */
export function drawKey({ colours, ends, size, heat }) {
  const strip = make("i", "strip"), node = make("div", "key", "", [strip, make("span", "", ends[0]), make("span", "", ends[1])]);
  const stops = colours.map((rgb) => `rgb(${rgb.join(" ")})`);
  node.style.setProperty("--colours", `linear-gradient(90deg, ${stops.join(", ")})`);
  node.style.setProperty("--size", String(size));
  if (heat) node.dataset.heat = "yes";
  return node;
}

/** A score as a bar that grows, below its number. @param {number|null} score 0..1 */
export function barOf(score) {
  const fill = make("i", "fill");
  fill.style.setProperty("--score", String(score ?? 0));
  return make("span", "track", "", [fill]);
}
