// The bar over a page that explains one picture: upload, the examples and the session's own pictures, the paper.

import { component, find, keepStored, make, stored } from "../../browser/component.js";
import "../session/url_state.js";
import { Intake } from "./intake.js";

/** @typedef {{id: string, name: string, image: string, own: boolean}} Item  `image`: a data URL */

/** @param {Item} item @param {string} chosen */
function thumbnail({ id, name, image }, chosen) {
  const button = make("button", "thumb", "", [Object.assign(new Image(), { src: image, alt: name, draggable: false })]);
  button.title = name;
  button.dataset.id = id;
  button.setAttribute("aria-pressed", String(id === chosen));
  return button;
}

/**
 * @typedef {import("../../browser/component.js").Send} Send
 * @typedef {import("./intake.js").Target & {session: string, last: number, items: Item[], chosen: string, name: string, size: string,
 *   problem: string, drawing: boolean, own: boolean}} Data
 */

/** How many acts are sent again with the next one: a request may be dropped for a newer one. */
const ACTS = 8;
const STORE = "sightglass.pictures";

class Bar {
  /** @type {Data|null} */
  #data = null;
  /** @type {{n: number, session: string, kind: string, value: unknown}[]} */
  #acts = [];
  #last = 0;
  #listed = "";
  /** @type {Send} */
  #send = () => {};

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    const act = (/** @type {string} */ kind, /** @type {unknown} */ value) => this.#act(kind, value);
    this.intake = new Intake(find(root, ".veil"), signal, (refused) => act("refused", refused));
    const files = find(root, ".files"), draw = find(root, ".draw");
    find(root, ".upload").addEventListener("click", () => files.click(), { signal });
    files.addEventListener("change", () => {
      this.#take(files.files);
      // The same file can be chosen again.
      files.value = "";
    }, { signal });
    find(root, ".strip").addEventListener("click", ({ target }) => {
      const id = target instanceof Element ? target.closest("button")?.dataset.id : "";
      if (!id) return;
      // At once; Python's answer says the same a moment later.
      this.#mark(id);
      act("choose", id);
    }, { signal });
    draw.addEventListener("click", () => {
      const on = draw.getAttribute("aria-pressed") !== "true";
      draw.setAttribute("aria-pressed", String(on));
      act("draw", on);
    }, { signal });
    find(root, ".remove").addEventListener("click", () => act("remove", this.#data?.chosen), { signal });
    find(root, ".dismiss").addEventListener("click", () => act("dismiss", null), { signal });
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

  /** @param {Item[]} items @param {string} chosen */
  #list(items, chosen) {
    const strip = find(this.root, ".strip"), listed = JSON.stringify(items);
    if (listed === this.#listed) return this.#mark(chosen);
    this.#listed = listed;
    strip.replaceChildren(...items.map((item) => thumbnail(item, chosen)));
    const marked = /** @type {HTMLElement|null} */ (strip.querySelector("[aria-pressed=true]"));
    if (marked) strip.scrollTo({ left: marked.offsetLeft - (strip.clientWidth - marked.offsetWidth) / 2 });
  }

  /** @param {string} chosen */
  #mark(chosen) {
    for (const button of this.root.querySelectorAll(".thumb")) {
      button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.id === chosen));
    }
  }

  /** @param {import("../../browser/component.js").Given<Data>} given */
  show({ data, setStateValue }) {
    const { root } = this, first = !this.#data;
    // Each upload uses up an uploader.
    if (this.#data?.bay !== data.bay) this.#say("");
    this.#data = data;
    this.#send = setStateValue;
    this.intake.target = data;
    find(root, ".bar").hidden = !data.takes;
    if (!data.takes) return;
    this.#list(data.items, data.chosen);
    find(root, ".name").textContent = data.name;
    find(root, ".size").textContent = data.size;
    find(root, ".remove").hidden = !data.own;
    find(root, ".remove").title = `Delete ${data.name} from the server`;
    find(root, ".draw").setAttribute("aria-pressed", String(data.drawing));
    find(root, ".about .problem").textContent = data.problem;
    find(root, ".dismiss").hidden = !data.problem;
    this.#remember(data.items, first);
  }

  /** Ask for the pictures that this tab had before it was loaded again. @param {Item[]} items @param {boolean} first */
  #remember(items, first) {
    const own = items.filter((item) => item.own).map(({ id }) => id);
    const before = /** @type {string[]} */ (Object.values(stored(sessionStorage, STORE)));
    if (first && before.some((id) => !own.includes(id))) this.#act("restore", before);
    keepStored(sessionStorage, STORE, own);
  }
}

export default component(".picture", Bar);
