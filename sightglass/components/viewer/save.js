// Save what is on the screen as a file. A PNG carries the recipe of its map in a text chunk after the header, as the server
// writes it (sightglass/export/embedded_recipe.py).

import { hiddenContext } from "../../browser/canvas.js";
import { blobOf, download } from "../../browser/component.js";
import { Layer } from "../../browser/draw.js";
import { GAP } from "../../browser/geometry.js";

/** @typedef {CanvasRenderingContext2D} Context */

const HEADER = 33; // signature and IHDR
const KEY = "Sightglass\0\0\0\0\0";

/** @type {Uint32Array|null} */
let table = null;

/**
 * Draw several panels side by side with their titles; one alone, as it is.
 * @param {{title: string, draw: (context: Context) => void, lines: (context: Context) => void}[]} panels
 * @param {number[]} size of a panel, in pixels of the file
 * @param {number} unit pixels of the file in one of the screen @param {number} columns @param {boolean} dark
 * @param {string} font
 */
function contactSheet(panels, [width, height], unit, columns, dark, font) {
  const title = panels.length > 1 ? Math.round(28 * unit) : 0, gap = panels.length > 1 ? Math.round(GAP * unit) : 0;
  const rows = Math.ceil(panels.length / columns), across = columns * (width + gap) + gap;
  const page = hiddenContext(across, rows * (height + title + gap) + (title ? 0 : gap));
  page.fillStyle = dark ? "#161616" : "#fff";
  page.fillRect(0, 0, page.canvas.width, page.canvas.height);
  const [under, over] = [true, false].map((reads) => hiddenContext(width, height, reads));
  panels.forEach((panel, i) => {
    const x = gap + (i % columns) * (width + gap), y = title + Math.floor(i / columns) * (height + title + gap);
    panel.draw(under);
    page.drawImage(under.canvas, x, y);
    panel.lines(over);
    page.drawImage(over.canvas, x, y);
    if (!title) return;
    page.font = `600 ${Math.round(14 * unit)}px ${font}`;
    page.fillStyle = dark ? "#eaeaea" : "#1c1c1c";
    page.textBaseline = "middle";
    page.fillText(panel.title, x, y - title / 2, width);
  });
  return page.canvas;
}

/**
 * Save all panels as they are, in one PNG with the recipe of its first map.
 * @param {import("./store.js").Store} store @param {import("./painter.js").Painter} painter @param {number} columns
 */
export function saveScreen(store, painter, columns) {
  const { panels, picture, settings, dark, font } = store, rect = store.visible(), [{ width: shown, fine }] = panels;
  if (!picture) return;
  const wide = Math.max(shown * fine, Math.min(rect[2] - rect[0], 1600));
  const size = [wide, (wide * (rect[3] - rect[1])) / (rect[2] - rect[0])].map((side) => Math.max(1, Math.round(side)));
  const unit = size[0] / shown, style = store.style(), frame = { width: size[0], height: size[1], rect, unit };
  const drawn = panels.map((panel) => ({
    title: store.mapOf(panel)?.title ?? panel.title,
    draw: (/** @type {Context} */ context) => new Layer().paint(context, picture, store.shown(panel), style, frame),
    lines: (/** @type {Context} */ context) => painter.outline(context, panel, unit, rect),
  }));
  const name = panels.map((panel) => store.mapOf(panel)?.title).find(Boolean) ?? "picture", recipe = store.recipe();
  contactSheet(drawn, size, unit, columns, dark, font).toBlob(async (blob) => {
    const bytes = blob && recipe && embedRecipe(new Uint8Array(await blob.arrayBuffer()), withSettings(recipe, settings));
    const fileName = `${name} ${settings.mode}`.replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase();
    download(bytes ? blobOf(bytes, "image/png") : blob, `${fileName}.png`);
  });
}

/** CRC-32 as PNG has it. @param {Uint8Array} bytes */
export function crc32(bytes) {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * Return the file with the recipe in it; its pixels stay as they are.
 * @param {Uint8Array} png @param {string} line ASCII
 */
export function embedRecipe(png, line) {
  const body = new TextEncoder().encode(`iTXt${KEY}${line}`);
  const made = new Uint8Array(png.length + body.length + 8), view = new DataView(made.buffer);
  made.set(png.subarray(0, HEADER));
  view.setUint32(HEADER, body.length - 4);
  made.set(body, HEADER + 4);
  view.setUint32(HEADER + 4 + body.length, crc32(body));
  made.set(png.subarray(HEADER), HEADER + body.length + 8);
  return made;
}

/**
 * Return a recipe with the current settings of the view.
 * @param {string} line JSON as the server gave it @param {import("../../common/style.js").Style} settings
 */
export function withSettings(line, settings) {
  const recipe = JSON.parse(line);
  const kept = Object.entries(settings).filter(([, value]) => ["boolean", "number", "string"].includes(typeof value));
  recipe.view.settings = Object.fromEntries(kept);
  // As Python writes it: nothing beyond ASCII, whatever a label is.
  return JSON.stringify(recipe).replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
