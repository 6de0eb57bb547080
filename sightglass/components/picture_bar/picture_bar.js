// The bar over a page that explains one picture: upload, the examples and the session's own pictures, camera, canvas.

import "../session/url_state.js";
import { componentOf, find, keepStored, stored } from "../../browser/component.js";
import { Camera } from "./camera.js";
import { Intake } from "./intake.js";
import { Places } from "./places.js";
import { Strip } from "./strip.js";

/**
 * @typedef {import("../../browser/component.js").Send} Send
 * @typedef {import("./strip.js").Item} Item
 * @typedef {import("./intake.js").Target & {session: string, last: number, items: Item[], chosen: string, name: string, size: string,
 *   hint: string, problem: string, drawing: boolean, photo: string, own: boolean, place: import("./places.js").Place}} Data
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

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    const act = (/** @type {string} */ kind, /** @type {unknown} */ value) => this.#act(kind, value);
    this.intake = new Intake(find(root, ".veil"), signal, act);
    this.strip = new Strip(find(root, ".window"), signal, (id) => act("choose", id));
    const dialog = /** @type {HTMLDialogElement} */ (root.querySelector("dialog"));
    const camera = new Camera(dialog, signal, (photo) => {
      act("photo", photo.size);
      this.#take([photo]);
    });
    const files = find(root, ".files"), draw = find(root, ".draw");
    find(root, ".upload").addEventListener("click", () => files.click(), { signal });
    files.addEventListener("change", () => {
      this.#take(files.files);
      // The same file can be chosen again.
      files.value = "";
    }, { signal });
    find(root, ".photo").addEventListener("click", () => void camera.open(this.#data?.photo ?? ""), { signal });
    draw.addEventListener("click", () => {
      const on = draw.getAttribute("aria-pressed") !== "true";
      draw.setAttribute("aria-pressed", String(on));
      act("draw", on);
    }, { signal });
    find(root, ".remove").addEventListener("click", () => act("remove", this.#data?.chosen), { signal });
    find(root, ".dismiss").addEventListener("click", () => act("dismiss", null), { signal });
    places ??= new Places(window);
    signal.addEventListener("abort", () => places?.leave());
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
    find(root, ".hint").textContent = data.hint;
    find(root, ".remove").hidden = !data.own;
    find(root, ".remove").title = `Delete ${data.name} from the server`;
    find(root, ".draw").setAttribute("aria-pressed", String(data.drawing));
    find(root, ".about .problem").textContent = data.problem;
    find(root, ".dismiss").hidden = !data.problem;
    if (places) {
      places.ask = ({ picture, model }) => this.#act("back", { picture, model });
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
