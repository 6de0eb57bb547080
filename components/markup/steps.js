// The marks of one picture, with undo and redo.

/** @typedef {import("./shapes.js").Mark} Mark */

const MAX_STEPS = 200;

/** @param {Mark[]} [given] */
export function createSteps(given = []) {
  let marks = given;
  /** @type {Mark[][]} */
  const before = [];
  /** @type {Mark[][]} */
  const after = [];
  let open = "";

  /** @param {Mark[]} next @param {string} [run] changes of one run are one step: a drag, the letters of a word */
  function set(next, run = "") {
    if (!run || run !== open) {
      before.push(marks);
      if (before.length > MAX_STEPS) before.shift();
    }
    after.length = 0;
    [marks, open] = [next, run];
  }

  /** @param {Mark[][]} from @param {Mark[][]} to */
  function travel(from, to) {
    const next = from.pop();
    if (!next) return false;
    to.push(marks);
    [marks, open] = [next, ""];
    return true;
  }

  return {
    marks: () => marks,
    back: () => before.length,
    forth: () => after.length,
    /** @param {Mark} mark @param {string} [run] @returns {number} its place */
    add(mark, run) {
      set([...marks, mark], run);
      return marks.length - 1;
    },
    /** @param {number} place @param {Mark} mark @param {string} [run] */
    change(place, mark, run) {
      if (marks[place]) set(marks.map((one, i) => (i === place ? mark : one)), run);
    },
    /** @param {number} place */
    remove(place) {
      if (marks[place]) set(marks.filter((_, i) => i !== place));
    },
    /** Make the next change a step of its own. */
    close() {
      open = "";
    },
    undo: () => travel(before, after),
    redo: () => travel(after, before),
  };
}
