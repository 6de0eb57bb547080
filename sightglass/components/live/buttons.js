// The buttons, sliders and keys around the canvas of a live page, and what they do.

import { CHOICES } from "../../common/style.js";
import { find } from "../../browser/component.js";
import { gradient } from "../../browser/table.js";
import { hearIn, showSliders, wireSliders } from "../viewer/controls.js";
import { handOver } from "./recorder.js";

/** @typedef {import("./live.js").Live} Live */

/** Show the settings and what is on. @param {Live} live */
export function showButtons({ root, settings, luts, sources, frozen, recorder }) {
  const $ = find.bind(null, root);
  $(`[name="source"][value="${sources.kind}"]`).checked = true;
  showSliders(root, settings, gradient(luts.get(settings.colormap) ?? new Uint8Array(768)), "Weak");
  $(".boxes").setAttribute("aria-pressed", String(settings.boxes));
  showState($(".freeze"), frozen, ["play_arrow", "Go on"], ["pause", "Freeze"]);
  showState($(".record"), recorder.on, ["stop_circle", "Stop recording"], ["fiber_manual_record", "Record"]);
}

/** @param {Element} button @param {boolean} on @param {string[]} pressed icon and word @param {string[]} released */
function showState(button, on, pressed, released) {
  const [icon, word] = on ? pressed : released;
  button.setAttribute("aria-pressed", String(on));
  find(button, ".icon").textContent = icon;
  find(button, ".word").textContent = word;
}

/** Hear what a person does. @param {Live} live */
export function wireButtons(live) {
  const { root, signal, canvas, sources, following } = live, hear = hearIn(root, signal);
  hear("source", "change", ({ value }) => void sources.choose(value === "camera" ? "camera" : "clip"));
  wireSliders(hear, "view", (changes, done) => live.set(changes, done));
  hear("pin", "change", ({ value }) => following.name(value));
  hear("boxes", "click", () => live.set({ boxes: !live.settings.boxes }));
  hear("freeze", "click", () => live.freeze(!live.frozen));
  hear("open", "click", () => void handOver(live, "open"));
  hear("snapshot", "click", () => void handOver(live, "snapshot"));
  hear("record", "click", () => live.record());
  hear("again", "click", () => (live.notice.connection ? live.loop.link.start() : void sources.choose("camera")));
  hear("full", "click", () => void (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen()));
  hear("original", "pointerdown", () => live.hold(true));
  for (const name of ["pointerup", "blur"]) window.addEventListener(name, () => live.hold(false), { signal });
  canvas.addEventListener("click", (event) => following.click(event), { signal });
  root.addEventListener("keydown", (event) => press(live, event), { signal });
  root.addEventListener("keyup", ({ key }) => key === " " && live.hold(false), { signal });
}

/** @param {Live} live @param {KeyboardEvent} event */
function press(live, event) {
  const { target, key } = event, modes = CHOICES.mode, typing = target instanceof HTMLInputElement && target.type === "search";
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const onButton = target instanceof HTMLElement && Boolean(target.closest("button:not(.original), select"));
  if (key === " " && !onButton) live.hold(true);
  else if (key === "f") live.freeze(!live.frozen);
  else if (key === "s") void handOver(live, "snapshot");
  else if (key === "r" && !find(live.root, ".record").disabled) live.record();
  else if (key === "c") live.set({ mode: modes[(modes.indexOf(live.settings.mode) + 1) % modes.length] });
  else return;
  event.preventDefault();
}
