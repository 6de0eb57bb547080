// A card in a corner that points at one thing after the other. It covers no control and takes no focus unless asked for.

import { componentOf, find, keepStored, stored } from "../../browser/component.js";
import { foldDrawer, NARROW } from "../../browser/drawer.js";
import { make } from "../../browser/elements.js";

/** In localStorage that it was shown, in sessionStorage the step of one that is not over. */
const NAME = "sightglass-tour";
const SIDEBAR = '[data-testid="stSidebar"][data-collapsed="false"]';
const FRAME = 4;
const BAR = 72;

/**
 * @typedef {{title: string, text: string, at: string[]}} Step
 * @typedef {{steps: Step[], terms: Record<string, string>, clicks: number}} Data
 */

/**
 * Return the step to begin with; -1 for none: it was shown before, or a program drives this browser.
 * @param {Storage} local @param {Storage} session @param {boolean} driven
 */
export function first(local, session, driven) {
  const { step } = stored(session, NAME);
  if (typeof step === "number") return step;
  return driven || stored(local, NAME).shown ? -1 : 0;
}

/**
 * Split a text into words and terms: `each with its {score}.` has one term.
 * @param {string} text @returns {{text: string, term: boolean}[]}
 */
export function pieces(text) {
  return text.split(/\{([^}]+)\}/).map((part, i) => ({ text: part, term: i % 2 === 1 })).filter((part) => part.text);
}

/** Return the first element that is there and visible. @param {string[]} selectors @returns {Element|null} */
function target(selectors) {
  const found = selectors.flatMap((one) => [...document.querySelectorAll(one)]);
  return found.find((one) => one.getBoundingClientRect().height > 1) ?? null;
}

class Tour {
  /** @type {Data} */
  #data = { steps: [], terms: {}, clicks: 0 };
  #at = -1;
  #frame = 0;

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.ring = find(root, ".ring");
    this.card = find(root, ".card");
    this.meaning = find(root, ".meaning");
    this.text = find(root, ".text");
    find(root, ".next").addEventListener("click", () => this.go(this.#at + 1, true));
    find(root, ".back").addEventListener("click", () => this.go(this.#at - 1, true));
    find(root, ".skip").addEventListener("click", () => this.end());
    this.card.addEventListener("keydown", (event) => {
      // Streamlit's shortcuts are not meant here.
      event.stopPropagation();
      if (event.key === "Escape") this.end();
    });
    signal.addEventListener("abort", () => cancelAnimationFrame(this.#frame));
  }

  /** @param {import("../../browser/component.js").Given<Data>} given */
  show({ data }) {
    const asked = this.#data.steps.length && data.clicks !== this.#data.clicks;
    const begins = this.#data.steps.length ? -1 : first(localStorage, sessionStorage, navigator.webdriver);
    this.#data = data;
    if (asked) {
      foldDrawer();
      this.go(0, true);
      find(this.card, ".next").focus();
    } else if (begins >= 0) this.go(begins, false);
  }

  /** Show a step, the end after the last one. @param {number} at @param {boolean} asked whether the page may scroll to it */
  go(at, asked) {
    const { steps } = this.#data;
    if (at >= steps.length) {
      this.end();
      return;
    }
    this.#at = Math.max(0, at);
    keepStored(localStorage, NAME, { shown: true });
    keepStored(sessionStorage, NAME, { step: this.#at });
    this.card.hidden = false;
    this.meaning.hidden = true;
    const step = steps[this.#at], last = this.#at === steps.length - 1;
    find(this.card, ".title").textContent = step.title;
    this.text.replaceChildren(...pieces(step.text).map((part) => (part.term ? this.#term(part.text) : part.text)));
    find(this.card, ".count").textContent = `${this.#at + 1} of ${steps.length}`;
    find(this.card, ".back").disabled = !this.#at;
    find(this.card, ".next").textContent = last ? "Done" : "Next";
    find(this.card, ".skip").hidden = last;
    this.card.classList.remove("aside");
    if (asked) this.#bring();
    this.card.classList.toggle("aside", this.#covers());
    cancelAnimationFrame(this.#frame);
    this.#follow();
  }

  end() {
    this.#at = -1;
    cancelAnimationFrame(this.#frame);
    this.card.hidden = this.ring.hidden = true;
    keepStored(sessionStorage, NAME, {});
  }

  /** @param {string} name */
  #term(name) {
    const term = make("button", "term", name);
    term.setAttribute("aria-describedby", "tour-meaning");
    const shows = () => {
      this.meaning.textContent = this.#data.terms[name];
      this.meaning.hidden = false;
    };
    for (const event of ["pointerenter", "focus", "click"]) term.addEventListener(event, shows);
    for (const event of ["pointerleave", "blur"]) term.addEventListener(event, () => (this.meaning.hidden = true));
    return term;
  }

  /** Scroll to what the step is about where it is out of sight, or behind the card. */
  #bring() {
    const node = target(this.#data.steps[this.#at].at);
    if (!node) return;
    const { top, bottom, right } = node.getBoundingClientRect(), card = this.card.getBoundingClientRect();
    const low = right > card.left ? card.top : window.innerHeight;
    if (node.closest("header") || (top >= 0 && Math.min(bottom, top + BAR) <= low && bottom <= window.innerHeight)) return;
    node.scrollIntoView({ block: window.matchMedia(NARROW).matches ? "start" : "center" });
    if (node.getBoundingClientRect().top < BAR) document.querySelector(".stMain")?.scrollBy(0, -BAR);
  }

  /** Whether the card, in its corner, would cover what it points at, and the sidebar has room for it. */
  #covers() {
    const box = target(this.#data.steps[this.#at].at)?.getBoundingClientRect(), card = this.card.getBoundingClientRect();
    if (!box || !document.querySelector(SIDEBAR) || window.matchMedia(NARROW).matches) return false;
    return Math.min(box.right, card.right) - Math.max(box.left, card.left) > FRAME && box.bottom > card.top && box.top < card.bottom;
  }

  /** Keep the frame around its element, which moves while the page is drawn and scrolled. */
  #follow() {
    const box = target(this.#data.steps[this.#at].at)?.getBoundingClientRect();
    this.ring.hidden = !box;
    if (box) {
      const style = { left: box.left - FRAME, top: box.top - FRAME, width: box.width + 2 * FRAME, height: box.height + 2 * FRAME };
      for (const [name, value] of Object.entries(style)) this.ring.style.setProperty(name, `${Math.round(value)}px`);
    }
    this.#frame = requestAnimationFrame(() => this.#follow());
  }
}

export default componentOf(".tour", Tour);
