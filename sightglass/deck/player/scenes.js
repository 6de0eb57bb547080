// The scenes of a deck as Python packs them (sightglass/deck/scene.py), and their pictures and maps, decoded when they are near.

import { blobOf } from "../../browser/component.js";
import { bytes, inflated, unpack } from "../../browser/unpack.js";
import { createMap } from "../../browser/draw.js";
import { Picture } from "../../browser/picture.js";

/**
 * @typedef {{label: string, score: number|null, box: number[]|null, map: number|null}} Answer  box: xyxy, 0..1 of the picture;
 *   map: its place in the panel's
 * @typedef {{label: string, score: number|null, box: number[]|null, seen: number[]|null, sentence?: string, seal?: string, seal_short?: string, signed?: boolean,
 *   values: {blob: number, shape: number[]}}} SceneMap
 * @typedef {{label: string, shares: number[], hide: number[], keep: number[], control_hide: number[], control_keep: number[],
 *   sentence: string, control: string, panel: number, map: number}} SceneProof
 * @typedef {{name: string, answers: Answer[], maps: SceneMap[], boxes: boolean, size: number[], file: Uint8Array|null,
 *   seen: number[]|null}} ScenePanel  boxes: its answers have places; size: of the picture that it shows; file: of a picture of its own; seen: the
 *   part of that, xyxy, around which it fades
 * @typedef {{panel: number, map: number, colormap: string, mode: import("../../common/style.js").Mode, opacity: number, threshold: number}} SceneView
 * @typedef {{kind: "picture"|"models"|"classes"|"story"|"row"|"clip"|"words"|"text"|"columns", title: string, sentence: string, notes: string,
 *   question: string, bars: [string, number][], file: Uint8Array|null,
 *   size: number[], panels: ScenePanel[], proof: SceneProof|null, clip: Uint8Array|null, view: SceneView, colormaps: string[]}} Scene
 *   file: the picture's; colormaps: those to choose from
 * @typedef {{lut: Uint8Array, hot: string}} Colours
 * @typedef {{left: number, top: number, width: number, height: number}} PageRect  in units: a slide is 160 x 90
 * @typedef {{place: PageRect} & ({type: "Text", name: string, words: string, size: number, bold: boolean, tone: string, right: boolean}
 *   | {type: "Sight", panel: number, map: number|null, boxes: boolean, chosen: number[]}
 *   | {type: "Bars", panel: number, answers: [string, number][], places: number[], chosen: number|null}
 *   | {type: "Key", colours: number[][], ends: string[], size: number, heat: boolean}
 *   | {type: "Logo", file: string} | {type: "Curves"} | {type: "Film"})} Item
 * @typedef {{main: Item[], proof: Item[]|null, alone: Item[][]}} Layout  alone: a page for each panel of several
 * @typedef {{id: string, slide: number, start: boolean, title: string, theme: "dark"|"light", scenes: Scene[], layouts: Layout[], blobs: Uint8Array[],
 *   colormaps: Map<string, Colours>}} Deck
 * @typedef {{id: string, slide: number, start: boolean, title: string, theme: "dark"|"light",
 *   colormaps: {name: string, uniform: boolean, hot: string, lut: string}[]}} DeckHead
 * @typedef {{picture: Picture, pictures: (Picture|null)[], maps: import("../../browser/draw.js").HeatMap[][]}} Decoded  pictures: panels' own; maps: of
 *   each panel
 * @typedef {{name: string, answers: [string, number][], maps: SceneMap[], boxes: [number[], string, number][], picture: number|null, size: number[],
 *   seen?: number[]|null}} PackedPanel
 * @typedef {Omit<Scene, "file"|"clip"|"panels"|"colormaps"> & {picture: number|null, clip: number|null, panels: PackedPanel[]}} PackedScene
 */

/** Take apart what `sightglass.deck.html_file.player_data` packed. @param {DeckHead} head @param {Uint8Array} data @returns {Deck} */
export function readDeck({ id, slide, start, title, theme, colormaps }, data) {
  const outer = unpack(data), inner = unpack(outer.blobs[0]), { scenes } = /** @type {{scenes: PackedScene[]}} */ (inner.head);
  const { layouts } = /** @type {{layouts: Layout[]}} */ (outer.head);
  const uniform = colormaps.filter((one) => one.uniform).map(({ name }) => name);
  const luts = new Map(colormaps.map(({ name, lut, hot }) => [name, { lut: bytes(lut), hot }]));
  const read = scenes.map((one) => sceneOf(one, inner.blobs, uniform, luts)), at = Math.max(0, Math.min(slide, scenes.length - 1));
  return { id, start, slide: at, title, theme, scenes: read, layouts, blobs: inner.blobs, colormaps: luts };
}

/** @param {PackedScene} given @param {Uint8Array[]} blobs @param {string[]} uniform @param {Map<string, Colours>} luts @returns {Scene} */
function sceneOf({ picture, clip, panels, view, ...rest }, blobs, uniform, luts) {
  const colormap = luts.has(view.colormap) ? view.colormap : uniform[0];
  return {
    ...{ ...rest, view: { ...view, colormap }, colormaps: [...new Set([colormap, ...uniform])] },
    ...{ file: picture === null ? null : blobs[picture], clip: clip === null ? null : blobs[clip] },
    panels: panels.map(({ name, maps, answers, boxes, picture: own, size, seen = null }) => ({
      ...{ name, maps, answers: answersOf(answers, boxes, maps), boxes: boxes.length > 0 },
      ...(own === null ? { file: null, size: rest.size, seen: null } : { file: blobs[own], size, seen }),
    })),
  };
}

