// The toolbar and the colour bar: settings to what they look like, and hands to settings.

import { differenceGradient, gradient } from "./table.js";
import { digits } from "./readout.js";

/**
 * @typedef {import("./settings.js").Settings} Settings
 * @typedef {{lut: Uint8Array, layout: string, scale: string, ends: [number, number]|null, gaps: boolean, dark: boolean,
 *   tool: string|null, marked: boolean}} Facts  ends: raw values at both ends of the colour bar, where they have one
 */

const SWITCHES = ["even", "invert", "cells"];

/**
 * @param {HTMLElement} root @param {AbortSignal} signal
 * @param {{set: (changes: Partial<Settings>, done?: boolean) => void, layout: (name: "beside"|"swipe") => void,
 *   boxes: () => void, tool: (name: string|null) => void, clear: () => void, full: () => void, save: () => void,
 *   fetch: (format: string) => void, link: () => void}} on  what a control asks for; `done`: the hand let go
 */
export function wireControls(root, signal, on) {
  const $ = (/** @type {string} */ selector) => /** @type {HTMLInputElement} */ (root.querySelector(selector));
  /** @param {string} selector @param {string} type @param {(target: HTMLInputElement) => void} handler */
  const hear = (selector, type, handler) => {
    const told = (/** @type {Event} */ event) => handler(/** @type {HTMLInputElement} */ (event.target));
    $(selector).addEventListener(type, told, { signal });
  };
  hear(".modes", "change", ({ value }) => on.set({ mode: /** @type {Settings["mode"]} */ (value) }));
  for (const name of ["alpha", "threshold"]) {
    hear(`.${name}`, "input", ({ value }) => on.set({ [name]: Number(value) }, false));
    hear(`.${name}`, "change", ({ value }) => on.set({ [name]: Number(value) }));
  }
  hear(".colormap", "change", ({ value }) => on.set({ colormap: value }));
  hear(".scales", "change", ({ type, value }) => {
    if (type === "radio") on.set({ scale: /** @type {Settings["scale"]} */ (value) });
  });
  // A value that is refused gives way to the one that holds.
  hear(".top", "change", ({ value }) => on.set(Number(value) > 0 && Number(value) <= 1e9 ? { top: Number(value) } : {}));
  for (const name of SWITCHES) hear(`.${name}`, "change", ({ checked }) => on.set({ [name]: checked }));
  hear(".beside", "click", () => on.layout("beside"));
  hear(".swipe", "click", () => on.layout("swipe"));
  hear(".boxes", "click", on.boxes);
  for (const name of ["rectangle", "brush"]) {
    hear(`.${name}`, "click", (target) => on.tool(target.closest("[aria-pressed=true]") ? null : name));
  }
  hear(".clear", "click", on.clear);
  hear(".link", "click", on.link);
  hear(".save", "click", on.save);
  hear(".png", "click", () => on.fetch("png"));
  hear(".jpg", "click", () => on.fetch("jpg"));
  hear(".full", "click", on.full);
  const menus = /** @type {NodeListOf<HTMLDetailsElement>} */ (root.querySelectorAll("details"));
  const shut = (/** @type {Event} */ event) => {
    for (const menu of menus) if (!event.composedPath().includes(menu)) menu.open = false;
  };
  window.addEventListener("pointerdown", shut, { signal });
  window.addEventListener("focusin", shut, { signal });
  for (const menu of menus) {
    const summary = /** @type {HTMLElement} */ (menu.querySelector("summary"));
    // Pressed beside its controls the focus would go to the page, which shuts the menu before the click arrives.
    menu.addEventListener("mousedown", (event) => {
      if (!(event.target instanceof Element && event.target.closest("input, summary"))) event.preventDefault();
    }, { signal });
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      menu.open = false;
      summary.focus();
      event.stopPropagation();
    }, { signal });
    for (const item of menu.querySelectorAll("button.item")) {
      item.addEventListener("click", () => {
        menu.open = false;
        summary.focus();
      }, { signal });
    }
  }
}

/** @param {HTMLElement} root @param {Settings} settings @param {Facts} facts */
export function showControls(root, settings, facts) {
  const $ = (/** @type {string} */ selector) => /** @type {HTMLInputElement} */ (root.querySelector(selector));
  const { mode, alpha, threshold, colormap, invert } = settings, { ends, gaps, dark } = facts;
  $(`[value="${mode}"]`).checked = true;
  $(`[value="${facts.scale}"]`).checked = true;
  const strength = $(".alpha"), bar = $(".threshold");
  strength.value = String(alpha);
  strength.disabled = !["overlay", "spotlight"].includes(mode);
  strength.setAttribute("aria-valuetext", `${Math.round(100 * alpha)} %`);
  bar.value = String(threshold);
  bar.setAttribute("aria-valuetext", threshold ? `from ${threshold.toFixed(2)}` : "everything");
  const percent = `${100 * threshold}%`, veil = "color-mix(in srgb, var(--st-background-color) 78%, transparent)";
  bar.style.setProperty("--hidden", `linear-gradient(90deg, ${veil} ${percent}, transparent ${percent})`);
  // Of differences alone the bar says how far apart, not which way.
  const plain = `linear-gradient(90deg, rgb(${dark ? "48,48,48" : "228,228,228"}), var(--st-text-color))`;
  bar.style.setProperty("--colours", gaps ? plain : gradient(facts.lut));
  const [low, high] = gaps ? ["Same", "Apart"] : ends ? ends.map(digits) : invert ? ["Hot", "Cold"] : ["Cold", "Hot"];
  $(".low").textContent = threshold ? `From ${threshold.toFixed(2)}` : low;
  $(".high").textContent = ends && !gaps ? `${high} raw` : high;
  $(".colormap").value = colormap;
  $(".top").value = String(settings.top);
  $(".top").disabled = facts.scale !== "fixed";
  for (const name of SWITCHES) $(`.${name}`).checked = Boolean(Reflect.get(settings, name));
  const pressed = { beside: facts.layout === "beside", swipe: facts.layout === "swipe", boxes: settings.boxes };
  const tools = { rectangle: facts.tool === "rectangle", brush: facts.tool === "brush" };
  for (const [name, on] of Object.entries({ ...pressed, ...tools })) $(`.${name}`).setAttribute("aria-pressed", String(on));
  $(".mark").classList.toggle("on", Boolean(facts.tool));
  $(".clear").disabled = !facts.marked;
  for (const strip of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(".legend i"))) {
    strip.style.background = differenceGradient(dark ? 48 : 228);
    strip.style.transform = invert ? "scaleX(-1)" : "";
  }
}

/**
 * @param {HTMLSelectElement} select @param {{name: string, uniform: boolean, hot: string, lut: string}[]} listed
 * @returns {typeof listed} in the order of the list
 */
export function listColormaps(select, listed) {
  const groups = /** @type {[string, typeof listed][]} */ ([
    ["Even steps", listed.filter(({ uniform }) => uniform)],
    ["Others", listed.filter(({ uniform }) => !uniform)],
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
