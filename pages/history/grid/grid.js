// What was kept, as pictures in a grid: one is opened, or several are chosen. The choice is the browser's until it is used.

import { unpack } from "../../../components/viewer/unpack.js";

/**
 * @typedef {{id: string, title: string, score: string, line: string, when: string, about: string, tags: string[],
 *   note: string, marks: number, damaged: string}} Tile
 * @typedef {(name: string, value: unknown) => void} Send
 */

const live = new WeakMap();
const WAIT_MS = 120;

/** @param {string} name @param {string} text @param {string} [kind] */
function made(name, text, kind = "") {
  const node = document.createElement(name);
  node.className = kind;
  node.textContent = text;
  return node;
}

/** @param {string} name */
function icon(name) {
  const node = made("span", name, "icon");
  node.setAttribute("aria-hidden", "true");
  return node;
}

/** @param {HTMLElement} root */
function mount(root) {
  let shown = "", turn = "", timer = 0;
  /** @type {Set<string>} */
  let chosen = new Set();
  /** @type {string[]} */
  let urls = [];
  /** @type {{state: Send, trigger: Send}} */
  let send = { state: () => {}, trigger: () => {} };

  function told() {
    for (const node of root.children) node.classList.toggle("chosen", chosen.has(/** @type {HTMLElement} */ (node).dataset.id ?? ""));
    clearTimeout(timer);
    // Two boxes ticked in one go are one run of the page.
    timer = setTimeout(() => send.state("chosen", { turn, ids: [...chosen] }), WAIT_MS);
  }

  /** @param {Tile} tile @param {Uint8Array} picture */
  function tileOf(tile, picture) {
    const node = made("div", "", "tile"), open = document.createElement("button"), said = made("div", "", "said");
    node.dataset.id = tile.id;
    node.setAttribute("role", "listitem");
    open.type = "button";
    open.className = "open";
    open.title = tile.about;
    open.setAttribute("aria-label", `Open: ${tile.about}`);
    const frame = made("span", "", "frame");
    if (picture.length) {
      const url = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (picture)], { type: "image/jpeg" }));
      urls.push(url);
      frame.append(Object.assign(document.createElement("img"), { src: url, alt: "", decoding: "async" }));
    } else frame.append(icon("broken_image"));
    const head = made("span", "", "head");
    head.append(made("b", tile.title), made("span", tile.score, "score"));
    open.append(frame, head, made("span", tile.line, "line"));
    const label = made("label", "", "pick"), box = Object.assign(document.createElement("input"), { type: "checkbox" });
    label.title = "Choose it, to compare or to delete";
    box.checked = chosen.has(tile.id);
    box.setAttribute("aria-label", `Choose: ${tile.about}`);
    label.append(box);
    said.append(made("span", tile.when, "when"), ...tile.tags.map((tag) => made("span", tag, "tag")));
    if (tile.marks) said.append(icon("draw"));
    node.append(open, label, said);
    if (tile.damaged || tile.note) node.append(made("div", tile.damaged || tile.note, tile.damaged ? "damaged" : "note"));
    node.classList.toggle("chosen", box.checked);
    open.addEventListener("click", () => send.trigger("open", tile.id));
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(tile.id);
      else chosen.delete(tile.id);
      told();
    });
    return node;
  }

  function forget() {
    for (const url of urls) URL.revokeObjectURL(url);
    urls = [];
  }

  return {
    /** @param {{id: string, turn: string, tiles: Tile[], chosen: string[]}} head @param {Uint8Array[]} pictures @param {{state: Send, trigger: Send}} next */
    show(head, pictures, next) {
      send = next;
      if (head.id === shown) return;
      if (head.turn !== turn) chosen = new Set(head.chosen);
      [shown, turn] = [head.id, head.turn];
      forget();
      root.replaceChildren(...head.tiles.map((tile, i) => tileOf(tile, pictures[i])));
    },
    unmount() {
      clearTimeout(timer);
      forget();
    },
  };
}

/** @param {{data: Uint8Array, parentElement: HTMLElement, setStateValue: Send, setTriggerValue: Send}} component */
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".grid"));
  let grid = live.get(root);
  if (!grid) live.set(root, (grid = mount(root)));
  const { head, blobs } = unpack(data);
  grid.show(head, blobs, { state: setStateValue, trigger: setTriggerValue });
  return () => {
    grid.unmount();
    live.delete(root);
  };
}
