// What the model says of the frame on the screen, as rows with bars; a click on one follows it.

import { percent } from "./screen.js";

/** @typedef {import("./link.js").Answer} Answer @typedef {{index: number, label: string, box?: number[]}} Pin  box: in shares of the frame */

const MOST = 8;

/**
 * Return what is followed, in words.
 * @param {Answer|null} answer @param {Pin|null} pin @param {boolean} detects
 */
export function followed(answer, pin, detects) {
  if (!answer) return "";
  const { map, answers } = answer.head;
  if (detects && !answers.length) return "No box in this frame.";
  if (pin && !map) return `No ${pin.label} in sight.`;
  if (!map) return "";
  if (map.state !== "ok") return `${map.label}: this map is empty.`;
  const said = `${map.label} ${percent(map.score)}`;
  // A frame from before the choice has the map of another class; a box that is followed may change its own.
  return pin && (detects || pin.label === map.label) ? `Following ${said}` : said;
}

export class Answers {
  /** @type {HTMLButtonElement[]} */
  #rows = [];

  /** @param {HTMLElement} list @param {(place: number) => void} choose @param {AbortSignal} signal */
  constructor(list, choose, signal) {
    this.list = list;
    list.addEventListener("click", (event) => {
      const row = event.target instanceof Element ? event.target.closest("button") : null;
      if (row) choose(this.#rows.indexOf(row));
    }, { signal });
  }

  /** @param {Answer|null} answer */
  show(answer) {
    const said = answer?.head.answers.slice(0, MOST) ?? [];
    while (this.#rows.length < said.length) this.#rows.push(this.#row());
    while (this.#rows.length > said.length) this.#rows.pop()?.parentElement?.remove();
    said.forEach(({ label, index, score }, place) => {
      const row = this.#rows[place], { map } = /** @type {Answer} */ (answer).head, where = answer?.head.place ?? null;
      const chosen = where === null ? map?.label === label && said.findIndex((one) => one.index === index) === place : where === place;
      const [name, number, track] = /** @type {HTMLElement[]} */ ([...row.children]);
      if (name.textContent !== label) name.textContent = row.title = label;
      const words = percent(score);
      if (number.textContent !== words) number.textContent = words;
      /** @type {HTMLElement} */ (track.firstElementChild).style.width = `${100 * score}%`;
      row.setAttribute("aria-pressed", String(chosen));
    });
  }

  #row() {
    const row = Object.assign(document.createElement("button"), { type: "button" }), item = document.createElement("li");
    const parts = ["name", "number", "track"].map((name) => Object.assign(document.createElement("span"), { className: name }));
    parts[2].append(document.createElement("i"));
    row.append(...parts);
    item.append(row);
    this.list.append(item);
    return row;
  }
}