/**
 * The answers, each with its box and its map; one that has a map and no score comes last.
 * @param {[string, number][]} listed @param {[number[], string, number][]} boxes @param {SceneMap[]} maps @returns {Answer[]}
 */
export function answersOf(listed, boxes, maps) {
  /** @type {Set<number>} */
  const taken = new Set();
  const claim = (/** @type {(map: SceneMap) => boolean} */ fits) => {
    const found = maps.findIndex((map, i) => !taken.has(i) && fits(map));
    if (found < 0) return null;
    taken.add(found);
    return found;
  };
  const near = (/** @type {number[]} */ a, /** @type {number[]|null} */ b) => b?.every((edge, i) => Math.abs(edge - a[i]) < 1e-3) ?? false;
  /** @type {Answer[]} */
  const answers = boxes.length
    ? boxes.map(([box, label, score]) => ({ label, score, box, map: claim((map) => map.label === label && near(box, map.box)) }))
    : listed.map(([label, score]) => ({ label, score, box: null, map: claim((map) => map.label === label) }));
  // A map of a whole class is that of all boxes of its name.
  for (const [i, { label, box }] of maps.entries()) {
    if (box || taken.has(i)) continue;
    for (const answer of answers.filter((one) => one.box && one.label === label && one.map === null)) {
      answer.map = i;
      taken.add(i);
    }
  }
  const rest = maps.map(({ label, score, box }, map) => ({ label, score, box, map })).filter(({ map }) => !taken.has(map));
  return [...answers, ...rest];
}

/** The pictures and maps of the slides around the one that is shown; those further away are forgotten. */
export class Shelf {
  /** @type {Map<number, Promise<Decoded>>} */
  #known = new Map();

  /** @param {Deck} deck */
  constructor(deck) {
    this.deck = deck;
  }

  /** @param {number} slide @returns {Promise<Decoded>|null} null where it has no picture */
  at(slide) {
    const scene = this.deck.scenes[slide];
    if (!scene || !(scene.file ?? scene.panels.some(({ file }) => file))) return null;
    let found = this.#known.get(slide);
    if (!found) this.#known.set(slide, (found = decode(this.deck, this.deck.scenes[slide])));
    return found;
  }

  /** Have the next slide ready, and no more than the neighbours. @param {number} slide */
  around(slide) {
    for (const [at, decoded] of this.#known) {
      if (Math.abs(at - slide) <= 1) continue;
      this.#known.delete(at);
      decoded.then(forget, () => {});
    }
    for (const next of [slide + 1, slide - 1]) this.at(next)?.catch(() => {});
  }

  close() {
    for (const decoded of this.#known.values()) decoded.then(forget, () => {});
    this.#known.clear();
  }
}

/** @param {Deck} deck @param {Scene} scene @returns {Promise<Decoded>} */
async function decode({ blobs }, { file, size, panels }) {
  const first = file ?? /** @type {Uint8Array} */ (panels.find((panel) => panel.file)?.file);
  const picture = await pictureOf(first, file ? size : panels.find((panel) => panel.file)?.size ?? size);
  const pictures = await Promise.all(panels.map((panel) => (panel.file ? pictureOf(panel.file, panel.size) : null)));
  const maps = await Promise.all(panels.map((panel) => Promise.all(panel.maps.map((map) => heatMap(map, blobs, panel.size)))));
  return { picture, pictures, maps };
}

/** @param {Uint8Array} file @param {number[]} size */
async function pictureOf(file, size) {
  return new Picture(await createImageBitmap(blobOf(file)), size);
}

/** @param {SceneMap} map @param {Uint8Array[]} blobs @param {number[]} size */
async function heatMap({ label, seen, signed, values: { blob, shape } }, blobs, size) {
  const levels = summed(await inflated(blobs[blob], shape[0] * shape[1]), shape[1]);
  /** @type {Uint16Array|null} */
  let values = null;
  const extent = [0, 0, ...size], part = (seen ?? [0, 0, 1, 1]).map((edge, i) => edge * size[i % 2]);
  // Of a signed map 128 is 0, and 1 and 255 are as far from it.
  const wide = signed ? (/** @type {number} */ level) => Math.round((Math.max(0, level - 1) * 65535) / 254) : (/** @type {number} */ level) => 257 * level;
  const head = { title: label, note: "", text: "", kind: signed ? "signed" : "heat", shape, extent, seen: part, raw: null, cells: null, sides: null, own: 0, shared: null };
  return createMap(head, () => (values ??= Uint16Array.from(levels, wide)), null);
}

/** @param {Decoded} decoded */
function forget({ picture, pictures }) {
  for (const one of [picture, ...pictures]) one?.close();
}

/** Sum in place what each row was packed as: differences to the left. @param {Uint8Array} steps @param {number} width */
export function summed(steps, width) {
  for (let i = 0; i < steps.length; i++) if (i % width) steps[i] += steps[i - 1];
  return steps;
}
