// One slide on the stage, laid out by Python (sightglass/deck/layout.py): every item has its place. What appears only
// fades and grows, which the browser does between two frames of ours.

import { blobOf } from "../../browser/component.js";
import { make, write } from "../../browser/elements.js";
import { gradient } from "../../browser/table.js";
import { BarsView, PanelView, drawKey, drawText } from "./panel.js";
import { ProofView } from "./proving.js";
import { chosenOf, footOf, isBuilt, mapOf, pageOf, reached, sentenceOf, shownOf, stepOf, titleOf } from "./state.js";

/**
 * @typedef {import("./scenes.js").Deck} Deck @typedef {import("./state.js").State} State @typedef {import("./scenes.js").Item} Item
 * @typedef {(action: import("./state.js").Action) => void} Do
 * @typedef {{element: HTMLElement, texts: [string, HTMLElement][], sights: PanelView[], bars: BarsView[], keys: HTMLElement[],
 *   proof: ProofView|null}} PageView
 */

/** Letters of a chart, in units of a ninetieth of the slide's height. */
const SMALL = 2.3;

export class SlideView {
  #closed = false;
  #moving = 0;
  #unit = 1;
  #address = "";
  /** @type {HTMLVideoElement|null} */
  #video = null;
  /** @type {import("./scenes.js").Decoded|null} */
  #decoded = null;
  /** @type {Map<string, PageView>} */
  #pages = new Map();

  /** @param {Deck} deck @param {number} slide @param {import("./scenes.js").Shelf} shelf @param {Do} on @param {() => void} changed  when it is decoded */
  constructor(deck, slide, shelf, on, changed) {
    this.deck = deck;
    this.slide = slide;
    this.scene = deck.scenes[slide];
    this.layout = deck.layouts[slide];
    this.on = on;
    this.element = make("div", "slide");
    this.element.dataset.kind = this.scene.kind;
    const coming = shelf.at(slide);
    if (!coming) this.element.dataset.ready = "";
    coming?.then((decoded) => {
      if (this.#closed) return;
      this.#decoded = decoded;
      for (const page of this.#pages.values()) this.#give(page);
      this.element.dataset.ready = "";
      changed();
    }, () => {
      this.element.dataset.ready = "";
      this.element.append(make("p", "damaged", "The picture of this slide cannot be shown: its file is damaged."));
    });
  }

  /** The page that the state shows, made when it is first seen. @param {State} state @returns {PageView} */
  #page(state) {
    const name = pageOf(this.deck.scenes, state);
    let page = this.#pages.get(name);
    if (!page) {
      page = this.#build(name === "proof" ? this.layout.proof ?? [] : name === "main" ? this.layout.main : this.layout.alone[Number(name)]);
      page.element.dataset.page = name;
      this.#pages.set(name, page);
      this.element.append(page.element);
      this.#give(page);
      this.#fit(page);
    }
    for (const [other, { element }] of this.#pages) element.hidden = other !== name;
    return page;
  }

  /** @param {Item[]} items @returns {PageView} */
  #build(items) {
    /** @type {PageView} */
    const page = { element: make("div", "page"), texts: [], sights: [], bars: [], keys: [], proof: null };
    for (const item of items) {
      const node = this.#node(item, page);
      if (!node) continue;
      const { left, top, width, height } = item.place, unit = (/** @type {number} */ value) => `calc(${value.toFixed(3)} * var(--v))`;
      Object.assign(node.style, { left: unit(left), top: unit(top), width: unit(width), height: unit(height) });
      node.classList.add("item");
      page.element.append(node);
    }
    return page;
  }

  /** @param {Item} item @param {PageView} page @returns {HTMLElement|null} */
  #node(item, page) {
    const { scene, on } = this;
    switch (item.type) {
      case "Text": {
        const node = drawText(item);
        page.texts.push([item.name, node]);
        return node;
      }
      case "Sight": {
        const sight = new PanelView(scene, item, (held) => on({ do: "set", value: { plain: held } }), () => on({ do: "show", value: item.panel }));
        page.sights.push(sight);
        return sight.frame;
      }
      case "Bars": {
        const bars = new BarsView(scene, item, (value) => on({ do: "answer", value }));
        page.bars.push(bars);
        return bars.list;
      }
      case "Key": {
        const node = drawKey(item);
        page.keys.push(node);
        return node;
      }
      case "Curves": {
        if (!scene.proof) return null;
        page.proof = new ProofView(scene.proof, {
          share: (share) => on({ do: "set", value: { share } }),
          keeps: (keeps) => on({ do: "set", value: { keeps } }),
        });
        return page.proof.element;
      }
      case "Film":
        return this.#film();
      case "Logo": {
        const image = make("img", "logo");
        Object.assign(image, { src: item.file, alt: "" });
        return image;
      }
      default:
        return null;
    }
  }

