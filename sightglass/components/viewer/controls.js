// The toolbar and the colour bar: show the settings, and turn what a person does into new ones.

import { find } from "../../browser/component.js";
import { differenceGradient, gradient, overlayColours, signedGradient } from "../../browser/table.js";
import { digits, withUnit, defaults } from "./settings.js";

/**
 * @typedef {import("../../common/style.js").Style} Style
 * @typedef {{lut: Uint8Array, layout: string, scale: string, ends: number[]|null, gaps: boolean, signed: {reach: number|null, unit: string}|null, dark: boolean,
 *   tool: string|null, marked: boolean, changed: string, initial: boolean}} Facts  ends: raw values at both ends of the colour
 *   bar, where they have one; gaps: only differences are shown; signed: only signed maps are, with the raw value at the ends; changed: what is not as at first; initial: nothing is
 * @typedef {{name: string, uniform: boolean, hot: string, lut: string}} Colormap
 * @typedef {{set: (changes: Partial<Style>, done?: boolean) => void, layout: (name: "beside"|"swipe") => void,
 *   boxes: () => void, tool: (name: string|null) => void, clear: () => void, full: () => void, save: () => void, reset: () => void,
 *   fetch: (format: string) => void, link: () => void}} Actions  what a control asks for; `done`: the hand let go
 */

const SWITCHES = ["even", "invert", "cells"];

/** Return what hears the events of elements, by their class. @param {HTMLElement} root @param {AbortSignal} signal */
export function hearIn(root, signal) {
  return (/** @type {string} */ name, /** @type {string} */ type, /** @type {(target: HTMLInputElement) => void} */ handler) =>
    find(root, `.${name}`).addEventListener(type, ({ target }) => handler(/** @type {HTMLInputElement} */ (target)), { signal });
}

/** @param {ReturnType<typeof hearIn>} hear @param {string} modes class of their group @param {Actions["set"]} set */
export function wireSliders(hear, modes, set) {
  hear(modes, "change", ({ value }) => set({ mode: /** @type {Style["mode"]} */ (value) }));
  for (const name of ["alpha", "threshold"]) {
    // Left of the middle of a signed map's bar is as far from 0 as right of it.
    hear(name, "input", ({ value }) => set({ [name]: Math.abs(Number(value)) }, false));
    hear(name, "change", ({ value }) => set({ [name]: Math.abs(Number(value)) }));
    // The two clicks have moved the handle to where they were.
    hear(name, "dblclick", () => set({ [name]: Reflect.get(defaults(), name) }));
  }
  hear("colormap", "change", ({ value }) => set({ colormap: value }));
}

/** @param {HTMLElement} root @param {AbortSignal} signal @param {Actions} on */
export function wireControls(root, signal, on) {
  const hear = hearIn(root, signal);
  wireSliders(hear, "modes", on.set);
  hear("scales", "change", ({ type, value }) => {
    if (type === "radio") on.set({ scale: /** @type {Style["scale"]} */ (value) });
  });
  // A value that is refused is replaced by the current one.
  hear("top", "change", ({ value }) => on.set(Number(value) > 0 && Number(value) <= 1e9 ? { top: Number(value) } : {}));
  for (const name of SWITCHES) hear(name, "change", ({ checked }) => on.set({ [name]: checked }));
  for (const name of /** @type {const} */ (["beside", "swipe"])) hear(name, "click", () => on.layout(name));
  for (const name of ["rectangle", "brush", "ask"]) {
    hear(name, "click", (target) => on.tool(target.closest("[aria-pressed=true]") ? null : name));
  }
  for (const format of ["png", "jpg"]) hear(format, "click", () => on.fetch(format));
  for (const name of /** @type {const} */ (["boxes", "clear", "link", "save", "full", "reset"])) hear(name, "click", () => on[name]());
  wireMenus(root, signal);
}

/** Close a menu by Escape, by its items, and by what is pressed beside it. @param {HTMLElement} root @param {AbortSignal} signal */
function wireMenus(root, signal) {
  const menus = root.querySelectorAll("details");
  const closeOthers = (/** @type {Event} */ event) => {
    for (const menu of menus) if (!event.composedPath().includes(menu)) menu.open = false;
  };
  window.addEventListener("pointerdown", closeOthers, { signal });
  window.addEventListener("focusin", closeOthers, { signal });
  for (const menu of menus) {
    const close = () => {
      menu.open = false;
      find(menu, "summary").focus();
    };
    // Pressed beside its controls the focus would go to the page, which shuts the menu before the click arrives.
    menu.addEventListener("mousedown", (event) => {
      if (!(event.target instanceof Element && event.target.closest("input, summary"))) event.preventDefault();
    }, { signal });
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      close();
      event.stopPropagation();
    }, { signal });
    for (const item of menu.querySelectorAll("button.item")) item.addEventListener("click", close, { signal });
  }
}

