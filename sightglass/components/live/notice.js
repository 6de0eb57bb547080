// What is wrong with the connection or the camera, and what was just done, in a sentence over the canvas.

import { find } from "../../browser/component.js";

/** Milliseconds for which a sentence stays. */
const SHORT_MS = 6_000;

export class Notice {
  /** What is wrong with the connection: it is shown first. */
  connection = "";
  #sentence = "";
  #retry = false;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
  }

  #show() {
    const { root, connection } = this, words = connection || this.#sentence, again = find(root, ".again");
    find(root, ".notice .words").textContent = words;
    find(root, ".notice").hidden = !words;
    again.hidden = connection ? !["waiting", "ended"].includes(root.dataset.state ?? "") : !this.#retry;
    again.textContent = connection ? "Try now" : "Try again";
  }

  /** @param {string} sentence empty where nothing is wrong with the connection */
  connect(sentence) {
    if (!sentence && !this.connection) return;
    this.connection = sentence;
    this.#show();
  }

  /**
   * Say something of the camera, or of what was done.
   * @param {string} sentence @param {number} [ms] for which it stays; 0: until the next one @param {boolean} [retry] whether to offer the camera again
   */
  say(sentence, ms = SHORT_MS, retry = false) {
    [this.#sentence, this.#retry] = [sentence, retry];
    this.#show();
    if (ms) setTimeout(() => this.#sentence === sentence && this.say("", 0), ms);
  }
}