  #film() {
    const { clip } = this.scene, video = make("video");
    if (!clip) return null;
    this.#address ||= URL.createObjectURL(blobOf(clip, "video/mp4"));
    Object.assign(video, { src: this.#address, loop: true, playsInline: true, preload: "auto" });
    video.setAttribute("aria-label", this.scene.title || "Clip");
    video.addEventListener("click", () => this.on({ do: "toggle" }));
    this.#video = video;
    return video;
  }

  /** @param {PageView} page */
  #give({ sights }) {
    const decoded = this.#decoded;
    if (decoded) for (const sight of sights) sight.take(decoded.pictures[sight.item.panel] ?? decoded.picture, decoded.maps[sight.item.panel] ?? []);
  }

  /** Give canvases and charts the size of the stage. @param {number} unit CSS pixels of a ninetieth of the slide's height @param {boolean} keeps */
  fit(unit, keeps) {
    this.#unit = unit;
    for (const page of this.#pages.values()) this.#fit(page, keeps);
  }

  /** @param {PageView} page @param {boolean} [keeps] */
  #fit(page, keeps = false) {
    for (const sight of page.sights) sight.fit();
    const { proof } = page, of = this.#proved(page);
    if (!proof || page.element.hidden) return;
    const map = of?.heat(proof.proof.map);
    proof.size(Math.max(SMALL * this.#unit, 9), keeps);
    if (of && map) proof.place(of.veil, map.map.seen, this.scene.size, of.size);
  }

  /** Where a proof hides the picture. @param {PageView} page */
  #proved({ sights }) {
    return sights.find(({ item }) => item.map !== null) ?? sights[0];
  }

  /** @param {State} state @param {boolean} moving  a hand moves a slider */
  show(state, moving) {
    const { scenes, colormaps, theme } = this.deck, { scene } = this, page = this.#page(state), proves = stepOf(scenes, state) === "proof";
    const colours = colormaps.get(state.colormap) ?? [...colormaps.values()][0], said = reached(scenes, state, "said") || isBuilt(scenes, state);
    this.element.dataset.step = stepOf(scenes, state);
    this.element.classList.toggle("built", isBuilt(scenes, state));
    this.element.classList.toggle("said", said);
    this.element.classList.toggle("looked", (reached(scenes, state, "looked") || isBuilt(scenes, state)) && !state.plain);
    this.element.classList.toggle("proving", proves);
    for (const sight of page.sights) {
      const { panel } = sight.item, shown = shownOf(scenes, state, panel), map = proves ? (scene.proof?.map ?? null) : mapOf(scene, state, panel);
      const shows = sight.item.map === null ? null : map;
      sight.show(shown, shows, state.plain || state.mode === "picture");
      sight.mark(chosenOf(scene, state, panel));
      if (shows !== null && state.mode !== "picture") sight.paint(shows, state, colours, moving, theme !== "light");
    }
    for (const bars of page.bars) bars.show(scene.bars.length ? bars.item.chosen : chosenOf(scene, state, bars.item.panel));
    for (const key of page.keys) {
      if (key.dataset.heat) key.style.setProperty("--colours", gradient(colours.lut));
    }
    for (const [name, node] of page.texts) this.#say(name, node, state, page);
    if (proves) this.#showProof(state, page);
    this.#play(state.playing && !state.black);
  }

  /** @param {string} name @param {HTMLElement} node @param {State} state @param {PageView} page */
  #say(name, node, state, page) {
    const { scenes } = this.deck;
    if (name === "Title") write(node, titleOf(scenes, state, node.dataset.words ?? ""));
    if (name === "Sentence" && node.dataset.words !== undefined) write(node, sentenceOf(scenes, state, node.dataset.words));
    if (name === "Footer") write(node, footOf(scenes, state, node.dataset.words ?? ""));
    const label = /^Label (\d+)$/.exec(name);
    if (label) node.classList.toggle("chosen", page.sights.some(({ chosen }) => chosen.includes(Number(label[1]))));
    const caption = /^Caption (\d+)$/.exec(name);
    if (caption) node.classList.toggle("later", shownOf(scenes, state, Number(caption[1])) === "later");
  }

  /** @param {State} state @param {PageView} page */
  #showProof(state, page) {
    const { proof } = page, of = this.#proved(page);
    if (!proof || !of) return;
    proof.show(state.share, state.keeps);
    const heat = of.heat(proof.proof.map);
    if (proof.ready || !heat || this.#moving) return;
    this.#moving = 1;
    void proof.take(of.veil, heat, this.scene.size).then(() => {
      this.element.dataset.proof = "";
      if (!this.#closed) this.#fit(page, state.keeps);
      if (!this.#closed) this.on({ do: "set", value: {} });
    });
  }

  /** @param {boolean} plays */
  #play(plays) {
    const video = this.#video;
    if (!video || video.paused === !plays) return;
    if (!plays) return video.pause();
    // Before anything was pressed on the page, browsers play only what is silent.
    video.play().catch(() => {
      video.muted = true;
      video.play().catch(() => {});
    });
  }

  close() {
    this.#closed = true;
    this.#video?.pause();
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.element.remove();
  }
}
