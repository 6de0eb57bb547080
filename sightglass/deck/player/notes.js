// The second window, for who presents: this slide and the next, notes, clock, time since the start and time left. It follows the
// stage, and its keys are the stage's.

import { make } from "../../browser/elements.js";
import { SlideView } from "./slide.js";
import { begin, stepsOf } from "./state.js";

/** @typedef {import("./scenes.js").Deck} Deck @typedef {import("./state.js").State} State */

const STYLE = `
  body { margin: 0; padding: 16px 20px; background: #141414; color: #f2f2f2; font: 17px/1.45 Arial, "Liberation Sans", Helvetica, sans-serif;
    display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); align-content: start; gap: 12px 24px; }
  .top { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: 8px 20px; align-items: baseline; font-variant-numeric: tabular-nums; }
  .clock, .elapsed, .left { font-size: 30px; font-weight: 600; }
  .left.over { color: #ffb4a8; }
  .where { margin-left: auto; color: #c8c8c8; }
  .top input { width: 3.5em; padding: 4px 6px; border: 1px solid #6a6a6a; border-radius: 6px; background: #222; color: inherit; font: inherit; }
  h2.heading { margin: 0 0 6px; font-size: 15px; font-weight: 600; color: #c8c8c8; }
  .notes { margin: 12px 0 0; font-size: var(--notes, 22px); white-space: pre-wrap; overflow-wrap: anywhere; }
  .view.stage { border-radius: 4px; border: 1px solid #3a3a3a; pointer-events: none; }
  .top button { padding: 6px 12px; border: 1px solid #6a6a6a; border-radius: 6px; background: none; color: inherit; font: inherit; cursor: pointer; }
  .top button:focus-visible, .top input:focus-visible { outline: 2px solid #4fc3cd; outline-offset: 2px; }
  @media (max-width: 640px) { body { grid-template-columns: minmax(0, 1fr); } }
`;
/** Pixels of the notes' letters, the least, the most and a step. */
const NOTE_LETTERS = { first: 22, least: 14, most: 56, step: 4 };

