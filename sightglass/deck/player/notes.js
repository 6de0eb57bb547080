// The second window, for who presents: notes, clock, time since the start, and what comes next. It follows the stage, and its
// keys are the stage's.

import { make } from "../../browser/elements.js";
import { stepsOf } from "./state.js";

/** @typedef {import("./scenes.js").Deck} Deck @typedef {import("./state.js").State} State */

const STYLE = `
  body { margin: 0; padding: 20px 24px; background: #141414; color: #f2f2f2; font: 18px/1.45 system-ui, "Segoe UI", sans-serif;
    display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 1fr); align-content: start; gap: 14px 28px; }
  .top { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: 10px 28px; align-items: baseline; font-variant-numeric: tabular-nums; }
  .clock, .elapsed { font-size: 34px; font-weight: 600; }
  .place { margin-left: auto; color: #c8c8c8; }
  h1 { margin: 0 0 8px; font-size: 24px; }
  h2 { margin: 0 0 8px; font-size: 16px; font-weight: 600; color: #c8c8c8; }
  .notes { margin: 0; font-size: 22px; white-space: pre-wrap; overflow-wrap: anywhere; }
  canvas { display: block; max-width: 100%; border-radius: 4px; margin-top: 8px; }
  button { padding: 6px 14px; border: 1px solid #6a6a6a; border-radius: 6px; background: none; color: inherit; font: inherit; cursor: pointer; }
  button:focus-visible { outline: 2px solid #4fc3cd; outline-offset: 2px; }
  @media (max-width: 640px) { body { grid-template-columns: minmax(0, 1fr); } }
`;

/** Minutes and seconds, with hours from the first. @param {number} ms */
export function clockOf(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000)), two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}`;
}

export class Notes {
  /** @type {(Window & typeof globalThis)|null} */
  #window = null;
  #began = Date.now();
  #timer = 0;
  /** @type {Record<string, HTMLElement>} */
  #parts = {};

  /** @param {Deck} deck @param {(event: KeyboardEvent) => void} pressed @param {(action: import("./state.js").Action) => void} on */
  constructor(deck, pressed, on) {
    this.deck = deck;
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
    const found = window.open("", "", "popup,width=980,height=640");
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
    sheet.replaceSync(STYLE);
    page.adoptedStyleSheets = [sheet];
    page.title = `Notes: ${this.deck.title}`;
    page.documentElement.lang = "en";
    const reset = make("button", "", "Start the time again"), next = make("button", "", "Next"), before = make("button", "", "Back");
    const parts = { clock: make("span", "clock"), elapsed: make("span", "elapsed"), place: make("span", "place") };
    const more = { title: make("h1"), notes: make("p", "notes"), next: make("p", "", ""), steps: make("p"), thumb: make("canvas") };
    this.#parts = { ...parts, ...more };
    page.body.replaceChildren(
      make("div", "top", "", [parts.clock, parts.elapsed, reset, before, next, parts.place]),
      make("main", "", "", [more.title, more.notes]),
      make("aside", "", "", [make("h2", "", "Next"), more.next, more.thumb, make("h2"), more.steps]),
    );
    reset.addEventListener("click", () => {
      this.#began = Date.now();
      this.#tick();
    });
    next.addEventListener("click", () => this.on({ do: "next" }));
    before.addEventListener("click", () => this.on({ do: "previous" }));
    other.addEventListener("keydown", this.pressed);
  }

  #tick() {
    if (!this.open) return this.close();
    this.#parts.clock.textContent = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    this.#parts.elapsed.textContent = clockOf(Date.now() - this.#began);
  }

  /** @param {State} state @param {import("./scenes.js").Shelf} shelf */
  show(state, shelf) {
    if (!this.open) return;
    const { scenes } = this.deck, scene = scenes[state.slide], next = scenes[state.slide + 1], steps = stepsOf(scene);
    const { title, notes, place, thumb, next: words, steps: where } = this.#parts;
    title.textContent = scene.title;
    notes.textContent = scene.notes || "No notes for this slide.";
    place.textContent = `Slide ${state.slide + 1} of ${scenes.length}`;
    where.textContent = steps.length > 1 ? `Step ${state.step + 1} of ${steps.length} on this slide` : "";
    words.textContent = next ? next.title : "This is the last slide.";
    const canvas = /** @type {HTMLCanvasElement} */ (thumb);
    canvas.hidden = true;
    shelf.at(state.slide + 1)?.then(({ picture: { bitmap } }) => {
      Object.assign(canvas, { width: 320, height: Math.round((320 * bitmap.height) / bitmap.width), hidden: false });
      canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    }, () => {});
  }

  close() {
    clearInterval(this.#timer);
    this.#window?.close();
    this.#window = null;
  }
}
