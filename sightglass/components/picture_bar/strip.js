// A row of small pictures to choose from, which scrolls sideways where they do not fit. One stop of the Tab key: the arrow
// keys move within it.

import { icon, make } from "../../browser/elements.js";

/** @typedef {{id: string, name: string, image: string, own: boolean}} Item  `image`: a data URL, empty where there is none */

const KEYS = ["ArrowLeft", "ArrowRight", "Home", "End"];

/** Return the place that a key leads to. @param {string} key @param {number} at @param {number} count */
export function moved(key, at, count) {
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  return Math.min(count - 1, Math.max(0, at + (key === "ArrowRight" ? 1 : -1)));
}

export class Strip {
  #shown = "";
  /** Whether the chosen picture is still to be scrolled to: a row that was just put on the page has no width yet. */
  #due = false;

  /** @param {HTMLElement} window @param {AbortSignal} signal @param {(id: string) => void} choose */
  constructor(window, signal, choose) {
    this.window = window;
    this.strip = /** @type {HTMLElement} */ (window.querySelector(".strip"));
    this.steps = /** @type {HTMLElement[]} */ ([".back", ".on"].map((name) => window.querySelector(name)));
    this.strip.addEventListener("click", ({ target }) => {
      const button = /** @type {Element} */ (target).closest("button");
      if (!button?.dataset.id) return;
      // At once; Python's answer says the same a moment later.
      this.#mark(button.dataset.id);
      choose(button.dataset.id);
    }, { signal });
    this.strip.addEventListener("keydown", (event) => {
      const buttons = this.#buttons(), at = buttons.findIndex((button) => button.tabIndex === 0);
      if (!KEYS.includes(event.key) || at < 0) return;
      event.preventDefault();
      event.stopPropagation();
      const to = buttons[moved(event.key, at, buttons.length)];
      for (const button of buttons) button.tabIndex = button === to ? 0 : -1;
      to.focus();
    }, { signal });
    this.strip.addEventListener("scroll", () => this.#ends(), { signal, passive: true });
    this.steps.forEach((step, i) => step.addEventListener("click", () => {
      this.strip.scrollBy({ left: (2 * i - 1) * 0.8 * this.strip.clientWidth, behavior: "smooth" });
    }, { signal }));
    const observer = new ResizeObserver(() => this.#scroll());
    observer.observe(this.strip);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  #buttons() {
    return /** @type {HTMLButtonElement[]} */ ([...this.strip.children]);
  }

  /** @param {Item[]} items @param {string} chosen */
  show(items, chosen) {
    const shown = JSON.stringify(items);
    if (shown !== this.#shown) this.strip.replaceChildren(...items.map(thumbnail));
    this.#due ||= shown !== this.#shown;
    this.#shown = shown;
    this.#mark(chosen);
    this.#scroll();
  }

  #scroll() {
    const { strip } = this, marked = this.#buttons().find((button) => button.tabIndex === 0);
    if (this.#due && marked && strip.clientWidth) {
      strip.scrollTo({ left: marked.offsetLeft - (strip.clientWidth - marked.offsetWidth) / 2 });
      this.#due = false;
    }
    this.#ends();
  }

  /** @param {string} chosen */
  #mark(chosen) {
    const buttons = this.#buttons(), marked = buttons.find(({ dataset }) => dataset.id === chosen);
    for (const one of buttons) {
      one.setAttribute("aria-pressed", String(one === marked));
      one.tabIndex = one === (marked ?? buttons[0]) ? 0 : -1;
    }
  }

  /** Show the arrows of the sides to which there is more. */
  #ends() {
    const { scrollLeft, scrollWidth, clientWidth } = this.strip;
    this.steps[0].hidden = scrollLeft < 2;
    this.steps[1].hidden = scrollLeft > scrollWidth - clientWidth - 2;
  }
}

/** @param {Item} item */
function thumbnail({ id, name, image }) {
  const face = image ? Object.assign(new Image(), { src: image, alt: name, draggable: false }) : make("span", "word", name);
  const mark = icon("check"), made = make("button", "thumb", "", [face, mark]);
  mark.classList.add("mark");
  made.title = name;
  made.dataset.id = id;
  return made;
}
