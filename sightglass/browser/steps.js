// A value with undo and redo.

/** @template Value */
export class Steps {
  /** @type {Value[]} */
  #before = [];
  /** @type {Value[]} */
  #after = [];
  #run = "";
  maxSteps = Infinity;

  /** @param {Value} value */
  constructor(value) {
    this.value = value;
  }

  get back() {
    return this.#before.length;
  }

  get forth() {
    return this.#after.length;
  }

  /** Change the value; changes of one run are one step: a drag, the letters of a word. @param {Value} value @param {string} [run] */
  set(value, run = "") {
    if (!run || run !== this.#run) this.#before.push(this.value);
    if (this.#before.length > this.maxSteps) this.#before.shift();
    this.#after.length = 0;
    [this.value, this.#run] = [value, run];
  }

  /** Make the next change a step of its own. */
  close() {
    this.#run = "";
  }

  /** Return whether there was anything to undo. */
  undo() {
    return this.#travel(this.#before, this.#after);
  }

  redo() {
    return this.#travel(this.#after, this.#before);
  }

  /** @param {Value[]} from @param {Value[]} to */
  #travel(from, to) {
    const next = from.pop();
    if (next === undefined) return false;
    to.push(this.value);
    [this.value, this.#run] = [next, ""];
    return true;
  }
}
