// Write the recipe into a PNG's metadata, as the server writes it (explain/export/embedded_recipe.py): a text chunk after the header.

const HEADER = 33; // signature and IHDR
const KEY = "Sightglass\0\0\0\0\0";

/** @type {Uint32Array|null} */
let table = null;

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
 * @param {string} line JSON as the server gave it @param {import("./settings.js").Settings} settings
 */
export function withSettings(line, settings) {
  const recipe = JSON.parse(line);
  const kept = Object.entries(settings).filter(([, value]) => ["boolean", "number", "string"].includes(typeof value));
  recipe.view.settings = Object.fromEntries(kept);
  // As Python writes it: nothing beyond ASCII, whatever a label is.
  return JSON.stringify(recipe).replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