/** Minutes and seconds, with hours from the first. @param {number} ms */
export function clockOf(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000)), two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}`;
}

/** What is left of the time for a talk: minutes and seconds, or how much it is over. @param {number} minutes @param {number} ms  since it began */
export function leftOf(minutes, ms) {
  if (!(minutes > 0)) return "";
  const rest = minutes * 60_000 - ms;
  return rest < 0 ? `${clockOf(-rest)} over` : `${clockOf(rest)} left`;
}

export class Notes {
  /** @type {(Window & typeof globalThis)|null} */
  #window = null;
  #began = Date.now();
  #timer = 0;
  #letters = NOTE_LETTERS.first;
  /** @type {Record<string, HTMLElement>} */
  #parts = {};
  /** The slides that are drawn: this one and the next. @type {({slide: number, view: SlideView}|null)[]} */
  #views = [null, null];

  /** @param {Deck} deck @param {HTMLElement} root  the stage, whose style it takes @param {(event: KeyboardEvent) => void} pressed @param {(action: import("./state.js").Action) => void} on */
  constructor(deck, root, pressed, on) {
    this.deck = deck;
    this.root = root;
    this.pressed = pressed;
    this.on = on;
  }

  get open() {
    return Boolean(this.#window && !this.#window.closed);
  }

  /** Open the window; return whether the browser let it. */
  start() {
    if (this.open) {
      this.#window?.focus();
      return true;
    }
    const found = window.open("", "", "popup,width=1180,height=720");
    if (!found) return false;
    this.#window = /** @type {Window & typeof globalThis} */ (found);
    this.#build(this.#window);
    this.#began = Date.now();
    this.#timer = window.setInterval(() => this.#tick(), 500);
    this.#tick();
    return true;
  }

  /** @param {Window & typeof globalThis} other */
  #build(other) {
    const page = other.document, sheet = new other.CSSStyleSheet();
    sheet.replaceSync([...stylesOf(this.root), STYLE].join("\n"));
    page.adoptedStyleSheets = [sheet];
    page.title = `Notes: ${this.deck.title}`;
    page.documentElement.lang = "en";
    const button = (/** @type {string} */ words, /** @type {() => void} */ press) => {
      const node = make("button", "", words);
      node.addEventListener("click", press);
      return node;
    };
    const minutes = make("input", "minutes"), theme = this.deck.theme;
    Object.assign(minutes, { type: "number", min: "0", max: "600", placeholder: "20" });
    minutes.addEventListener("keydown", (event) => event.stopPropagation());
    minutes.addEventListener("input", () => this.#tick());
    const parts = { clock: make("span", "clock"), elapsed: make("span", "elapsed"), left: make("span", "left"), where: make("span", "where"), minutes };
    const more = { notes: make("p", "notes"), now: make("div", `view stage component ${theme}`), next: make("div", `view stage component ${theme}`), after: make("h2", "heading") };
    this.#parts = { ...parts, ...more };
    const reset = button("Start the time again", () => {
      this.#began = Date.now();
      this.#tick();
    });
    const step = (/** @type {number} */ by) => {
      this.#letters = Math.min(NOTE_LETTERS.most, Math.max(NOTE_LETTERS.least, this.#letters + by));
      page.body.style.setProperty("--notes", `${this.#letters}px`);
    };
    page.body.replaceChildren(
      make("div", "top", "", [
        ...[parts.clock, parts.elapsed, parts.left, make("label", "", "Minutes ", [minutes]), reset],
        ...[button("Back", () => this.on({ do: "previous" })), button("Next", () => this.on({ do: "next" }))],
        ...[button("Smaller notes", () => step(-NOTE_LETTERS.step)), button("Larger notes", () => step(NOTE_LETTERS.step)), parts.where],
      ]),
      make("main", "", "", [make("h2", "heading", "Now"), more.now, more.notes]),
      make("aside", "", "", [more.after, more.next]),
    );
    other.addEventListener("keydown", this.pressed);
    other.addEventListener("resize", () => this.#fit());
  }

  #tick() {
    if (!this.open) return this.close();
    const { clock, elapsed, left, minutes } = this.#parts, since = Date.now() - this.#began;
    clock.textContent = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    elapsed.textContent = clockOf(since);
    left.textContent = leftOf(Number(/** @type {HTMLInputElement} */ (minutes).value), since);
    left.classList.toggle("over", left.textContent.endsWith("over"));
  }

  /** @param {State} state @param {import("./scenes.js").Shelf} shelf */
  show(state, shelf) {
    if (!this.open) return;
    const { scenes } = this.deck, scene = scenes[state.slide], steps = stepsOf(scene), { notes, where, after } = this.#parts;
    notes.textContent = scene.notes || "No notes for this slide.";
    const step = steps.length > 1 ? `, step ${state.step + 1} of ${steps.length}` : "";
    where.textContent = `Slide ${state.slide + 1} of ${scenes.length}${step}`;
    after.textContent = state.slide + 1 < scenes.length ? "Next" : "This is the last slide";
    this.#draw(0, this.#parts.now, state, shelf);
    this.#draw(1, this.#parts.next, state.slide + 1 < scenes.length ? begin(scenes, state.slide + 1, true) : null, shelf);
    this.#fit();
  }

  /** @param {number} place @param {HTMLElement} room @param {State|null} state @param {import("./scenes.js").Shelf} shelf */
  #draw(place, room, state, shelf) {
    let known = this.#views[place];
    if (known && known.slide !== state?.slide) {
      known.view.close();
      this.#views[place] = known = null;
    }
    room.hidden = !state;
    if (!state) return;
    const still = { ...state, playing: false };
    if (!known) {
      const view = new SlideView(this.deck, state.slide, shelf, () => {}, () => {
        this.#fit();
        view.show(still, false);
      });
      this.#views[place] = known = { slide: state.slide, view };
      room.append(view.element);
    }
    known.view.show(still, false);
  }

  #fit() {
    for (const [i, room] of [this.#parts.now, this.#parts.next].entries()) {
      const unit = room.clientWidth / 160;
      room.style.setProperty("--v", `${unit}px`);
      room.style.setProperty("--u", `${0.9 * unit}px`);
      this.#views[i]?.view.fit(unit, false);
    }
  }

  close() {
    clearInterval(this.#timer);
    for (const known of this.#views) known?.view.close();
    this.#views = [null, null];
    this.#window?.close();
    this.#window = null;
  }
}

/** The rules that the stage is drawn by. @param {HTMLElement} root */
function stylesOf(root) {
  const home = /** @type {Document|ShadowRoot} */ (root.getRootNode()), found = [...home.querySelectorAll("style")].map((node) => node.textContent ?? "");
  const adopted = home.adoptedStyleSheets.map((sheet) => [...sheet.cssRules].map((rule) => rule.cssText).join("\n"));
  return [...found, ...adopted];
}
