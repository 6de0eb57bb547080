// The tiles of the checks, buttons of the page: pointing at one, or arrow keys on it, plays its test on the viewer.

import { hiddenContext, resize } from "../browser/canvas.js";
import { ARROWS, broadcast, component, fractionOf, percent } from "../browser/component.js";
import { createMap } from "../browser/draw.js";
import { reduced } from "../browser/geometry.js";
import { grids, inflate } from "../browser/unpack.js";

/**
 * @typedef {import("../browser/draw.js").HeatMap} HeatMap
 * @typedef {[number, number][]} Curve  the share that is hidden, and the score that it leaves
 * @typedef {{maps: HeatMap[], curves?: Curve[], label?: string, follows?: boolean}} Part
 * @typedef {{index: number, grids: number[][], parts: Record<string, Omit<Part, "maps"> & {maps: import("../browser/draw.js").MapHead[]}>}} Head
 */

/** Milliseconds for which each of two maps is shown in turns. */
const TURN_MS = 1600;
/** Pixels by which a press that moved is no click. */
const DRAGGED = 5;
/** Steps of the arrow keys across a tile, and across that of the changes, which are as many. */
const STEPS = 10;
const CHANGES = 8;
/** Pixels of the longer side of what covers the picture, and of a copy so small that it is a blur. */
const COVER = 640;
const BLURRED = 14;

/** Return the score between the shares that were measured. @param {Curve} curve @param {number} share */
function scoreAt(curve, share) {
  const next = Math.max(1, curve.findIndex(([at]) => at >= share)), [[x0, y0], [x1, y1]] = [curve[next - 1], curve[next]];
  return y0 + ((share - x0) / (x1 - x0)) * (y1 - y0);
}

/**
 * Return the blurred picture where a share comes first in an order, as `blur` in support.py; nothing elsewhere.
 * @param {HeatMap} order 0 to 1 @param {number} share @param {import("../browser/canvas.js").Picture} picture
 */
function hide({ own: { values, w, h }, extent: [x0, y0, x1, y1] }, share, { bitmap, size }) {
  const [mask, blur, cover] = [[w, h], reduced(size, BLURRED), reduced(size, COVER)].map(([wide, high]) => {
    const context = hiddenContext();
    resize(context.canvas, wide, high);
    context.imageSmoothingQuality = "high";
    return context;
  });
  const pixels = new ImageData(w, h), { width, height } = cover.canvas, across = width / size[0], down = height / size[1];
  for (let i = 0; i < values.length; i++) pixels.data[4 * i + 3] = values[i] < 65535 * share ? 255 : 0;
  mask.putImageData(pixels, 0, 0);
  blur.drawImage(bitmap, 0, 0, blur.canvas.width, blur.canvas.height);
  cover.drawImage(mask.canvas, x0 * across, y0 * down, (x1 - x0) * across, (y1 - y0) * down);
  cover.globalCompositeOperation = "source-in";
  cover.drawImage(blur.canvas, 0, 0, width, height);
  return cover.canvas;
}

/** @param {any} target @returns {HTMLElement|null} the button of a tile */
const tileOf = (target) => target?.closest?.('[class*="st-key-tile-"] button') ?? null;

