// Display settings, stored in the browser: they survive a change of page and a reload without a rerun.

/**
 * @typedef {"overlay"|"map"|"contour"|"spotlight"|"picture"} Mode
 * @typedef {"auto"|"single"|"beside"|"swipe"} Layout  where the plain picture is: auto: beside a portrait, where there is room
 * @typedef {"own"|"shared"|"fixed"} Scale  1 is each map's own maximum, that of all the maps, or the raw value `top`
 * @typedef {{mode: Mode, layout: Layout, split: number, alpha: number, colormap: string, threshold: number, scale: Scale,
 *   top: number, even: boolean, invert: boolean, cells: boolean, boxes: boolean}} Settings
 */

const STORE = "sightglass.view";
/** @type {Record<string, string[]>} */
const CHOICES = {
  mode: ["overlay", "map", "contour", "spotlight", "picture"],
  layout: ["auto", "single", "beside", "swipe"],
  scale: ["own", "shared", "fixed"],
};

/** @returns {Settings} */
export function defaults() {
  return {
    mode: "overlay",
    layout: "auto",
    split: 0.5,
    alpha: 0.9,
    colormap: "inferno",
    threshold: 0,
    scale: "own",
    top: 1,
    even: false,
    invert: false,
    cells: false,
    boxes: true,
  };
}

/**
 * Return `base` with everything valid in `given`: a link can carry anything.
 * @param {Settings} base @param {Record<string, unknown>|null|undefined} given @param {string[]} colormaps
 * @returns {Settings}
 */
export function merged(base, given, colormaps) {
  const out = /** @type {Record<string, unknown>} */ ({ ...base });
  for (const [name, value] of Object.entries(given ?? {})) {
    if (!Object.hasOwn(out, name)) continue;
    if (typeof out[name] === "number") {
      const number = value === "" ? NaN : Number(value), max = name === "top" ? 1e9 : 1;
      if (number >= 0 && number <= max && (name !== "top" || number > 0)) out[name] = number;
    } else if (typeof out[name] === "boolean") out[name] = value === true || Number(value) === 1 || value === "true";
    else if ((CHOICES[name] ?? colormaps).includes(String(value))) out[name] = value;
  }
  return /** @type {Settings} */ (out);
}

/** Whether a link is not the last one. @param {Storage} storage @param {Record<string, unknown>|null} initial */
export function isNews(storage, initial) {
  return Boolean(initial) && initial?.id !== stored(storage).link;
}

/**
 * Return the stored settings, unless a new link brings others: it wins once, by its id.
 * @param {Storage} storage @param {Record<string, unknown>|null} initial @param {string[]} colormaps @returns {Settings}
 */
export function recalled(storage, initial, colormaps) {
  if (!initial || !isNews(storage, initial)) return merged(defaults(), stored(storage).settings, colormaps);
  const wanted = merged(defaults(), initial, colormaps);
  keep(storage, wanted, initial.id);
  return wanted;
}

/** @param {Storage} storage @param {Settings} settings @param {unknown} [link] */
export function keep(storage, settings, link) {
  try {
    storage.setItem(STORE, JSON.stringify({ settings, link: link ?? stored(storage).link }));
  } catch {
    // Private windows may forbid storage: the settings then last as long as the page.
  }
}

/** @param {Storage} storage @returns {{settings?: Record<string, unknown>, link?: unknown}} */
function stored(storage) {
  try {
    return JSON.parse(storage.getItem(STORE) ?? "{}") ?? {};
  } catch {
    return {};
  }
}
