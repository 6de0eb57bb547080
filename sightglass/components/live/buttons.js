// The buttons and sliders around the canvas of a live page, and what they do.

import { find } from "../../browser/component.js";
import { defaults } from "../viewer/settings.js";
import { gradient } from "../../browser/table.js";

/** @typedef {import("./live.js").Live} Live @typedef {import("../../common/style.js").Style} Style */

/** Show the settings and what is on. @param {Live} live */
export function showButtons(live) {
  const { root, settings } = live, $ = find.bind(null, root);
  $(`[name="source"][value="${live.kind}"]`).checked = true;
  $(`[name="mode"][value="${settings.mode}"]`).checked = true;
  $(".alpha").value = String(settings.alpha);
  $(".alpha").disabled = !["overlay", "spotlight"].includes(settings.mode);
  const bar = $(".threshold"), share = `${100 * settings.threshold}%`;
  bar.value = String(settings.threshold);
  const veil = "color-mix(in srgb, var(--st-background-color) 78%, transparent)";
  bar.style.setProperty("--hidden", `linear-gradient(90deg, ${veil} ${share}, transparent ${share})`);
  bar.style.setProperty("--colours", gradient(live.luts.get(settings.colormap) ?? new Uint8Array(768)));
  $(".low").textContent = settings.threshold ? `From ${settings.threshold.toFixed(2)}` : "Cold";
  $(".colormap").value = settings.colormap;
  $(".boxes").setAttribute("aria-pressed", String(settings.boxes));
  $(".freeze").setAttribute("aria-pressed", String(live.frozen));
  find($(".freeze"), ".icon").textContent = live.frozen ? "play_arrow" : "pause";
  find($(".freeze"), ".word").textContent = live.frozen ? "Go on" : "Freeze";
  $(".record").setAttribute("aria-pressed", String(live.recorder.on));
  find($(".record"), ".icon").textContent = live.recorder.on ? "stop_circle" : "fiber_manual_record";
  find($(".record"), ".word").textContent = live.recorder.on ? "Stop recording" : "Record";
}

/** Hear what a person does. @param {Live} live */
export function wireButtons(live) {
  const { root, signal, canvas } = live;
  const hear = (/** @type {string} */ name, /** @type {string} */ type, /** @type {(target: HTMLInputElement) => void} */ handler) =>
    find(root, name).addEventListener(type, ({ target }) => handler(/** @type {HTMLInputElement} */ (target)), { signal });
  hear(".source", "change", ({ value }) => void live.choose(value === "camera" ? "camera" : "clip"));
  hear(".view", "change", ({ value }) => live.set({ mode: /** @type {Style["mode"]} */ (value) }));
  for (const name of /** @type {const} */ (["alpha", "threshold"])) {
    hear(`.${name}`, "input", ({ value }) => live.set({ [name]: Number(value) }, false));
    hear(`.${name}`, "change", ({ value }) => live.set({ [name]: Number(value) }));
    hear(`.${name}`, "dblclick", () => live.set({ [name]: defaults()[name] }));
  }
  hear(".colormap", "change", ({ value }) => live.set({ colormap: value }));
  hear(".pin", "change", ({ value }) => live.named(value));
  hear(".boxes", "click", () => live.set({ boxes: !live.settings.boxes }));
  hear(".freeze", "click", () => live.freeze(!live.frozen));
  hear(".open", "click", () => void live.hand("open"));
  hear(".snapshot", "click", () => void live.hand("snapshot"));
  hear(".record", "click", () => live.record());
  hear(".again", "click", () => (live.linkWords ? live.link.start() : void live.choose("camera")));
  hear(".full", "click", () => void (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen()));
  hear(".original", "pointerdown", () => live.hold(true));
  window.addEventListener("pointerup", () => live.hold(false), { signal });
  window.addEventListener("blur", () => live.hold(false), { signal });
  canvas.addEventListener("click", (event) => live.click(event), { signal });
  root.addEventListener("keydown", (event) => live.key(event), { signal });
  root.addEventListener("keyup", ({ key }) => key === " " && live.hold(false), { signal });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    live.link.woke();
    live.pace.reset();
    live.pump();
  }, { signal });
}
