// Saved records as pictures in a grid: one can be opened, several can be selected. The browser holds the selection.

import "../../../sightglass/components/session/url_state.js";
import { component, blobOf } from "../../../sightglass/browser/component.js";

/**
 * @typedef {{id: string, title: string, score: string, line: string, when: string, about: string, tags: string[],
 *   note: string, marks: number, damaged: string}} Tile
 * @typedef {{id: string, turn: string, tiles: Tile[], chosen: string[]}} GridHead
 * @typedef {import("../../../sightglass/browser/component.js").Send} Send
 */

const WAIT_MS = 120;

/** @param {string} name @param {string} text @param {string} [kind] */
function element(name, text, kind = "") {
  const node = document.createElement(name);
  node.className = kind;
  node.textContent = text;
  return node;
}

/** @param {string} name */
function icon(name) {
  const node = element("span", name, "icon");
  node.setAttribute("aria-hidden", "true");
  return node;
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
function mount(root, signal) {
  let shown = "", turn = "", timer = 0;
  /** @type {Set<string>} */
  let chosen = new Set();
  /** @type {string[]} */
  let urls = [];
  /** @type {{setStateValue: Send, setTriggerValue: Send}} */
  let send = { setStateValue: () => {}, setTriggerValue: () => {} };

  function mark() {
    for (const node of root.children) node.classList.toggle("chosen", chosen.has(/** @type {HTMLElement} */ (node).dataset.id ?? ""));
    clearTimeout(timer);
    // Two boxes ticked in quick succession are one run of the page.
    timer = setTimeout(() => send.setStateValue("chosen", { turn, ids: [...chosen] }), WAIT_MS);
  }

  /** @param {Tile} tile @param {Uint8Array} picture */
  function tileOf(tile, picture) {
    const node = element("div", "", "tile"), open = document.createElement("button"), said = element("div", "", "said");
    node.dataset.id = tile.id;
    node.setAttribute("role", "listitem");
    open.type = "button";
    open.className = "open";
    open.title = tile.about;
    const frame = element("span", "", "frame");
    if (picture.length) {
      const url = URL.createObjectURL(blobOf(picture));
      urls.push(url);
      frame.append(Object.assign(document.createElement("img"), { src: url, alt: "", decoding: "async" }));
    } else frame.append(icon("broken_image"));
    const head = element("span", "", "head");
    head.append(element("b", tile.title), element("span", tile.score, "score"));
    open.append(frame, head, element("span", tile.line, "line"));
    const label = element("label", "", "pick"), box = Object.assign(document.createElement("input"), { type: "checkbox" });
    label.title = "Select, to compare or delete";
    box.checked = chosen.has(tile.id);
    box.setAttribute("aria-label", `Select: ${tile.about}`);
    label.append(box);
    said.append(element("span", tile.when, "when"), ...tile.tags.map((tag) => element("span", tag, "tag")));
    if (tile.marks) said.append(icon("draw"));
    node.append(open, label, said);
    if (tile.damaged || tile.note) node.append(element("div", tile.damaged || tile.note, tile.damaged ? "damaged" : "note"));
    node.classList.toggle("chosen", box.checked);
    open.addEventListener("click", () => send.setTriggerValue("open", tile.id));
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(tile.id);
      else chosen.delete(tile.id);
      mark();
    });
    return node;
  }

  function release() {
    for (const url of urls) URL.revokeObjectURL(url);
    urls = [];
  }

  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    release();
  });

  /** @param {import("../../../sightglass/browser/component.js").Given<GridHead>} given */
  return ({ data: head, blobs, setStateValue, setTriggerValue }) => {
    send = { setStateValue, setTriggerValue };
    if (head.id === shown) return;
    if (head.turn !== turn) chosen = new Set(head.chosen);
    [shown, turn] = [head.id, head.turn];
    release();
    root.replaceChildren(...head.tiles.map((tile, i) => tileOf(tile, blobs[i])));
  };
}

export default component(".grid", mount);
