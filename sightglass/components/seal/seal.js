// Three marks for each map. They ask Python for the tests once the page is drawn, and again until all are answered.

import { componentOf } from "../../browser/component.js";
import { icon, make } from "../../browser/elements.js";

/** Milliseconds for the map to be drawn and the page to come to rest first, and between two looks at the answers. */
const FIRST_MS = 800, AGAIN_MS = 300;
/** Milliseconds without a click, a key or a drag after which the tests may go on. */
const CALM_MS = 500;
/** @type {Record<string, string>} */
const SHAPES = { "": "pending", yes: "check_circle", no: "cancel", "cannot be told": "help" };

/**
 * @typedef {{test: string, words: string, answer: string, sentence: string}} Mark
 * @typedef {{label: string, name: string, marks: Mark[]}} Row  label: empty for the only map of a page
 * @typedef {{rows: Row[], works: boolean}} Seals  works: tests are under way
 */

class List {
  #timer = 0;
  #shown = "";
  #asked = 0;
  #busy = -CALM_MS;
  #page = location.pathname;
  /** @type {import("../../browser/component.js").Send} */
  #send = () => {};

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    signal.addEventListener("abort", () => clearTimeout(this.#timer));
    for (const name of ["pointerdown", "pointermove", "wheel", "keydown", "dragover", "drop", "change"]) {
      const busy = (/** @type {Event} */ event) => {
        // A pointer that only passes by is no work.
        if (name !== "pointermove" || /** @type {PointerEvent} */ (event).buttons) this.#busy = performance.now();
      };
      window.addEventListener(name, busy, { signal, capture: true, passive: true });
    }
  }

  /** @param {import("../../browser/component.js").Given<Seals>} given */
  show({ data: { rows, works }, setTriggerValue }) {
    this.#send = setTriggerValue;
    this.#draw(rows);
    clearTimeout(this.#timer);
    if (rows.some(({ marks }) => marks.some(({ answer }) => !answer))) this.#ask(works ? AGAIN_MS : FIRST_MS);
  }

  /** Ask again and again: an answer that is the same as before does not come here. @param {number} after milliseconds */
  #ask(after) {
    this.#timer = setTimeout(() => {
      if (performance.now() - this.#busy > CALM_MS && this.#stays()) this.#send("ask", (this.#asked += 1));
      this.#ask(AGAIN_MS);
    }, after);
  }

  /**
   * Whether these marks are on the page still. While one is drawn it may be another already, which does not know them:
   * Streamlit empties a page that is asked for a part that it does not have.
   */
  #stays() {
    const app = document.querySelector('[data-testid="stApp"]');
    return app?.getAttribute("data-test-script-state") === "notRunning" && location.pathname === this.#page;
  }

  /** @param {Row[]} rows */
  #draw(rows) {
    // The same marks are left alone: one of them may have the focus.
    const now = JSON.stringify(rows);
    if (now === this.#shown) return;
    this.#shown = now;
    const focused = [...this.root.querySelectorAll("button")].findIndex((button) => button.matches(":focus"));
    this.root.replaceChildren(...rows.map((row) => this.#row(row)));
    if (focused >= 0) this.root.querySelectorAll("button")[focused]?.focus();
  }

  /** @param {Row} row */
  #row({ label, name, marks }) {
    const row = make("div", "row", "", label ? [make("span", "label cut", label)] : []);
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", `Can the map of ${name} be trusted?`);
    row.append(...marks.map((mark) => this.#mark(mark, name)));
    return row;
  }

  /** @param {Mark} mark @param {string} name */
  #mark({ test, words, answer, sentence }, name) {
    const mark = make("button", "mark", "", [icon(SHAPES[answer]), words]);
    mark.dataset.answer = answer;
    mark.title = `${sentence} Click for the whole test.`;
    mark.addEventListener("click", () => this.#send("open", { test, name, at: Date.now() }));
    return mark;
  }
}

export default componentOf(".seals", List);
