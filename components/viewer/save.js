// What is on the screen as a file.

import { GAP } from "./geometry.js";
import { tagged } from "./recipe.js";

/**
 * Several panels side by side with their titles; one alone, as it is.
 * @param {{title: string, draw: (context: CanvasRenderingContext2D) => void,
 *   lines: (context: CanvasRenderingContext2D) => void}[]} panels
 * @param {number[]} size of a panel, in pixels of the file
 * @param {number} unit pixels of the file in one of the screen @param {number} columns @param {boolean} dark
 * @param {string} font
 */
export function sheet(panels, [width, height], unit, columns, dark, font) {
  const title = panels.length > 1 ? Math.round(28 * unit) : 0, gap = panels.length > 1 ? Math.round(GAP * unit) : 0;
  const rows = Math.ceil(panels.length / columns), made = document.createElement("canvas");
  const page = /** @type {CanvasRenderingContext2D} */ (made.getContext("2d"));
  made.width = columns * (width + gap) + gap;
  made.height = rows * (height + title + gap) + (title ? 0 : gap);
  page.fillStyle = dark ? "#161616" : "#fff";
  page.fillRect(0, 0, made.width, made.height);
  const [under, over] = [0, 1].map(() => Object.assign(document.createElement("canvas"), { width, height }));
  const context = /** @type {CanvasRenderingContext2D} */ (under.getContext("2d", { willReadFrequently: true }));
  panels.forEach((panel, i) => {
    const x = gap + (i % columns) * (width + gap), y = title + Math.floor(i / columns) * (height + title + gap);
    panel.draw(context);
    page.drawImage(under, x, y);
    panel.lines(/** @type {CanvasRenderingContext2D} */ (over.getContext("2d")));
    page.drawImage(over, x, y);
    if (!title) return;
    page.font = `600 ${Math.round(14 * unit)}px ${font}`;
    page.fillStyle = dark ? "#eaeaea" : "#1c1c1c";
    page.textBaseline = "middle";
    page.fillText(panel.title, x, y - title / 2, width);
  });
  return made;
}

/**
 * @param {HTMLCanvasElement|Blob} what a canvas is saved as PNG @param {string} name
 * @param {string} line what the PNG says of itself, if anything
 */
export function download(what, name, line = "") {
  const save = (/** @type {Blob|null} */ blob, /** @type {string} */ called) => {
    if (!blob) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = called;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  if (what instanceof Blob) save(what, name);
  else
    what.toBlob(async (blob) => {
      const png = blob && line ? new Blob([tagged(new Uint8Array(await blob.arrayBuffer()), line)], { type: blob.type }) : blob;
      save(png, name.replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase() + ".png");
    });
}
