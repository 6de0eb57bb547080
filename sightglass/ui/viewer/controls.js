// The toolbar and the colour bar: show the settings, and turn what a person does into new ones.

import { find, hearIn } from "../../browser/component.js";
import { gradient, overlayColours, sidedColours } from "../../browser/table.js";
import { DEFAULTS } from "../../common/style.js";
import { digits, withUnit } from "./settings.js";

/**
 * @typedef {import("../../common/style.js").Style} Style
 * @typedef {{lut: Uint8Array, layout: string, scale: string, ends: number[]|null, gaps: boolean, signed: {reach: number|null, unit: string}|null, dark: boolean,
 *   measuring: boolean}} Facts  ends: raw values at both ends of the colour bar, where they have one; gaps: only
 *   differences are shown; signed: only signed maps are, with the raw value at the ends
 * @typedef {{name: string, lut: string}} Colormap
 * @typedef {{set: (changes: Partial<Style>, done?: boolean) => void, beside: () => void,
 *   scale: (name: "own"|"shared") => void, measure: () => void, edit: () => void, full: () => void}} Actions  what a control asks for;
 *   `done`: the hand let go
 */

/** @param {HTMLElement} root @param {AbortSignal} signal @param {Actions} on */
export function wireControls(root, signal, on) {
  const hear = hearIn(root, signal);
  let before = {};
  hear("mode", "change", ({ value }) => {
    const guides = value === "blend", now = { colormap: find(root, ".colormap").value, alpha: Number(find(root, ".alpha").value) };
    on.set({ mode: /** @type {Style["mode"]} */ (value), ...(guides ? { colormap: "jet", alpha: 0.5 } : before) });
    before = guides ? now : {};
  });
  for (const name of ["alpha", "threshold"]) {
    // Left of the middle of a signed map's bar is as far from 0 as right of it.
    hear(name, "input", ({ value }) => on.set({ [name]: Math.abs(Number(value)) }, false));
    hear(name, "change", ({ value }) => on.set({ [name]: Math.abs(Number(value)) }));
    // The two clicks have moved the handle to where they were.
    hear(name, "dblclick", () => on.set({ [name]: Reflect.get(DEFAULTS, name) }));
  }
  hear("colormap", "change", ({ value }) => on.set({ colormap: value }));
  hear("shared", "change", ({ checked }) => on.scale(checked ? "shared" : "own"));
  hear("cells", "change", ({ checked }) => on.set({ cells: checked }));
  hear("boxes", "input", ({ value }) => on.set({ boxes: value }));
  for (const name of /** @type {const} */ (["beside", "measure", "edit", "full"])) hear(name, "click", () => on[name]());
  const sheet = find(root, ".sheet"), more = find(root, ".more");
  sheet.addEventListener("beforetoggle", ({ newState }) => {
    more.setAttribute("aria-expanded", String(newState === "open"));
    const { right, bottom } = more.getBoundingClientRect();
    Object.assign(sheet.style, { top: `${bottom + 4}px`, right: `${document.documentElement.clientWidth - right}px` });
  }, { signal });
}

const veil = "color-mix(in srgb, var(--st-background-color) 78%, transparent)";

/** @param {HTMLElement} root @param {Style} settings @param {Facts} facts */
export function showControls(root, settings, facts) {
  const $ = find.bind(null, root), { mode, alpha, threshold, cells, colormap } = settings, { ends, gaps, signed, dark } = facts;
  // Of differences alone the bar says how far apart, not which way.
  const plain = `linear-gradient(var(--to, 90deg), rgb(${dark ? "48,48,48" : "228,228,228"}), var(--st-text-color))`;
  const [low, high] = gaps ? ["Same", "Different"] : ends ? ends.map(digits) : ["Weak", "Strong"];
  // A spotlight has no colours: it darkens the picture.
  const dims = mode === "spotlight", shades = "linear-gradient(var(--to, 90deg), #000, #fff)", percent = `${100 * threshold}%`;
  const strength = $(".alpha"), bar = $(".threshold");
  $(".mode").value = mode;
  strength.value = String(alpha);
  strength.disabled = !["overlay", "blend", "spotlight"].includes(mode);
  strength.setAttribute("aria-valuetext", `${Math.round(100 * alpha)} %`);
  bar.min = "0";
  bar.value = String(threshold);
  bar.setAttribute("aria-valuetext", threshold ? `from ${threshold.toFixed(2)}` : "all values");
  bar.style.setProperty("--hidden", `linear-gradient(var(--to, 90deg), ${veil} ${percent}, transparent ${percent})`);
  bar.style.setProperty("--colours", gaps ? plain : dims ? shades : gradient(mode === "overlay" ? overlayColours(facts.lut, colormap) : facts.lut));
  $(".low").textContent = threshold ? `From ${threshold.toFixed(2)}` : low;
  $(".high").textContent = ends && !gaps ? `${high} raw` : high;
  $(".colormap").value = colormap;
  $(".colours").style.visibility = dims ? "hidden" : "";
  if (signed) showSigned(root, threshold, signed, dark);
  $(".shared").checked = facts.scale === "shared";
  $(".cells").checked = cells;
  $(".boxes").value = settings.boxes;
  const pressed = { beside: facts.layout === "beside", measure: facts.measuring };
  for (const [name, on] of Object.entries(pressed)) $(`.${name}`).setAttribute("aria-pressed", String(on));
  $(".more").classList.toggle("on", pressed.measure);
  for (const strip of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(".legend i"))) {
    strip.style.background = gradient(sidedColours(dark ? 48 : 228));
  }
}

/**
 * Show the colour bar of a signed map, whose middle is 0: the threshold hides as much on either side of it.
 * @param {HTMLElement} root @param {number} threshold @param {{reach: number|null, unit: string}} signed @param {boolean} dark
 */
function showSigned(root, threshold, { reach, unit }, dark) {
  const bar = find(root, ".threshold");
  const [from, to] = [50 - 50 * threshold, 50 + 50 * threshold].map((at) => `${at}%`);
  bar.min = "-1";
  bar.value = String(threshold);
  bar.style.setProperty("--colours", gradient(sidedColours(dark ? 48 : 228)));
  bar.style.setProperty("--hidden", `linear-gradient(var(--to, 90deg), transparent ${from}, ${veil} ${from} ${to}, transparent ${to})`);
  const amount = reach === null ? ["", ""] : [-reach, reach].map((value) => ` ${withUnit(value, unit)}`);
  find(root, ".low").textContent = `Lowers${amount[0]}`;
  find(root, ".high").textContent = `${amount[1].trim()} raises`.trim().replace(/^r/, "R");
  if (threshold) bar.setAttribute("aria-valuetext", `from ${threshold.toFixed(2)}, either way`);
}

/** @param {string} name of a colormap */
export function optionOf(name) {
  const words = name.replaceAll("_", " ");
  return new Option(words[0].toUpperCase() + words.slice(1), name);
}
