// A view as an address: whoever opens it sees the same.

import { defaults } from "./settings.js";

/** @typedef {import("./settings.js").Settings} Settings @typedef {import("./geometry.js").Look} Look */

/**
 * The address with all of the view that is not as everybody starts with it.
 * @param {string} href @param {Settings} settings @param {Look} look
 */
export function linkTo(href, settings, look) {
  const url = new URL(href);
  const short = (/** @type {number} */ value) => String(Number(value.toPrecision(5)));
  for (const [name, start] of Object.entries(defaults())) {
    const value = Reflect.get(settings, name);
    if (value === start) url.searchParams.delete(name);
    else url.searchParams.set(name, typeof value === "number" ? short(value) : String(value));
  }
  if (look.zoom > 1) url.searchParams.set("zoom", [look.x, look.y, look.zoom].map(short).join());
  else url.searchParams.delete("zoom");
  return url.href;
}

/** @param {unknown} text as `linkTo` wrote it @returns {Look|null} */
export function lookOf(text) {
  const [x, y, zoom] = String(text ?? "").split(",").map(Number);
  const most = 1 - 1 / zoom;
  if (!(zoom >= 1 && zoom <= 16 && x >= 0 && y >= 0 && x <= most + 1e-3 && y <= most + 1e-3)) return null;
  return { x: Math.min(x, most), y: Math.min(y, most), zoom };
}

/** @param {string} text @param {Element} root @returns {Promise<boolean>} whether it is in the clipboard */
export async function copied(text, root) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers keep the clipboard from pages of another machine that come without https.
    const field = Object.assign(document.createElement("textarea"), { value: text });
    root.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
