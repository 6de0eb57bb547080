// Share a view as an address: whoever opens it sees the same.

import { defaults } from "./settings.js";

/** @typedef {import("./settings.js").Settings} Settings @typedef {import("./geometry.js").Viewport} Viewport */

/**
 * Return the address with everything of the view that is not the default.
 * @param {string} href @param {Settings} settings @param {Viewport} viewport
 */
export function linkTo(href, settings, viewport) {
  const url = new URL(href);
  const short = (/** @type {number} */ value) => String(Number(value.toPrecision(5)));
  for (const [name, start] of Object.entries(defaults())) {
    const value = Reflect.get(settings, name);
    if (value === start) url.searchParams.delete(name);
    else url.searchParams.set(name, typeof value === "number" ? short(value) : String(value));
  }
  if (viewport.zoom > 1) url.searchParams.set("zoom", [viewport.x, viewport.y, viewport.zoom].map(short).join());
  else url.searchParams.delete("zoom");
  return url.href;
}

/** @param {unknown} text as `linkTo` wrote it @returns {Viewport|null} */
export function viewportOf(text) {
  const [x, y, zoom] = String(text ?? "").split(",").map(Number);
  const most = 1 - 1 / zoom;
  if (!(zoom >= 1 && zoom <= 16 && x >= 0 && y >= 0 && x <= most + 1e-3 && y <= most + 1e-3)) return null;
  return { x: Math.min(x, most), y: Math.min(y, most), zoom };
}

/** Copy a text to the clipboard. @param {string} text @param {Element} root @returns {Promise<boolean>} whether it worked */
export async function copied(text, root) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without https, browsers deny the clipboard to pages from another machine.
    const field = Object.assign(document.createElement("textarea"), { value: text });
    root.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
