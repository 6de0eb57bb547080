// The player of decks: what a person does becomes the next state, and the state is shown.

import { CHOICES } from "../../common/style.js";
import { byTouch, componentOf, find, onceAFrame, onResize } from "../../browser/component.js";
import { make, write } from "../../browser/elements.js";
import { gradient } from "../../browser/table.js";
import { HELP, act, actionOf, begin, belongsTo, reached, stepOf } from "./state.js";
import { Notes } from "./notes.js";
import { readDeck, Shelf } from "./scenes.js";
import { SlideView } from "./slide.js";

/**
 * @typedef {import("./state.js").State} State @typedef {import("./state.js").Action} Action
 */

/** Milliseconds after the pointer rested that the bar goes, and after a slider did that a map is drawn finely. */
const AWAKE_MS = 2_500;
const STILL_MS = 140;
const SAID_MS = 6_000;
/** CSS pixels of a window in which a slide on the page is taller than wide. */
const PHONE_WIDTH = 640;
/** CSS pixels of a stage on the page below which its bar has no room for more than what one presents with. */
const SMALL_WIDTH = 760;

export class Stage {
  /** @type {import("./scenes.js").Deck|null} */
  #deck = null;
  /** @type {State|null} */
  #state = null;
  /** @type {Shelf|null} */
  #shelf = null;
  /** @type {SlideView|null} */
  #view = null;
  /** @type {Notes|null} */
  #notes = null;
  #awake = 0;
  #moving = 0;
  #told = 0;
  /** The slide that Python asked for last. */
  #given = 0;
  #fits = true;
  #draw = onceAFrame(() => this.#drawn());
  /** What Python hears. @type {import("../../browser/component.js").Send} */
  send = () => {};

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    this.room = find(root, ".room");
    this.bar = find(root, ".bar");
    this.#wire(signal);
    onResize(root, () => this.#again(), signal);
    signal.addEventListener("abort", () => this.close());
  }

