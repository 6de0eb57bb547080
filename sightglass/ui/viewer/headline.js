// The page's headline names the colour of the evidence: the server writes the usual one, the browser the one that it shows.

import { hueOf, HUES, overlayColours } from "../../browser/table.js";
import { COLOURLESS, HUE_NAMES, OVERLAY } from "../../common/style.js";

/**
 * Return what a sentence calls the strongest place of a heatmap, as `Style.hot` in style.py does.
 * @param {import("../../common/style.js").Style} settings @param {Uint8Array} lut 256 RGB colours
 */
export function hotOf({ mode, colormap }, lut) {
  if (mode in COLOURLESS) return COLOURLESS[mode];
  const colours = mode === "overlay" ? overlayColours(lut, colormap) : lut;
  const at = 3 * Math.round(255 * OVERLAY.named);
  const [r, g, b] = colours.slice(at, at + 3);
  const value = Math.max(r, g, b), saturation = value && (value - Math.min(r, g, b)) / value;
  // Over a picture white is never pure.
  if (saturation < 0.12 && value > 0.85 * 255) return mode === "map" ? "white" : "light grey";
  if (saturation < 0.12) return "grey";
  const degrees = (hueOf(r, g, b) * 360) / HUES;
  const name = HUE_NAMES.names[HUE_NAMES.from.findLastIndex((edge) => degrees >= edge)];
  if (value < 0.35 * 255) return `dark ${name}`;
  return saturation < 0.3 ? `pale ${name}` : name;
}

/** Keeps the word in the headline. */
export class Headline {
  #word = "";
  /** @type {Element|null} */
  #watched = null;
  #observer = new MutationObserver(() => this.#write());

  /** @param {AbortSignal} signal */
  constructor(signal) {
    signal.addEventListener("abort", () => this.#observer.disconnect());
  }

  /** @param {string} hot */
  say(hot) {
    this.#word = hot[0].toUpperCase() + hot.slice(1);
    this.#write();
  }

  #write() {
    const headline = document.querySelector(".st-key-headline");
    if (headline && headline !== this.#watched) {
      this.#observer.disconnect();
      this.#observer.observe(headline, { childList: true, characterData: true, subtree: true });
      this.#watched = headline;
    }
    const word = headline?.querySelector("h2 em");
    if (word && word.textContent !== this.#word) word.textContent = this.#word;
  }
}
