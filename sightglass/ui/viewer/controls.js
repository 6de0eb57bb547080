// The toolbar and the colour bar show the settings.

import { find } from "../../browser/component.js";
import { gradient, overlayColours, sidedColours } from "../../browser/table.js";
import { digits, withUnit } from "./settings.js";

/** @typedef {{name: string, lut: string}} Colormap */

/** What lies over the part of the bar that the threshold hides. */
const VEIL = "color-mix(in srgb, var(--st-background-color) 78%, transparent)";

/** @param {HTMLElement} root @param {import("./state.js").State} state @param {import("./state.js").HeatMap[]} maps that are shown */
export function showControls(root, state, maps) {
  const $ = find.bind(null, root), { mode, alpha, cells, boxes } = state.settings, { scale, layout } = state.style().settings;
  const strength = $(".alpha"), measuring = state.measuring || state.region !== null;
  $(".mode").value = mode;
  strength.value = String(alpha);
  strength.disabled = !["overlay", "blend", "spotlight"].includes(mode);
  strength.setAttribute("aria-valuetext", `${Math.round(100 * alpha)} %`);
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
  showScale(root, state, maps);
}

/**
 * Show the colour bar: its colours, what its ends mean, and the threshold.
 * @param {HTMLElement} root @param {import("./state.js").State} state @param {import("./state.js").HeatMap[]} maps
 */
function showScale(root, state, maps) {
  const $ = find.bind(null, root), { dark, settings: { mode, threshold, colormap } } = state, bar = $(".threshold");
  const { settings: { scale }, range, reach, lut } = state.style(), signs = maps.filter(({ kind }) => kind === "signed");
  const heated = maps.some(({ kind }) => kind === "heat"), signed = signs.length > 0 && maps.every(({ kind }) => kind === "signed");
  const gaps = maps.length > 0 && !heated && !signed, ends = scale === "shared" && state.usualScale() !== "shared" ? range : null;
  // Of differences alone the bar says how far apart, not which way.
  const plain = `linear-gradient(var(--to, 90deg), rgb(${dark ? "48,48,48" : "228,228,228"}), var(--st-text-color))`;
  const [low, high] = gaps ? ["Same", "Different"] : ends ? ends.map(digits) : ["Weak", "Strong"];
  // A spotlight has no colours: it darkens the picture.
  const dims = mode === "spotlight", shades = "linear-gradient(var(--to, 90deg), #000, #fff)", percent = `${100 * threshold}%`;
  bar.min = "0";
  bar.value = String(threshold);
  bar.setAttribute("aria-valuetext", threshold ? `from ${threshold.toFixed(2)}` : "all values");
  bar.style.setProperty("--hidden", `linear-gradient(var(--to, 90deg), ${VEIL} ${percent}, transparent ${percent})`);
  bar.style.setProperty("--colours", gaps ? plain : dims ? shades : gradient(mode === "overlay" ? overlayColours(lut, colormap) : lut));
  $(".low").textContent = threshold ? `From ${threshold.toFixed(2)}` : low;
  $(".high").textContent = ends && !gaps ? `${high} raw` : high;
  $(".colormap").value = colormap;
  $(".colours").style.visibility = dims ? "hidden" : "";
  const most = scale === "shared" ? reach : signs.length === 1 ? (signs[0].raw?.[1] ?? null) : null;
  if (signed) showSigned(root, threshold, most, signs[0].unit ?? "", dark);
}

/**
 * Show the colour bar of a signed map, whose middle is 0: the threshold hides as much on either side of it.
 * @param {HTMLElement} root @param {number} threshold @param {number|null} reach raw value at the ends @param {string} unit @param {boolean} dark
 */
function showSigned(root, threshold, reach, unit, dark) {
  const bar = find(root, ".threshold");
  const [from, to] = [50 - 50 * threshold, 50 + 50 * threshold].map((at) => `${at}%`);
  bar.min = "-1";
  bar.value = String(threshold);
  bar.style.setProperty("--colours", gradient(sidedColours(dark ? 48 : 228)));
  bar.style.setProperty("--hidden", `linear-gradient(var(--to, 90deg), transparent ${from}, ${VEIL} ${from} ${to}, transparent ${to})`);
  const amount = reach === null ? ["", ""] : [-reach, reach].map((value) => ` ${withUnit(value, unit)}`);
  find(root, ".low").textContent = `Lowers${amount[0]}`;
  find(root, ".high").textContent = `${amount[1].trim()} raises`.trim().replace(/^r/, "R");
  if (threshold) bar.setAttribute("aria-valuetext", `from ${threshold.toFixed(2)}, either way`);
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

/** @param {string} name of a colormap */
export function optionOf(name) {
  const words = name.replaceAll("_", " ");
  return new Option(words[0].toUpperCase() + words.slice(1), name);
}
