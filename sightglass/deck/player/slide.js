// One slide on the stage: made once, then shown as the state says. What appears only fades and grows, which the browser
// does between two frames of ours.

import { blobOf } from "../../browser/component.js";
import { make, write } from "../../browser/elements.js";
import { fitted } from "../../browser/geometry.js";
import { fits, shrink } from "./make.js";
import { PanelView } from "./panel.js";
import { ProofView } from "./proving.js";
import { chosenOf, isBuilt, mapOf, sealLine, sealOf, sentenceOf, shownOf, stepOf } from "./state.js";

/**
 * @typedef {import("./scenes.js").Deck} Deck @typedef {import("./state.js").State} State
 * @typedef {(action: import("./state.js").Action) => void} Do
 */

/** Letters of the smallest text, by the height of the stage in units of a hundredth. */
const SMALL = 2.6;
/** Of a row, the width that one picture may take. */
const WIDE = 0.62;

export class SlideView {
  #moving = 0;
  #closed = false;
  /** @type {ProofView|null} */
  #proof = null;
  /** @type {HTMLVideoElement|null} */
  #video = null;
  #address = "";
  #title = make("h2", "title");
  #sentence = make("p", "sentence");
  #panels = make("div", "panels");
  #side = make("div", "side");

  /** @param {Deck} deck @param {number} slide @param {import("./scenes.js").Shelf} shelf @param {Do} on @param {() => void} changed  when it is decoded */
  constructor(deck, slide, shelf, on, changed) {
    this.deck = deck;
    this.slide = slide;
    this.scene = deck.scenes[slide];
    this.single = this.scene.kind === "picture";
    this.element = make("div", "slide", "", [make("header", "", "", [this.#title, this.#sentence])]);
    this.element.dataset.kind = this.scene.kind;
    this.body = make("div", "body");
    this.on = on;
    /** @type {PanelView[]} */
    this.views = [];
    this.#build();
    shelf.at(slide)?.then(({ picture, maps }) => {
      if (this.#closed) return;
      this.views.forEach((view, i) => view.take(picture, maps[i] ?? []));
      this.element.dataset.ready = "";
      changed();
    }, () => {
      this.element.dataset.ready = "";
      write(this.#sentence, "The picture of this slide cannot be shown: its file is damaged.");
    });
  }

  #build() {
    const { scene, on, element, body } = this;
    write(this.#title, scene.title);
    write(this.#sentence, scene.sentence);
    if (scene.clip) this.#film(scene.clip);
    else if (scene.file) {
      this.views = (scene.panels.length ? scene.panels : [null]).map((_, i) => new PanelView(scene, i, this.single, {
        answer: (value) => on({ do: "answer", value }),
        show: () => on({ do: "show", value: i }),
        hold: (held) => on({ do: "set", value: { plain: held } }),
      }));
      this.#panels.append(...this.views.map((view) => view.element));
      body.append(this.#panels, this.#side);
      if (this.single) this.#side.append(...this.views.map(({ list }) => list));
      this.#prove();
    }
    if (body.children.length) element.append(body);
    // Across the whole slide where there is one picture.
    if (this.single) element.append(...this.views.map(({ seal }) => seal));
    if (!scene.file || scene.clip) element.dataset.ready = "";
  }

  #prove() {
    const { scene: { proof }, on } = this;
    if (!proof || !this.views[proof.panel]) return;
    this.#proof = new ProofView(proof, {
      share: (share) => on({ do: "set", value: { share } }),
      keeps: (keeps) => on({ do: "set", value: { keeps } }),
    });
    this.#side.append(this.#proof.element);
  }

  /** @param {Uint8Array} clip */
  #film(clip) {
    const video = make("video");
    this.#address = URL.createObjectURL(blobOf(clip, "video/mp4"));
    Object.assign(video, { src: this.#address, loop: true, playsInline: true, preload: "auto" });
    video.setAttribute("aria-label", this.scene.title || "Clip");
    video.addEventListener("click", () => this.on({ do: "toggle" }));
    this.#video = video;
    this.body.append(make("div", "space", "", [video]));
  }

  /** Fit everything into the stage. @param {number} unit CSS pixels of a hundredth of its height @param {boolean} upright @param {State} state */
  fit(unit, upright, state) {
    const { element, scene, body } = this, proves = stepOf(this.deck.scenes, state) === "proof", alone = this.#alone(state, proves);
    this.#words(unit, state);
    element.classList.toggle("proving", proves);
    element.classList.toggle("solo", alone !== null && !this.single && !proves);
    element.classList.toggle("tall", scene.size[1] > scene.size[0]);
    for (const [i, view] of this.views.entries()) {
      const shown = alone === null || alone === i;
      view.element.hidden = !shown;
      view.list.hidden = proves || !shown;
    }
    this.#fitSeals(state);
    const share = this.#side.textContent ? WIDE : 1;
    const width = alone === null || upright ? 0 : fitted(scene.size, share * body.clientWidth, body.clientHeight)[0];
    for (const view of this.views) {
      view.space.style.width = width ? `${width}px` : "";
      view.space.style.flex = "";
      if (view.element.hidden) continue;
      const [w, h] = fitted(scene.size, view.space.clientWidth, view.space.clientHeight);
      view.fit(w, h);
      // A name above it leaves less height: what is not used of the width is the answers'.
      if (width) view.space.style.width = `${w}px`;
      else if (!this.single) view.space.style.flex = `0 0 ${h}px`;
    }
    const of = this.#proof && this.views[this.#proof.proof.panel];
    if (!proves || !this.#proof || !of) return;
    this.#proof.size(SMALL * unit, state.keeps);
    const heat = of.heat(this.#proof.proof.map);
    if (heat) this.#proof.place(of.veil, heat.map.seen, scene.size, [of.frame.clientWidth, of.frame.clientHeight]);
  }

  /** Fit title and sentence; what is said of its proof and of other maps takes the same room, so that nothing moves. @param {number} unit @param {State} state */
  #words(unit, state) {
    const { scene } = this, bare = this.element.dataset.kind === "words", line = this.#sentence;
    shrink(this.#title, bare ? 9 : 6, 3.4);
    if (bare) return shrink(line, 4.4, SMALL);
    const maps = scene.panels.flatMap((panel) => panel.maps.map(({ sentence }) => sentence ?? ""));
    const every = [scene.sentence, scene.proof?.sentence ?? "", ...maps], shown = sentenceOf(this.deck.scenes, state);
    let most = 0;
    for (const words of [...every.filter((one) => one !== shown), shown]) {
      write(line, words);
      line.style.height = line.style.maxHeight = "";
      shrink(line, 3.6, SMALL);
      // What is too long even so takes more of the slide: a proof's sentence can be.
      if (!fits(line)) line.style.maxHeight = `${24 * unit}px`;
      most = Math.max(most, words ? line.clientHeight : 0);
    }
    line.style.height = `${most}px`;
  }

  /** Give the seals the height that the longest of them takes, so that none of them moves a picture. @param {State} state */
  #fitSeals(state) {
    for (const [i, { seal, panel, element }] of this.views.entries()) {
      const lines = panel.maps.map((map) => sealLine(this.scene, map));
      seal.hidden = element.hidden || !lines.some(Boolean);
      if (seal.hidden) continue;
      seal.style.height = "";
      const heights = lines.map((line) => {
        write(seal, line);
        return seal.clientHeight;
      });
      seal.style.height = `${Math.max(...heights)}px`;
      write(seal, sealOf(this.deck.scenes, state, i));
    }
  }

  /** The panel that stands alone; null where all do. @param {State} state @param {boolean} proves */
  #alone(state, proves) {
    if (proves) return this.scene.proof?.panel ?? null;
    return state.panel;
  }

  /** @param {State} state @param {boolean} moving  a hand moves a slider */
  show(state, moving) {
    const { scenes, colormaps } = this.deck, { scene } = this, proves = stepOf(scenes, state) === "proof";
    const colours = colormaps.get(state.colormap) ?? [...colormaps.values()][0];
    this.element.dataset.step = stepOf(scenes, state);
    this.element.classList.toggle("built", isBuilt(scenes, state));
    write(this.#sentence, sentenceOf(scenes, state));
    for (const [i, view] of this.views.entries()) {
      const map = proves ? (scene.proof?.map ?? null) : mapOf(scene, state, i), shown = shownOf(scenes, state, i);
      const chosen = shown === "picture" || shown === "later" ? null : chosenOf(scene, state, i);
      view.show(shown, map, chosen, state.plain || state.mode === "picture");
      write(view.seal, sealOf(scenes, state, i));
      if (!view.element.hidden && map !== null && state.mode !== "picture") view.paint(map, state, colours, moving);
    }
    if (proves) this.#showProof(state);
    this.#play(state.playing && !state.black);
  }

  /** @param {State} state */
  #showProof(state) {
    const proof = this.#proof, of = proof && this.views[proof.proof.panel];
    if (!proof || !of) return;
    proof.show(state.share, state.keeps);
    const heat = of.heat(proof.proof.map);
    if (proof.ready || !heat || this.#moving) return;
    this.#moving = 1;
    void proof.take(of.veil, heat, this.scene.size).then(() => {
      this.element.dataset.proof = "";
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
