// A list to choose from. The choice is shown at once, here and in the viewer; Python is told afterwards.

import { broadcast, component, onBroadcast } from "../../browser/component.js";
import { markRow, onRow, writeRows } from "../../browser/rows.js";

/** @typedef {import("../../browser/rows.js").Row} Row @typedef {{name: string, rows: Row[], chosen: number, ticked: number[], ticks: number, plain: boolean, keys?: string[], maps?: number[]}} List  maps: of words, the map of each, and last that of the chosen phrase */

class AnswerList {
  #chosen = 0;
  /** At most two rows that are compared. @type {number[]} */
  #ticked = [];
  #listed = "";
  /** @type {Pick<List, "rows"|"ticks"|"plain"|"keys"|"maps">} */
  #list = { rows: [], ticks: 0, plain: false };
  #name = "";
  /** What Python said last. @type {number | null} */
  #given = null;
  /** Choices that Python has not echoed yet. @type {number[]} */
  #sent = [];
  /** @type {import("../../browser/component.js").Send} */
  #send = () => {};

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    onRow(root, (index, more) => {
      // With Shift a row of words: from the chosen one to this.
      if (more && this.#list.maps && index !== this.#chosen) return this.#tick([this.#chosen, index]);
      this.#tick([]);
      this.#choose(index);
      this.#tell(true);
    }, (index) => {
      const others = this.#ticked.filter((other) => other !== index);
      this.#tick(others.length < this.#ticked.length ? others : [...others, index].slice(-2));
    });
    // A list that was replaced stays until the run ends: a choice in it must not count as a click on the new one.
    onBroadcast("choose", ({ index, from }) => !from && this.#choose(this.#list.maps?.indexOf(index) ?? index), signal);
    onBroadcast("ask", () => this.#tell(), signal);
    onBroadcast("touched", ({ rows: now }) => {
      const { rows, ...kind } = this.#list;
      // Beside each answer's bar its bar before: all that is known of an answer that was not asked for again.
      const unknown = Object.values(now ?? {}).some(({ share }) => share !== undefined) ? { share: null, text: "–" } : {};
      writeRows(root, rows.map((row) => {
        const found = now?.[row.label] ?? unknown;
        return { ...row, ...("share" in found ? { before: row.share } : {}), ...found };
      }), kind);
    }, signal);
  }

  /** @param {number[]} rows */
  #tick(rows) {
    const [before, now] = [this.#ticked, rows].map(({ length }) => length > 1);
    this.#ticked = rows;
    markRow(this.root, this.#chosen, rows);
    // One alone changes nothing.
    if (before || now) this.#send("ticked", rows);
  }

  #tell(byHand = false) {
    const { maps, plain } = this.#list, index = this.#ticked.length > 1 ? maps?.at(-1) : maps?.[this.#chosen];
    if (!plain) broadcast("choose", { index: index ?? this.#chosen, from: this.root, byHand });
  }

  #mark() {
    const { root } = this;
    markRow(root, this.#chosen, this.#ticked);
    const row = /** @type {HTMLElement | undefined} */ (root.children[this.#chosen]);
    if (!row || root.scrollHeight <= root.clientHeight) return;
    const top = row.offsetTop - root.offsetTop;
    root.scrollTop = Math.min(top, Math.max(root.scrollTop, top + row.offsetHeight - root.clientHeight));
  }

  /** @param {number} index */
  #choose(index) {
    if (this.#list.plain || index === this.#chosen || !this.root.children[index]) return;
    this.#chosen = index;
    this.#mark();
    this.#sent.push(index);
    this.#send("chosen", index);
  }

  /** @param {import("../../browser/component.js").Payload<List>} payload */
  show({ data: { name, rows, chosen: index, ticked, ...kind }, setStateValue }) {
    const { root } = this, now = JSON.stringify([rows, kind]), fresh = now !== this.#listed;
    [this.#send, this.#list] = [setStateValue, { rows, ...kind }];
    // Another list, even if it looks the same: Python will not echo choices of the last one.
    if (name !== this.#name) [this.#name, this.#sent, this.#given, this.#ticked] = [name, [], null, ticked];
    if (fresh) {
      this.#listed = now;
      writeRows(root, rows, kind);
    }
    // Python echoes each choice; an echo that comes after a later click is out of date.
    const sent = this.#sent, echo = sent.indexOf(index);
    const late = echo >= 0 ? echo < sent.length - 1 : sent.length > 0 && index === this.#given;
    if (!late || echo >= 0) this.#sent = echo >= 0 ? sent.slice(echo + 1) : [];
    this.#given = index;
    if (late && !fresh) return;
    this.#chosen = index;
    this.#mark();
    this.#tell();
  }
}

export default component(".rows", AnswerList);
