// The toolbar shows the settings; what the ends of a scale are called.

import { find } from "../../browser/component.js";
import { gradient, sidedColours } from "../../browser/table.js";
import { digits, withUnit } from "./settings.js";

/** @typedef {{name: string, lut: string}} Colormap */

/** @param {HTMLElement} root @param {import("./state.js").State} state */
export function showControls(root, state) {
  const $ = find.bind(null, root);
  const { mode, cells, boxes } = state.settings;
  const { scale, layout } = state.style().settings;
  const measuring = state.measuring || state.region !== null;
  $(".mode").value = mode;
  $(".shared").checked = scale === "shared";
  $(".cells").checked = cells;
  $(".boxes").value = boxes;
  $(".beside").setAttribute("aria-pressed", String(layout === "beside"));
  $(".measure").setAttribute("aria-pressed", String(measuring));
  $(".more").classList.toggle("on", measuring);
  root.classList.toggle("marking", state.measuring);
  for (const strip of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(".legend i"))) {
    strip.style.background = gradient(sidedColours(state.dark ? 48 : 228));
  }
}

/**
 * Return what the ends of a map's scale are called.
 * @param {import("./state.js").HeatMap} map @param {import("../../browser/draw.js").Painted} style @param {string} usual scale of the page
 * @returns {[string, string]}
 */
export function endsOf({ kind, raw, unit = "" }, { settings: { scale }, range, reach }, usual) {
  if (kind === "difference") return ["Second", "First"];
  if (kind === "signed") {
    const most = scale === "shared" ? (reach ?? null) : (raw?.[1] ?? null);
    return most === null ? ["Lowers", "Raises"] : [`Lowers ${withUnit(-most, unit)}`, `Raises ${withUnit(most, unit)}`];
  }
  const [low, high] = range ?? [0, 0];
  return scale === "shared" && usual !== "shared" && range ? [digits(low), `${digits(high)} raw`] : ["Weak", "Strong"];
}
