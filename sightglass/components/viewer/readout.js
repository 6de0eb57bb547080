// The line under the pictures. Text is [text, bold] pairs, so that a label is never parsed as HTML.

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

/**
 * Return what looks hot, to begin a sentence with; empty where the map is hidden, or hot has no single appearance.
 * @param {import("../../common/style.js").Style} settings @param {string} colour the hottest one of the colormap
 */
export function hotPhrase({ mode, invert, even }, colour) {
  if (mode === "picture" || (mode === "map" && invert) || (mode === "overlay" && invert && even)) return "";
  if (mode === "contour") return invert ? "Outside the lines" : "Inside the lines";
  if (mode === "spotlight") return invert ? "The dark part" : "The bright part";
  return invert ? "The uncovered part" : colour[0].toUpperCase() + colour.slice(1);
}

/**
 * Explain what is drawn over a picture besides colours; empty where nothing is.
 * @param {{kind: string, seen: number[]}[]} maps @param {number[]} size width and height of the picture
 */
export function marksExplained(maps, [width, height]) {
  const lined = maps.some(({ kind }) => kind !== "difference"), signed = maps.some(({ kind }) => kind === "signed");
  const cut = maps.some(({ seen: [x0, y0, x1, y1] }) => x0 > 0 || y0 > 0 || x1 < width || y1 < height);
  const said = [lined && "Inside the white line: at least half the strongest evidence.", signed && "Dashed: it lowers the number.", cut && "Faded: cropped, the model did not see it."];
  return said.filter(Boolean).join(" ");
}

/** Split a sentence. @param {string} text with **bold** parts; a text that begins with the title has that bold @param {string} title @returns {Line} */
export function sentence(text, title) {
  if (title && !text.includes("**") && text.startsWith(title)) return [[title, true], [text.slice(title.length), false]];
  return text.split("**").map((part, i) => [part, i % 2 === 1]);
}

/**
 * Return the values of all maps at one point.
 * @param {Reading[]} readings value: on the scale that is set, raw: the raw values at its 0 and 1; value null:
 * not seen; full: its own maximum is 1, so a share of it can be named
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
    const signed = kind === "signed", shown = signed ? withSign(value) : value.toFixed(2);
    line.push([`${title} `, false], [shown, true]);
    if (!many) line.push([measure, false]);
    if (signed && !many) line.push([Number(value.toFixed(2)) === 0 ? "" : value > 0 ? ", raises it" : ", lowers it", false]);
    if (!raw) continue;
    const text = signed ? withUnit(value * raw[1], unit ?? "") : digits(raw[0] + value * (raw[1] - raw[0]));
    line.push(.../** @type {Line} */ (many ? [[` (raw ${text})`, false]] : [[", raw ", false], [text, true]]));
  }
  if (many) line.push([measure, false]);
  for (const { title, value } of /** @type {Seen[]} */ (gaps)) {
    line.push([`${line.length ? ", " : ""}${title} `, false], [withSign(value), true]);
  }
  line.push([at, false]);
  return line;
}

/** @param {number} value */
function withSign(value) {
  const text = Math.abs(value).toFixed(2);
  return (text === "0.00" ? "" : value > 0 ? "+" : "\u2212") + text;
}
