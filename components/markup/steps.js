// The marks of one picture, with undo and redo.

import { Steps } from "../frontend/steps.js";

/** @typedef {import("./shapes.js").Mark} Mark */

/** @extends {Steps<Mark[]>} */
export class MarkSteps extends Steps {
  maxSteps = 200;

  /** @param {Mark} mark @param {string} [run] @returns {number} its place */
  add(mark, run) {
    this.set([...this.value, mark], run);
    return this.value.length - 1;
  }

  /** @param {number} place @param {Mark} mark @param {string} [run] */
  change(place, mark, run) {
    if (this.value[place]) this.set(this.value.map((one, i) => (i === place ? mark : one)), run);
  }

  /** @param {number} place */
  remove(place) {
    if (this.value[place]) this.set(this.value.filter((_, i) => i !== place));
  }
}
