// Hand on the frame on the screen: to Python, which opens or saves it, or as a file of this browser.

import { download } from "../../browser/component.js";
import { named } from "./recorder.js";

/** @param {HTMLCanvasElement} canvas @returns {Promise<Blob>} */
function asJpeg(canvas) {
  return new Promise((resolve) => {
    canvas.toBlob((blob) => resolve(blob ?? new Blob()), "image/jpeg", 0.95);
  });
}

/** @param {Blob} blob @returns {Promise<string>} */
function base64(blob) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(String(reader.result).split(",")[1] ?? ""));
    reader.readAsDataURL(blob);
  });
}

/** Go on with the frame on the screen, or with the camera. @param {import("./live.js").Live} live @param {"open"|"snapshot"|"freeze"} act */
export async function handOver(live, act) {
  const { shown } = live.screen, { mode, alpha, threshold, colormap } = live.settings;
  if (!shown?.taken.jpeg) return;
  if (act === "open") live.freeze(true, false);
  const { head } = shown.answer, drawn = act === "snapshot" ? await asJpeg(live.canvas) : null;
  if (drawn && !live.head?.saves) return download(drawn, named("heatmap", new Date(), "jpg"));
  const [jpeg, picture] = await Promise.all([base64(new Blob([shown.taken.jpeg])), drawn ? base64(drawn) : ""]);
  const target = { label: head.map?.label ?? null, box: head.place === null ? null : head.answers[head.place] };
  live.send("frame", { act, jpeg, picture, ...target, view: { mode, alpha, threshold, colormap }, at: Date.now() });
}
