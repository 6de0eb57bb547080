// The key D, which adds the view to the deck used last, and the line that says so for a while.

import { broadcast, component, find, hearIn, write } from "../../browser/component.js";
import { freeKey, isBehindWindow } from "../../browser/keys.js";

/** Milliseconds that the line stays while nobody points at it. */
const STAYS = 12000;

/** @typedef {{number: number, line: string, slide: string}} Added  number: of the slide added last, 0 for none; slide: its id, "" where there is none to take back */

class DeckKey {
  /** @type {import("../../browser/component.js").Send} */
  #send = () => {};
  #slide = "";
  #shown = 0;
  #leaving = 0;

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    window.addEventListener("keydown", (event) => {
      if (!event.repeat && !isBehindWindow(root) && freeKey(event) === "d") this.#add();
    }, { signal });
    const hear = hearIn(root, signal);
    hear("undo", "click", () => this.#act("undo"));
    hear("present", "click", () => {
      // Only a click's own handler may ask for it.
      void document.documentElement.requestFullscreen?.().catch(() => {});
      this.#act("present");
    });
  }

  #add() {
    const answer = /** @type {{settings?: object}} */ ({});
    broadcast("settings", answer);
    this.#send("add", JSON.stringify({ ...answer.settings, press: Date.now() }));
  }

  /** @param {"undo"|"present"} name */
  #act(name) {
    this.root.classList.remove("shown");
    this.#send(name, this.#slide);
  }

  #leave() {
    clearTimeout(this.#leaving);
    this.#leaving = window.setTimeout(() => {
      if (this.root.matches(":hover, :focus-within")) this.#leave();
      else this.root.classList.remove("shown");
    }, STAYS);
  }

  /** @param {import("../../browser/component.js").Payload<Added>} payload */
  show({ data: { number, line, slide }, setTriggerValue }) {
    const { root } = this;
    this.#send = setTriggerValue;
    if (!number || number === this.#shown) return;
    this.#shown = number;
    this.#slide = slide;
    write(find(root, ".said"), line);
    for (const name of ["undo", "present"]) find(root, `.${name}`).hidden = !slide;
    root.classList.add("shown");
    this.#leave();
  }
}

export default component(".added", DeckKey);
