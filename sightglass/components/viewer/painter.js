// Schedule drawing: at most once a frame, coarser while the user drags, in parts otherwise.

import { hiddenContext, resize } from "../../browser/canvas.js";
import { blobOf, download } from "../../browser/component.js";
import { Layer } from "../../browser/draw.js";
import { COARSEST, GAP, paced } from "../../browser/geometry.js";
import { boxesShown, outlineBoxes, outlineCells, outlineRegion } from "./marks.js";

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
 * @param {import("./store.js").Store} store @param {Painter} painter @param {number} columns
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

/** @typedef {import("./store.js").Panel} Panel @typedef {import("../../browser/draw.js").Painted} Painted */

const STILL_MS = 150;
/** Milliseconds of work in one frame, the rest is left to the next: while dragging, otherwise, and for the first map. */
const FRAME_MS = 20;
const REST_MS = 10;
export const FIRST_MS = 40;

export class Painter {
  #frame = 0;
  #moving = 0;
  #flying = false;
  // In the first frame of a move neither memory nor compiled code is ready: it starts coarse.
  #pace = COARSEST;
  #tick = () => this.draw();

  /**
   * @param {HTMLElement} root @param {import("./store.js").Store} store
   * @param {(rect: number[]) => void} rested  called when a frame was drawn at rest
   */
  constructor(root, store, rested) {
    this.root = root;
    this.store = store;
    this.rested = rested;
  }

  redraw(withPixels = true) {
    if (withPixels) {
      for (const panel of this.store.panels) {
        panel.dirty = true;
        panel.parts = null;
      }
      this.root.removeAttribute("data-still");
    }
    this.#frame ||= requestAnimationFrame(this.#tick);
  }

  /** Draw coarser while the user drags: a missed frame is visible, a coarse pixel is not. @param {boolean} [flying] the picture moves */
  stir(flying = this.#flying) {
    this.#flying = flying;
    clearTimeout(this.#moving);
    this.#moving = window.setTimeout(() => {
      this.#moving = 0;
      this.#flying = false;
      this.redraw();
    }, STILL_MS);
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#moving);
  }

  /** @param {number} [most] milliseconds @param {boolean} [quick] the picture less smooth */
  draw(most = this.#moving ? FRAME_MS : REST_MS, quick = this.#flying) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { store, root } = this, { panels } = store;
    if (!store.picture) return;
    const rect = store.visible(), style = store.style(quick), began = performance.now();
    const late = () => performance.now() - began > most;
    let painted = false;
    for (const panel of panels) {
      if (!panel.width) continue;
      if (panel.dirty) painted = this.#paint(panel, rect, style, late) || painted;
      this.outline(panel.lines, panel, panel.density, rect);
    }
    if (this.#flying && painted) {
      const before = this.#pace;
      this.#pace = paced(before, performance.now() - began);
      // Sharper at once, not only at the next movement.
      if (this.#pace > before) this.redraw();
    }
    if (this.#moving) return;
    // All is drawn, except for what was requested from Python.
    if (!panels.some(({ dirty, width }) => dirty && width)) root.setAttribute("data-still", "");
    this.rested(rect);
  }

  /**
   * Paint a panel unless it is too late: a large picture, or a dozen of them, would block the page, so the rest is left to
   * the next frame. While dragging nothing is left over, as the next frame shows something else.
   * @param {Panel} panel @param {number[]} rect @param {Painted} style @param {() => boolean} late
   */
  #paint(panel, rect, style, late) {
    const { store } = this;
    const ratio = this.#flying ? panel.flying * Math.sqrt(this.#pace) : this.#moving ? panel.quick : panel.fine;
    const [width, height] = [panel.width, panel.height].map((side) => Math.max(1, Math.round(side * ratio)));
    const frame = { width, height, rect, unit: ratio };
    if (!(this.#moving ? !late() : this.#prepared(panel, frame, style, late))) {
      this.#frame ||= requestAnimationFrame(this.#tick);
      return false;
    }
    resize(panel.canvas, width, height);
    const picture = /** @type {import("../../browser/picture.js").Picture} */ (store.picture);
    panel.layer.paint(panel.base, picture, store.shown(panel), style, frame, panel.parts?.made);
    panel.dirty = false;
    panel.parts = null;
    return true;
  }

  /**
   * Prepare a panel for painting, and return whether it is ready; the next frame continues.
   * @param {Panel} panel @param {import("../../browser/draw.js").Frame} frame @param {Painted} style @param {() => boolean} late
   */
  #prepared(panel, frame, style, late) {
    const { store } = this, picture = /** @type {import("../../browser/picture.js").Picture} */ (store.picture);
    const key = [frame.width, frame.height, frame.unit, style.quick, ...frame.rect].join();
    if (panel.parts?.key !== key) {
      panel.parts = { key, steps: panel.layer.prepare(picture, store.shown(panel), style, frame), made: null };
    }
    const { parts } = panel;
    for (;;) {
      const { done, value } = parts.steps.next();
      if (done) parts.made ??= value ?? null;
      if (late() || done) return !late();
    }
  }

  /**
   * Draw what is over the pixels, unless it is there already.
   * @param {CanvasRenderingContext2D} context @param {Panel} panel @param {number} scale @param {number[]} rect
   */
  outline(context, panel, scale, rect) {
    const { store } = this, { settings, head, plain, choice, marker } = store, { width, height } = panel;
    const { canvas } = context, own = context === panel.lines, map = store.shown(panel), boxed = !plain && settings.boxes;
    const celled = map && settings.cells && !["picture", "contour"].includes(settings.mode);
    const cellsFrom = store.layout() === "swipe" ? settings.split * width : 0, chosen = boxed ? [head.id, choice] : "";
    const key = [canvas.width, canvas.height, width, ...rect, chosen, celled, cellsFrom, plain, marker.version].join();
    if (own && panel.outlined === key) return;
    if (own) panel.outlined = key;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.lineCap = context.lineJoin = "round";
    if (map && celled) outlineCells(context, width, height, rect, map, cellsFrom);
    const boxes = boxed ? boxesShown(panel, store.panels, head.boxes, choice) : [];
    const labels = outlineBoxes(context, width, height, rect, boxes, store.font);
    if (own) panel.labels = panel.boxes ? [] : labels;
    for (const drawn of plain ? [] : [marker.region, marker.question]) {
      outlineRegion(context, width, height, rect, drawn, head.size);
    }
  }
}
