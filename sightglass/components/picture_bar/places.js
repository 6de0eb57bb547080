// The browser's Back undoes a choice of picture or model: each is an entry of its own in the history.
//
// What an entry shows is in its state. The address alone would not do: the browser sends the one it has with every
// request, and an older one that comes back that way must not be taken for an act of the person.

/** @typedef {{page: string, picture: string, model: string, query: string}} Place  `query`: what an address says of it */

const NAMES = ["picture", "example", "model"];

/** @param {Place|null|undefined} a @param {Place|null|undefined} b */
function same(a, b) {
  return a?.page === b?.page && a?.picture === b?.picture && a?.model === b?.model;
}

/** @param {unknown} state of an entry @returns {Place|null} */
function placeOf(state) {
  return /** @type {{place?: Place}|null} */ (state)?.place ?? null;
}

/** Return an address with the picture and the model of a place. @param {string} href @param {Place} place */
export function addressOf(href, { query }) {
  const url = new URL(href), given = new URLSearchParams(query);
  for (const name of NAMES) {
    const value = given.get(name);
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  return url.href;
}

/** One for all pages: it sees the way from one to another. */
export class Places {
  /** Tells Python of a way back; it does nothing while no bar is on the page. @type {(place: Place) => void} */
  ask = () => {};
  /** @type {Place|null} */
  #shown = null;
  /** @type {Place|null} what Back or Forward led to, until the page shows it */
  #wanted = null;

  /** @param {Pick<Window, "history"|"location"|"addEventListener">} window */
  constructor(window) {
    this.window = window;
    window.addEventListener("popstate", ({ state }) => {
      this.#wanted = placeOf(state);
      if (this.#wanted && this.#wanted.page === this.#shown?.page && !same(this.#wanted, this.#shown)) this.ask(this.#wanted);
    });
  }

  /** Take note of what the page shows now. @param {Place} place */
  show(place) {
    const { history } = this.window, wanted = this.#wanted, before = this.#shown;
    this.#shown = place;
    if (wanted?.page === place.page && !same(wanted, place)) {
      // Another page first appears with what was chosen last.
      if (before?.page !== place.page) return this.ask(wanted);
      // What was asked for is still to come.
      if (same(before, place)) return;
    }
    this.#wanted = null;
    const here = placeOf(history.state), state = { ...history.state, place };
    if (same(here, place)) return;
    if (here?.page !== place.page) return history.replaceState(state, "");
    // The address of the new place may have come already: the old entry keeps its own.
    const { href } = this.window.location;
    history.replaceState(history.state, "", addressOf(href, here));
    // Without an address: `url_state.js` keeps what has one in the entry that is there.
    history.pushState(state, "");
    history.replaceState(state, "", addressOf(href, place));
  }

  /** Take note that no bar is on the page any more. */
  leave() {
    this.#shown = null;
    this.ask = () => {};
  }
}
