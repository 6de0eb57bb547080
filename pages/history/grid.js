// Saved records as pictures in a grid: one can be opened, several can be selected. The browser holds the selection.

import "../../sightglass/components/session/url_state.js";
import { blobOf, component } from "../../sightglass/browser/component.js";
import { icon, make } from "../../sightglass/browser/elements.js";

/**
 * @typedef {{id: string, title: string, score: string, line: string, when: string, about: string, tags: string[],
 *   note: string, marks: number, damaged: string}} Tile
 * @typedef {{id: string, turn: string, tiles: Tile[], chosen: string[]}} GridHead
 * @typedef {import("../../sightglass/browser/component.js").Send} Send
 */

const WAIT_MS = 120;

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
    const frame = make("span", "frame framing"), head = make("span", "head", "", [make("b", "cut", tile.title), make("span", "score", tile.score)]);
    const open = make("button", "open column", "", [frame, head, make("span", "line cut", tile.line)]), box = make("input");
    const label = make("label", "pick", "", [box]), node = make("div", "tile column", "", [open, label]);
    node.dataset.id = tile.id;
    node.setAttribute("role", "listitem");
    open.title = tile.about;
    if (picture.length) {
      const url = URL.createObjectURL(blobOf(picture));
      urls.push(url);
      frame.append(Object.assign(make("img"), { src: url, alt: "", decoding: "async" }));
    } else frame.append(icon("broken_image"));
    box.type = "checkbox";
    label.title = "Select, to compare or delete";
    box.checked = chosen.has(tile.id);
    box.setAttribute("aria-label", `Select: ${tile.about}`);
    const tags = tile.tags.map((tag) => make("span", "tag cut", tag)), marks = tile.marks ? [icon("draw")] : [];
    node.append(make("div", "said flowing", "", [make("span", "when", tile.when), ...tags, ...marks]));
    if (tile.damaged || tile.note) node.append(make("div", tile.damaged ? "damaged" : "note cut", tile.damaged || tile.note));
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

  /** @param {import("../../sightglass/browser/component.js").Given<GridHead>} given */
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
