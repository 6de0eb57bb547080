// Display settings, stored in the browser, so that they survive a change of page and a reload, and shared in links.

import { MAX_ZOOM } from "../../browser/geometry.js";
import { CHOICES, DEFAULTS } from "../../common/style.js";

/**
 * @typedef {[string, boolean][]} Line
 * @typedef {{title: string, kind: string, unit?: string, raw: number[]|null, value: number|null, full: boolean}} Reading
 * @typedef {Reading & {value: number}} Seen
 */

/** Write three significant digits, without an exponent for everyday sizes. @param {number} value */
export function digits(value) {
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-4 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(3)));
  return text.replace(/-/g, "\u2212");
}

/** Write a number with its unit, as `quantity` in phrases.py does. @param {number} value @param {string} unit */
export function withUnit(value, unit) {
  return `${digits(value)}${/^\w/.test(unit) ? "\u00a0" : ""}${unit}`;
}

/** Split a sentence. @param {string} text with **bold** parts; a text that begins with the title has that bold @param {string} title @returns {Line} */
export function sentence(text, title) {
  if (title && !text.includes("**") && text.startsWith(title)) return [[title, true], [text.slice(title.length), false]];
  return text.split("**").map((part, i) => [part, i % 2 === 1]);
}

/**
 * Return the values of all maps at one point.
 * @param {Reading[]} readings value: on the scale that is set, raw: the raw values at its 0 and 1; value null:
 * not seen; full: on its own scale, whose 1 is its maximum
 * @param {number} x @param {number} y @returns {Line}
 */
export function readout(readings, x, y) {
  const at = ` at ${Math.floor(x)}, ${Math.floor(y)}`;
  const seen = readings.filter(({ value }) => value !== null);
  if (!readings.length) return [[`Pixel${at}`, false]];
  if (!seen.length) return [["The model did not see this part of the picture", false], [`,${at}`, false]];
  const heats = seen.filter(({ kind }) => kind !== "difference");
  const gaps = seen.filter(({ kind }) => kind === "difference");
  const many = heats.length > 1;
  /** @type {Line} */
  const line = [];
  const measure = heats.every(({ full }) => full) ? (many ? " of their maxima" : " of its maximum") : " of the scale";
  for (const { title, kind, unit, raw, value } of /** @type {Seen[]} */ (heats)) {
    if (line.length) line.push([", ", false]);
    const signed = kind === "signed";
    line.push([`${title} `, false], [valueText(kind, value), true]);
    if (!many) line.push([measure, false]);
    if (signed && !many) line.push([Number(value.toFixed(2)) === 0 ? "" : value > 0 ? ", raises it" : ", lowers it", false]);
    if (!raw) continue;
    const text = signed ? withUnit(value * raw[1], unit ?? "") : digits(raw[0] + value * (raw[1] - raw[0]));
    line.push(.../** @type {Line} */ (many ? [[` (raw ${text})`, false]] : [[", raw ", false], [text, true]]));
  }
  if (many) line.push([measure, false]);
  for (const { title, value } of /** @type {Seen[]} */ (gaps)) {
    line.push([`${line.length ? ", " : ""}${title} `, false], [valueText("difference", value), true]);
  }
  line.push([at, false]);
  return line;
}

/** Write a value of a map, with its sign where it may have either. @param {string} kind @param {number} value */
export function valueText(kind, value) {
  if (kind === "heat") return value.toFixed(2);
  const text = Math.abs(value).toFixed(2);
  return (text === "0.00" ? "" : value > 0 ? "+" : "\u2212") + text;
}

/** @typedef {import("../../common/style.js").Style} Style @typedef {import("../../browser/geometry.js").Viewport} Viewport */

const STORE = "sightglass.view";

/** @param {Storage} storage @returns {{settings?: Record<string, unknown>, link?: unknown}} empty where nothing was stored, or can be */
function readStored(storage) {
  try {
    return JSON.parse(storage.getItem(STORE) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/**
 * Return the defaults with everything valid in `given`: a link can carry anything.
 * @param {Record<string, unknown>|null|undefined} given @param {string[]} colormaps
 * @returns {Style}
 */
export function validated(given, colormaps) {
  const out = /** @type {Record<string, unknown>} */ ({ ...DEFAULTS });
  for (const [name, value] of Object.entries(given ?? {})) {
    if (!Object.hasOwn(out, name)) continue;
    if (typeof out[name] === "number") {
      const number = value === "" ? NaN : Number(value);
      if (number >= 0 && number <= 1) out[name] = number;
    } else if (typeof out[name] === "boolean") out[name] = value === true || Number(value) === 1 || value === "true";
    else if (name === "boxes") out[name] = /^#[0-9a-f]{6}$/.test(String(value)) ? value : out[name];
    else if ((Reflect.get(CHOICES, name) ?? colormaps).includes(String(value))) out[name] = value;
  }
  return /** @type {Style} */ (out);
}

/** Whether a link is not the last one. @param {Storage} storage @param {Record<string, unknown>|null} initial */
export function isNewLink(storage, initial) {
  return Boolean(initial) && initial?.id !== readStored(storage).link;
}

/**
 * Return the stored settings, unless a new link or file brings others: it wins once, by its id.
 * @param {Storage} storage @param {Record<string, unknown>|null} initial @param {string[]} colormaps @returns {Style}
 */
export function recall(storage, initial, colormaps) {
  if (!initial || !isNewLink(storage, initial)) {
    return validated(readStored(storage).settings, colormaps);
  }
  const settings = validated(initial, colormaps);
  keep(storage, settings, initial.id);
  return settings;
}

/** @param {Storage} storage @param {Style} settings @param {unknown} [link] */
export function keep(storage, settings, link = readStored(storage).link) {
  try {
    storage.setItem(STORE, JSON.stringify({ settings, link }));
  } catch {
    // Private windows may forbid storage: the settings then last as long as the page.
  }
}

/**
 * Return the address with everything of the view that is not the default.
 * @param {string} href @param {Style} settings @param {Viewport} viewport
 */
export function linkTo(href, settings, viewport) {
  const url = new URL(href);
  const short = (/** @type {number} */ value) => String(Number(value.toPrecision(5)));
  for (const [name, start] of Object.entries(DEFAULTS)) {
    const value = Reflect.get(settings, name);
    if (value === start) url.searchParams.delete(name);
    else url.searchParams.set(name, typeof value === "number" ? short(value) : String(value));
  }
  if (viewport.zoom > 1) url.searchParams.set("zoom", [viewport.x, viewport.y, viewport.zoom].map(short).join());
  else url.searchParams.delete("zoom");
  return url.href;
}

/**
 * Say how long a copied link opens an own picture; empty for an example.
 * @param {{private: string, keeps: number|null}} link @param {number} now milliseconds @param {string} [locale] of the time
 */
export function linkLasts({ private: name, keeps }, now, locale) {
  if (!name || keeps === null) return "";
  if (!keeps) return ` ${name} opens with it for as long as its sender keeps it.`;
  const until = new Date(now + 1000 * keeps);
  return ` ${name} opens with it until ${until.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" })}.`;
}

/** @param {unknown} text as `linkTo` wrote it @returns {Viewport|null} */
export function viewportOf(text) {
  const [x, y, zoom] = String(text ?? "").split(",").map(Number);
  const most = 1 - 1 / zoom;
  if (!(zoom >= 1 && zoom <= MAX_ZOOM && x >= 0 && y >= 0 && x <= most + 1e-3 && y <= most + 1e-3)) return null;
  return { x: Math.min(x, most), y: Math.min(y, most), zoom };
}
