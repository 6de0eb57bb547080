// The bar over a page that explains one picture: upload, the examples and the session's own pictures, camera, canvas.

import { componentOf, find, keepStored, onResize, stored } from "../../browser/component.js";
import { icon, make } from "../../browser/elements.js";
import "../session/url_state.js";
import { Camera, Intake } from "./intake.js";

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
    onResize(this.strip, () => this.#scroll(), signal);
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

  /**
   * Take note that a bar is off the page, unless the next page's bar has come already.
   * @param {((place: Place) => void)|null} ask what the bar set
   */
  leave(ask) {
    if (this.ask !== ask) return;
    this.#shown = null;
    this.ask = () => {};
  }
}

/**
 * @typedef {import("../../browser/component.js").Send} Send
 * @typedef {import("./intake.js").Target & {session: string, last: number, items: Item[], chosen: string, name: string, size: string,
 *   problem: string, drawing: boolean, own: boolean, place: Place}} Data
 */

/** Acts that a restarted server is told of again: it has lost what others refer to. */
const LASTING = ["choose", "draw", "back"];
const RESTARTED = "The server was restarted. If your last choice is not shown, make it again.", RESTARTED_MS = 30_000;
/** How many acts are sent again with the next one: a request may be dropped for a newer one. */
const ACTS = 8;
const STORE = "sightglass.pictures";
/** @type {Places|null} */
let places = null;

/**
 * Return the acts that were not followed yet when the bar was drawn last.
 * @template {{n: number, session: string}} Act @param {Act[]} acts @param {{session: string, last: number}} drawn
 */
export function unanswered(acts, { session, last }) {
  return acts.filter((act) => act.session === session && act.n > last);
}

class Bar {
  /** @type {Data|null} */
  #data = null;
  /** @type {{n: number, session: string, kind: string, value: unknown}[]} */
  #acts = [];
  #last = 0;
  /** @type {Send} */
  #send = () => {};
  #ask = (/** @type {Place} */ { picture, model }) => this.#act("back", { picture, model });

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    const act = (/** @type {string} */ kind, /** @type {unknown} */ value) => this.#act(kind, value);
    this.intake = new Intake(find(root, ".veil"), signal, act);
    this.strip = new Strip(find(root, ".window"), signal, (id) => act("choose", id));
    const dialog = /** @type {HTMLDialogElement} */ (root.querySelector("dialog"));
    const camera = new Camera(dialog, signal, (photo) => {
      this.#take([photo]);
    });
    const files = find(root, ".files"), draw = find(root, ".draw");
    find(root, ".upload").addEventListener("click", () => files.click(), { signal });
    files.addEventListener("change", () => {
      this.#take(files.files);
      // The same file can be chosen again.
      files.value = "";
    }, { signal });
    find(root, ".photo").addEventListener("click", () => void camera.open(), { signal });
    draw.addEventListener("click", () => {
      const on = draw.getAttribute("aria-pressed") !== "true";
      draw.setAttribute("aria-pressed", String(on));
      act("draw", on);
    }, { signal });
    find(root, ".remove").addEventListener("click", () => act("remove", this.#data?.chosen), { signal });
    find(root, ".dismiss").addEventListener("click", () => act("dismiss", null), { signal });
    places ??= new Places(window);
    signal.addEventListener("abort", () => places?.leave(this.#ask));
  }

  /** @param {FileList|File[]|null} files */
  #take(files) {
    if (this.intake.take(files)) this.#say("Uploading…");
  }

  /** @param {string} message */
  #say(message) {
    find(this.root, ".said").textContent = message;
  }

  /** Tell Python what the person did. @param {string} kind @param {unknown} value */
  #act(kind, value) {
    this.#last = Math.max(this.#last + 1, Date.now());
    this.#acts = [...this.#acts, { n: this.#last, session: this.#data?.session ?? "", kind, value }].slice(-ACTS);
    this.#send("acts", this.#acts);
  }

  /** Do again what a server that was restarted since has been told under its former session. @param {Data|null} before @param {Data} now */
  #repeat(before, now) {
    if (!before || before.session === now.session) return;
    const lost = unanswered(this.#acts, before).filter(({ kind }) => LASTING.includes(kind));
    this.#acts = [];
    for (const { kind, value } of lost.slice(-1)) this.#act(kind, value);
    if (lost.length) return;
    // What was chosen elsewhere went to the server with the request that began this session, before it knew the page.
    this.#say(RESTARTED);
    setTimeout(() => find(this.root, ".said").textContent === RESTARTED && this.#say(""), RESTARTED_MS);
  }

  /** @param {import("../../browser/component.js").Given<Data>} given */
  show({ data, setStateValue }) {
    const { root } = this, before = this.#data, first = !before;
    // Each upload uses up an uploader.
    if (String(this.#data?.bays) !== String(data.bays)) this.#say("");
    this.#data = data;
    this.#send = setStateValue;
    this.intake.target = data;
    find(root, ".bar").hidden = !data.takes;
    if (!data.takes) return;
    this.strip.show(data.items, data.chosen);
    find(root, ".name").textContent = data.name;
    find(root, ".size").textContent = data.size;
    find(root, ".remove").hidden = !data.own;
    find(root, ".remove").title = `Delete ${data.name} from the server`;
    find(root, ".draw").setAttribute("aria-pressed", String(data.drawing));
    find(root, ".about .problem").textContent = data.problem;
    find(root, ".dismiss").hidden = !data.problem;
    if (places) {
      places.ask = this.#ask;
      places.show(data.place);
    }
    this.#remember(data.items, first);
    this.#repeat(before, data);
  }

  /** Ask for the pictures that this tab had before it was loaded again. @param {Item[]} items @param {boolean} first */
  #remember(items, first) {
    const own = items.filter((item) => item.own).map(({ id }) => id);
    const before = /** @type {string[]} */ (Object.values(stored(sessionStorage, STORE)));
    if (first && before.some((id) => !own.includes(id))) this.#act("restore", before);
    keepStored(sessionStorage, STORE, own);
  }
}

export default componentOf(".picture", Bar);
