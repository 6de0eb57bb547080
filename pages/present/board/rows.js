// What happens to the order of rows, and to what was done, without a page.

/**
 * Return the ids with one of them moved by some places, no further than the ends.
 * @param {string[]} ids @param {string} id @param {number} by @returns {string[]}
 */
export function moved(ids, id, by) {
  const from = ids.indexOf(id), to = Math.max(0, Math.min(ids.length - 1, from + by));
  if (from < 0 || from === to) return ids;
  const rest = ids.filter((one) => one !== id);
  rest.splice(to, 0, id);
  return rest;
}

/**
 * Return at which place a dragged row is dropped, given where the others' middles are, from top to bottom.
 * @param {number[]} middles @param {number} y
 */
export function placeAt(middles, y) {
  return middles.filter((middle) => middle < y).length;
}

/** Acts that are sent again with the next: a request may be dropped for a newer one. */
const ACTS = 12;

/** What was done, numbered. */
export class Acts {
  /** @type {{board: string, n: number, kind: string, value: unknown}[]} */
  #acts = [];
  #last = 0;

  /** @param {string} board  a name of its own, so that Python follows a board that is mounted anew from its first act */
  constructor(board) {
    this.board = board;
  }

  /** Note an act and return those to send. @param {string} kind @param {unknown} value */
  add(kind, value) {
    this.#last += 1;
    this.#acts = [...this.#acts, { board: this.board, n: this.#last, kind, value }].slice(-ACTS);
    return this.#acts;
  }
}
