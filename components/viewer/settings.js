// How one likes to look: kept in the browser, so that it outlives a change of page and a reload without a rerun.

/**
 * @typedef {{mode: string, alpha: number, colormap: string, threshold: number, even: boolean, cells: boolean,
 *   boxes: boolean}} Settings
 */

const STORE = "sightglass.view";
export const MODES = ["overlay", "map", "contour", "spotlight", "picture"];

/** @returns {Settings} */
export function defaults() {
  return { mode: "overlay", alpha: 0.9, colormap: "inferno", threshold: 0, even: false, cells: false, boxes: true };
}

/** What is usable of `given`, over `base`: a link can carry anything. @returns {Settings} */
export function merged(base, given, colormaps) {
  const out = { ...base };
  for (const [name, value] of Object.entries(given ?? {})) {
    if (!(name in out)) continue;
    if (typeof out[name] === "number") {
      const number = Number(value);
      if (number >= 0 && number <= 1) out[name] = number;
    } else if (typeof out[name] === "boolean") out[name] = value === true || Number(value) === 1 || value === "true";
    else if ((name === "mode" ? MODES : colormaps).includes(value)) out[name] = value;
  }
  return out;
}

/** The kept settings, unless a link brings others than the last one did. @returns {Settings} */
export function recalled(storage, initial, colormaps) {
  let kept = {};
  try {
    kept = JSON.parse(storage.getItem(STORE)) ?? {};
  } catch {
    // Not ours, or storage is forbidden: the defaults are good.
  }
  const settings = merged(defaults(), kept.settings, colormaps), link = initial ? JSON.stringify(initial) : null;
  if (!link || link === kept.link) return settings;
  const wanted = merged(settings, initial, colormaps);
  keep(storage, wanted, link);
  return wanted;
}

/** @param {Settings} settings */
export function keep(storage, settings, link) {
  try {
    const before = JSON.parse(storage.getItem(STORE)) ?? {};
    storage.setItem(STORE, JSON.stringify({ settings, link: link ?? before.link }));
  } catch {
    // Private windows may forbid storage: then settings last as long as the page.
  }
}