class CheckPlays {
  #index = 0;
  /** @type {Record<string, Part>} */
  #parts = {};
  /** @type {HTMLElement|null} */
  #tile = null;
  /** Where on the tile, 0 to 1, and where it was pressed. */
  #at = 0;
  #pressed = 0;
  #turning = 0;

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    const hear = (/** @type {string} */ type, /** @type {(event: any) => void} */ handler) =>
      window.addEventListener(type, handler, { signal, capture: true });
    this.root = root;
    for (const type of ["pointermove", "pointerdown"]) hear(type, (event) => this.#point(event));
    hear("click", (event) => tileOf(event.target) && event.detail && Math.abs(event.clientX - this.#pressed) > DRAGGED && event.stopPropagation());
    hear("focusin", ({ target }) => tileOf(target)?.matches(":focus-visible") && this.#enter(tileOf(target), 1 / STEPS));
    hear("focusout", ({ target }) => target === this.#tile && !target.matches(":hover") && this.#enter(null));
    hear("keydown", (event) => {
      const tile = tileOf(event.target), [by] = ARROWS[event.key] ?? [0];
      if (!tile || !by) return;
      event.preventDefault();
      this.#enter(tile, this.#at + by / (tile.closest(".st-key-tile-stable") ? CHANGES : STEPS));
    });
    // A finger leaves by being lifted, after a tap.
    document.documentElement.addEventListener("pointerleave", ({ pointerType: by }) => by === "mouse" && this.#enter(null), { signal });
    signal.addEventListener("abort", () => this.#enter(null));
  }

  /** @param {import("../browser/component.js").Payload<Head>} payload */
  async show({ data: { index, grids: shapes, parts }, blobs }) {
    const values = grids(await inflate(blobs[0], shapes.reduce((sum, [h, w]) => sum + h * w, 0)), shapes);
    const made = (/** @type {import("../browser/draw.js").MapHead[]} */ maps) => maps.map((map) => createMap(map, values[map.own], null));
    this.#index = index;
    this.#parts = Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, { ...part, maps: made(part.maps) }]));
    this.#draw();
  }

  /** @param {PointerEvent} event  a finger that was lifted leaves its tile by a press elsewhere */
  #point(event) {
    const tile = tileOf(event.target), presses = event.type === "pointerdown";
    if (presses) this.#pressed = event.clientX;
    if (tile || event.pointerType === "mouse" || presses) this.#enter(tile, tile ? fractionOf(tile, event)[0] : 0);
  }

  /** Play a tile, or stop. @param {HTMLElement|null} tile @param {number} [at] */
  #enter(tile, at = 0) {
    if (this.#tile && tile !== this.#tile) {
      clearInterval(this.#turning);
      this.#turning = 0;
      this.#tile.style.background = "";
      broadcast("play", null);
    }
    [this.#tile, this.#at] = [tile, Math.min(1, Math.max(0, at))];
    this.#draw();
  }

  #draw() {
    const tile = this.#tile, name = Object.keys(this.#parts).find((id) => tile?.closest(`.st-key-tile-${id}`));
    const part = this.#parts[name ?? ""], maps = part?.maps ?? [];
    if (!tile || !maps.length) return;
    if (name === "model") return this.#takeTurns(maps);
    if (name === "answer") return this.#hide(tile, part);
    const map = maps[Math.min(maps.length - 1, Math.floor(this.#at * maps.length))];
    this.#mark(tile);
    broadcast("play", { index: this.#index, shots: [{ ...map, map }] });
  }

  /** The map as it is and that of random weights. @param {HeatMap[]} maps  of a signed one its strength, too */
  #takeTurns(maps) {
    if (this.#turning) return;
    const frames = maps.length > 1 ? maps : [null, ...maps];
    let turn = 0;
    const next = () => {
      const map = frames[++turn % 2];
      broadcast("play", { index: this.#index, shots: map ? [{ ...map, map }] : [], fades: true });
    };
    next();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.#turning = window.setInterval(next, TURN_MS);
  }

  /** The picture without the strongest share, and beside it without as much of another map's, of a box none. @param {HTMLElement} tile @param {Part} part */
  #hide(tile, { maps, curves = [], label = "", follows = false }) {
    const most = Math.min(...curves.map((curve) => curve[curve.length - 1][0])), share = this.#at * most;
    const scores = curves.map((curve) => scoreAt(curve, share)), texts = scores.map(percent);
    const shots = maps.map((map, i) => ({
      ...{ map: null, cover: hide.bind(null, map, share), title: i ? map.title : `Top ${percent(share)} hidden` },
      note: `${label} ${texts[i]}`,
    }));
    this.#mark(tile, curves[0].map(([at]) => at / most));
    broadcast("play", { index: this.#index, shots, row: follows ? { share: scores[0], before: scores.at(1), text: texts[0] } : undefined });
  }

  /** Show on the tile how far it has come. @param {HTMLElement} tile @param {number[]} [ticks] */
  #mark(tile, ticks = []) {
    const { host } = /** @type {ShadowRoot} */ (this.root.getRootNode()), width = tile.clientWidth, name = "--st-primary-color";
    const bars = [...ticks.map((at) => ["currentColor", Math.min(at * width, width - 2), 2]), [getComputedStyle(host).getPropertyValue(name), 0, this.#at * width]];
    tile.style.background = bars.map(([ink, left, wide]) => `linear-gradient(${ink}, ${ink}) ${left}px 100% / ${wide}px 6px no-repeat`).join();
  }
}

export default component("", CheckPlays);