/** Show mode, opacity, threshold and colormap. @param {HTMLElement} root @param {Style} settings @param {string} colours CSS @param {string} low words at the cold end */
export function showSliders(root, { mode, alpha, threshold, colormap }, colours, low) {
  const $ = find.bind(null, root), strength = $(".alpha"), bar = $(".threshold");
  $(`[value="${mode}"]`).checked = true;
  strength.value = String(alpha);
  strength.disabled = !["overlay", "spotlight"].includes(mode);
  strength.setAttribute("aria-valuetext", `${Math.round(100 * alpha)} %`);
  bar.min = "0";
  bar.value = String(threshold);
  bar.setAttribute("aria-valuetext", threshold ? `from ${threshold.toFixed(2)}` : "all values");
  const percent = `${100 * threshold}%`, veil = "color-mix(in srgb, var(--st-background-color) 78%, transparent)";
  bar.style.setProperty("--hidden", `linear-gradient(90deg, ${veil} ${percent}, transparent ${percent})`);
  bar.style.setProperty("--colours", colours);
  $(".low").textContent = threshold ? `From ${threshold.toFixed(2)}` : low;
  $(".colormap").value = colormap;
}

/** @param {HTMLElement} root @param {Style} settings @param {Facts} facts */
export function showControls(root, settings, facts) {
  const $ = find.bind(null, root), { invert } = settings, { ends, gaps, signed, dark } = facts;
  // Of differences alone the bar says how far apart, not which way.
  const plain = `linear-gradient(90deg, rgb(${dark ? "48,48,48" : "228,228,228"}), var(--st-text-color))`;
  const [low, high] = gaps ? ["Same", "Different"] : ends ? ends.map(digits) : invert ? ["Strong", "Weak"] : ["Weak", "Strong"];
  // A spotlight has no colours: it darkens the picture.
  const dims = settings.mode === "spotlight", shades = "linear-gradient(90deg, #000, #fff)";
  const colours = settings.mode === "overlay" && !settings.even ? overlayColours(facts.lut) : facts.lut;
  showSliders(root, settings, gaps ? plain : dims ? shades : gradient(colours), low);
  $(".colormap").style.visibility = dims ? "hidden" : "";
  if (signed) showSigned(root, settings, signed, dark);
  root.classList.toggle("signed", Boolean(signed));
  $(`[value="${facts.scale}"]`).checked = true;
  if (!signed) $(".high").textContent = ends && !gaps ? `${high} raw` : high;
  $(".top").value = String(settings.top);
  $(".invert").disabled = Boolean(signed);
  $(".top").disabled = facts.scale !== "fixed";
  for (const name of SWITCHES) $(`.${name}`).checked = Boolean(Reflect.get(settings, name));
  const pressed = { beside: facts.layout === "beside", swipe: facts.layout === "swipe", boxes: settings.boxes };
  const tools = { rectangle: facts.tool === "rectangle", brush: facts.tool === "brush", ask: facts.tool === "ask" };
  for (const [name, on] of Object.entries({ ...pressed, ...tools })) $(`.${name}`).setAttribute("aria-pressed", String(on));
  $(".mark").classList.toggle("on", tools.rectangle || tools.brush);
  $(".more").classList.toggle("on", pressed.swipe);
  $(".reset").disabled = facts.initial;
  $(".reset").title = facts.changed ? `Reset view (${facts.changed})` : "Reset view";
  $(".clear").disabled = !facts.marked;
  for (const strip of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(".legend i"))) {
    strip.style.background = differenceGradient(dark ? 48 : 228);
    strip.style.transform = invert ? "scaleX(-1)" : "";
  }
}

/**
 * Show the colour bar of a signed map, whose middle is 0: the threshold hides as much on either side of it.
 * @param {HTMLElement} root @param {Style} settings @param {{reach: number|null, unit: string}} signed @param {boolean} dark
 */
function showSigned(root, { threshold }, { reach, unit }, dark) {
  const bar = find(root, ".threshold"), ground = dark ? 48 : 228, veil = "color-mix(in srgb, var(--st-background-color) 78%, transparent)";
  const [from, to] = [50 - 50 * threshold, 50 + 50 * threshold].map((at) => `${at}%`);
  bar.min = "-1";
  bar.value = String(threshold);
  bar.style.setProperty("--colours", signedGradient(ground));
  bar.style.setProperty("--hidden", `linear-gradient(90deg, transparent ${from}, ${veil} ${from} ${to}, transparent ${to})`);
  const amount = reach === null ? ["", ""] : [-reach, reach].map((value) => ` ${withUnit(value, unit)}`);
  find(root, ".low").textContent = `Lowers${amount[0]}`;
  find(root, ".high").textContent = `${amount[1].trim()} raises`.trim().replace(/^r/, "R");
  if (threshold) bar.setAttribute("aria-valuetext", `from ${threshold.toFixed(2)}, either way`);
}

/**
 * Fill the list of colormaps and return them in its order.
 * @param {HTMLElement} select @param {Colormap[]} listed
 */
export function listColormaps(select, listed) {
  const groups = /** @type {[string, Colormap[]][]} */ ([
    ["Perceptually uniform", listed.filter(({ uniform }) => uniform)],
    ["Other", listed.filter(({ uniform }) => !uniform)],
  ]);
  for (const [label, members] of groups) {
    const group = Object.assign(document.createElement("optgroup"), { label });
    for (const { name } of members) {
      const words = name.replaceAll("_", " ");
      group.append(new Option(words[0].toUpperCase() + words.slice(1), name));
    }
    select.append(group);
  }
  return groups.flatMap(([, members]) => members);
}