  /** @param {AbortSignal} signal */
  #wire(signal) {
    const { root } = this, $ = (/** @type {string} */ name) => find(root, name);
    find(root, ".styles").append(...CHOICES.mode.map((mode) => {
      const button = make("button", "", mode[0].toUpperCase() + mode.slice(1));
      button.dataset.mode = mode;
      button.addEventListener("click", () => this.on({ do: "set", value: { mode, plain: false } }));
      return button;
    }));
    $(".help").append(make("h2", "title", "Keys"), make("dl", "", "", HELP.flatMap(([keys, what]) => [make("dt", "", keys), make("dd", "", what)])));
    for (const [name, action] of /** @type {[string, Action["do"]][]} */ ([[".back", "previous"], [".forth", "next"], [".colours", "colormap"], [".keys", "help"]])) {
      $(name).addEventListener("click", () => this.on(/** @type {Action} */ ({ do: action })));
    }
    $(".full").addEventListener("click", () => this.#full());
    $(".bar .place").addEventListener("click", () => this.#ask());
    $(".goto").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#go(Number(/** @type {HTMLInputElement} */ ($(".goto input")).value));
    });
    $(".notes").addEventListener("click", () => this.#openNotes());
    for (const name of [".help", ".black"]) $(name).addEventListener("click", () => this.on({ do: "escape" }));
    $(".alpha").addEventListener("input", ({ target }) => this.#slide({ opacity: Number(/** @type {HTMLInputElement} */ (target).value) }));
    $(".threshold").addEventListener("input", ({ target }) => this.#slide({ threshold: Number(/** @type {HTMLInputElement} */ (target).value) }));
    root.addEventListener("pointermove", () => this.#wake());
    // The arrows are the slides' again once a mouse let go of a control; who came there by Tab stays.
    root.addEventListener("pointerup", () => setTimeout(() => root.focus({ preventScroll: true })));
    window.addEventListener("keydown", (event) => {
      if (this.isFull() || root.contains(event.composedPath()[0] instanceof Node ? /** @type {Node} */ (event.composedPath()[0]) : null)) this.pressed(event);
    }, { capture: true, signal });
    document.addEventListener("fullscreenchange", () => this.#changed(), { signal });
  }

  /** Whether the stage fills the screen, or the page it is alone on. */
  isFull() {
    const { fullscreenElement } = /** @type {Document|ShadowRoot} */ (this.root.getRootNode());
    return fullscreenElement === this.root || this.root.classList.contains("alone");
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const { target } = event, from = event.composedPath()[0] ?? target, proving = this.#proves();
    // The controls that Tab goes through are there only while somebody is.
    if (event.key === "Tab") this.#wake();
    if (from === find(this.root, ".goto input")) return void (event.key === "Escape" && this.#go(0));
    if (!this.#deck || belongsTo(event, from)) return;
    const action = actionOf(event, proving);
    if (!action) return;
    // The page around has keys of its own.
    event.preventDefault();
    event.stopPropagation();
    if (action.do === "full") this.#full();
    else if (action.do === "goto") this.#ask();
    else if (action.do === "theme") this.#turn();
    else if (action.do === "notes") this.#openNotes();
    else this.on(/** @type {Action} */ (action));
  }

  #proves() {
    return Boolean(this.#deck && this.#state && stepOf(this.#deck.scenes, this.#state) === "proof");
  }

  /** @param {Action} action */
  on(action) {
    if (!this.#deck || !this.#state) return;
    const before = this.#state, after = act(this.#deck.scenes, before, action);
    this.#state = after;
    if (after.slide !== before.slide) this.#open();
    if (after.step !== before.step || after.choice !== before.choice || after.panel !== before.panel || after.keeps !== before.keeps) this.#fits = false;
    this.#draw();
  }

  /** @param {Partial<State>} value  while a hand moves: coarse, and fine once it rests */
  #slide(value) {
    clearTimeout(this.#moving);
    this.#moving = window.setTimeout(() => {
      this.#moving = 0;
      this.#draw();
    }, STILL_MS);
    this.on({ do: "set", value: { ...value, plain: false } });
  }

  #wake() {
    this.root.classList.add("awake");
    clearTimeout(this.#awake);
    this.#awake = window.setTimeout(() => this.root.classList.remove("awake"), AWAKE_MS);
  }

  #full() {
    if (this.#deck && this.#state && !this.isFull()) this.#state = begin(this.#deck.scenes, this.#state.slide);
    if (/** @type {Document|ShadowRoot} */ (this.root.getRootNode()).fullscreenElement === this.root) void document.exitFullscreen();
    else this.root.requestFullscreen().catch(() => this.#say("This browser does not allow the full screen here."));
    this.root.focus({ preventScroll: true });
  }

  #changed() {
    const full = this.isFull();
    this.root.classList.toggle("filling", full);
    if (!full && this.#state) {
      this.#state = { ...this.#state, black: false, help: false, playing: false };
      this.send("slide", this.#state.slide);
    }
    this.#again();
  }

  /** Ask for the number of a slide. */
  #ask() {
    const form = find(this.root, ".goto"), input = /** @type {HTMLInputElement} */ (find(this.root, ".goto input"));
    form.hidden = false;
    input.max = String(this.#deck?.scenes.length ?? 1);
    input.value = "";
    // A pointer that is let go gives the keys back to the stage.
    setTimeout(() => input.focus(), 50);
  }

  /** @param {number} number  of a slide, from 1; another only closes the question */
  #go(number) {
    find(this.root, ".goto").hidden = true;
    this.root.focus({ preventScroll: true });
    if (this.#deck && number >= 1) this.on({ do: "slide", value: Math.min(number, this.#deck.scenes.length) - 1 });
  }

  /** From dark to light, and back. */
  #turn() {
    if (!this.#deck) return;
    this.#deck.theme = this.#deck.theme === "light" ? "dark" : "light";
    this.#draw();
  }

  #openNotes() {
    if (!this.#notes?.start()) return this.#say("The browser kept the second window from opening: allow pop-ups for this page, then press N again.");
    this.#draw();
  }

  /** @param {string} words  for a moment */
  #say(words) {
    const spoken = find(this.root, ".spoken");
    spoken.textContent = words;
    clearTimeout(this.#told);
    this.#told = window.setTimeout(() => (spoken.textContent = ""), SAID_MS);
  }

  #again() {
    this.#fits = false;
    this.#draw();
  }

  /** @param {import("../../browser/component.js").Given<import("./scenes.js").DeckHead>} run */
  show({ data, blobs, setStateValue }) {
    this.send = setStateValue;
    const deck = readDeck(data, blobs[0]), given = this.#given, before = this.#state;
    this.#given = deck.slide;
    if (deck.id === this.#deck?.id) {
      if (given === deck.slide || before?.slide === deck.slide) return;
      this.#state = this.#beginning(deck, deck.slide);
      this.#open();
      this.#draw();
      return;
    }
    this.#shelf?.close();
    this.#notes?.close();
    this.#deck = deck;
    this.#shelf = new Shelf(deck);
    this.#notes = new Notes(deck, this.root, (event) => this.pressed(event), (action) => this.on(action));
    this.root.setAttribute("aria-label", deck.title || "Slides");
    this.#view?.close();
    this.#view = null;
    // A deck that was edited stays at its slide, unless the page went to another.
    const slide = before && given === deck.slide ? Math.min(before.slide, deck.scenes.length - 1) : deck.slide;
    this.#state = deck.scenes.length ? this.#beginning(deck, slide) : null;
    if (this.#state) this.#open();
    this.#draw();
    // The click that brought the stage to the page opens the whole screen, while the browser still takes it for that.
    if (deck.start && !before && navigator.userActivation?.isActive) this.#full();
  }

  /** On the page it is a preview, of the whole slide and silent; a room sees it built up. @param {import("./scenes.js").Deck} deck @param {number} slide */
  #beginning({ scenes }, slide) {
    const full = this.isFull(), state = begin(scenes, slide, !full);
    return { ...state, playing: state.playing && full };
  }

  #open() {
    if (!this.#deck || !this.#state || !this.#shelf) return;
    this.#view?.close();
    this.#shelf.around(this.#state.slide);
    this.#view = new SlideView(this.#deck, this.#state.slide, this.#shelf, (action) => this.on(action), () => this.#again());
    this.room.prepend(this.#view.element);
    this.#fits = false;
  }

  #drawn() {
    const view = this.#view, state = this.#state, deck = this.#deck, { root } = this;
    if (!view || !state || !deck || !this.#shelf) return;
    const full = this.isFull(), { clientWidth: width, clientHeight: height } = root, upright = innerWidth < PHONE_WIDTH && !full;
    if (!width || (full && !height)) return;
    root.classList.toggle("small", !full && !upright && width < SMALL_WIDTH);
    root.classList.toggle("upright", upright);
    root.classList.toggle("light", deck.theme === "light");
    const unit = full ? Math.min(width / 160, height / 90) : width / 160;
    root.style.setProperty("--v", `${unit}px`);
    root.style.setProperty("--u", `${0.9 * unit}px`);
    this.#controls(state, deck);
    view.show(state, this.#moving > 0);
    if (!this.#fits) {
      this.#fits = true;
      view.fit(unit, state.keeps);
      view.show(state, this.#moving > 0);
    }
    this.#notes?.show(state, this.#shelf);
    root.dataset.slide = String(state.slide);
    root.dataset.step = stepOf(deck.scenes, state);
  }

  /** @param {State} state @param {import("./scenes.js").Deck} deck */
  #controls(state, { scenes, colormaps }) {
    const { root } = this, $ = (/** @type {string} */ name) => find(root, name), heated = reached(scenes, state, "looked") && !this.#proves();
    $(".help").hidden = !state.help;
    $(".black").hidden = !state.black;
    write($(".bar .place"), `${state.slide + 1} / ${scenes.length}`);
    for (const name of [".heat", ".strength", ".styles", ".colours"]) $(name).hidden = !heated;
    $(".heat").hidden ||= state.mode === "picture";
    $(".alpha").value = String(state.opacity);
    $(".alpha").disabled = !["overlay", "spotlight"].includes(state.mode);
    $(".threshold").value = String(state.threshold);
    const lut = colormaps.get(state.colormap)?.lut;
    if (lut) $(".threshold").style.setProperty("--colours", gradient(lut));
    const words = state.colormap.replaceAll("_", " ");
    write($(".colours"), words[0].toUpperCase() + words.slice(1));
    write($(".weak"), state.threshold ? `From ${state.threshold.toFixed(2)}` : "Weak");
    for (const button of $(".styles").children) button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.mode === state.mode));
    $(".notes").hidden = byTouch();
  }

  close() {
    for (const timer of [this.#awake, this.#moving, this.#told]) clearTimeout(timer);
    this.#notes?.close();
    this.#view?.close();
    this.#shelf?.close();
  }
}

export default componentOf(".stage", Stage);
