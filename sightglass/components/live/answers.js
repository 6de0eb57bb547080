// What the model says of the frame on the screen, as rows with bars; a click on one follows it. How fast frames come.

import { find } from "../../browser/component.js";
import { make, write } from "../../browser/elements.js";
import { boxAt, percent } from "./screen.js";

/** @typedef {{index: number, label: string, box?: number[]}} Pin  box: in shares of the frame */

export class Following {
  /** @type {Pin|null} */
  pin = null;
  detects = false;
  #labels = /** @type {string[]} */ ([]);

  /** @param {import("./live.js").Live} live */
  constructor(live) {
    this.live = live;
  }

  /** Take the labels of a model that is loaded. @param {import("./loop.js").Note} note */
  load({ detects, labels, model }) {
    const { root } = this.live;
    this.detects = Boolean(detects);
    this.#labels = /** @type {string[]} */ (labels);
    root.dataset.model = String(model);
    root.classList.toggle("detects", this.detects);
    find(root, ".boxes").hidden = !this.detects;
    find(root, "datalist").replaceChildren(...this.#labels.map((label) => new Option(label)));
  }

  /** Forget the model before. */
  reset() {
    this.#labels = [];
    this.set(null);
  }

  /** @param {Pin|null} pin */
  set(pin) {
    this.pin = pin;
    this.live.loop.link.pin(pin && { index: pin.index, ...(pin.box && { box: pin.box }) });
    find(this.live.root, ".pin").value = pin?.label ?? "";
  }

  /**
   * Follow one of the answers, or nothing where that one is followed already.
   * @param {number} place @param {import("./screen.js").Shown|null} shown what it was chosen in
   */
  choose(place, shown) {
    const { answer, taken } = shown ?? {}, said = answer?.head.answers[place];
    if (!said || !taken) return;
    const { index, label, box } = said, { width, height } = taken.pixels;
    const chosen = answer.head.place === null ? this.pin?.index === index : Boolean(this.pin) && answer.head.place === place;
    const shares = box?.map((edge, i) => Math.min(1, Math.max(0, edge / (i % 2 ? height : width))));
    this.set(chosen ? null : { index, label, ...(shares && { box: shares }) });
  }

  /** Follow a class by its name; nothing, or none of the model's: whatever it says. @param {string} typed */
  name(typed) {
    const name = typed.trim(), index = this.#labels.findIndex((label) => label.toLowerCase() === name.toLowerCase());
    this.set(index < 0 ? null : { index, label: this.#labels[index] });
    if (index < 0 && name) this.live.notice.say(`The model knows no ${name}: choose a class from the list.`);
  }

  /** Follow the box that is clicked. @param {MouseEvent} event */
  click({ offsetX, offsetY }) {
    const { shown } = this.live.screen, { clientWidth, clientHeight } = this.live.canvas;
    if (!shown || !this.detects) return;
    const { width, height } = shown.taken.pixels;
    const place = boxAt(shown.answer, (offsetX / clientWidth) * width, (offsetY / clientHeight) * height);
    if (place === null) this.set(null);
    else this.choose(place, shown);
  }
}

/** @typedef {import("./loop.js").Answer} Answer */

const MOST = 8;
/** Milliseconds between two changes: nobody reads faster, and each has the browser lay out the page. */
const WORDS_MS = 120;

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
  /** What the rows say. @type {import("./screen.js").Shown|null} */
  #shown = null;
  #written = 0;

  /** @param {import("./live.js").Live} live */
  constructor(live) {
    this.live = live;
    this.list = find(live.root, ".rows");
    this.list.addEventListener("click", (event) => {
      const row = event.target instanceof Element ? event.target.closest("button") : null;
      if (row) live.following.choose(this.#rows.indexOf(row), this.#shown);
    }, { signal: live.signal });
  }

  /** @param {number} now */
  update(now) {
    if (now - this.#written > WORDS_MS) this.write();
  }

  write() {
    const { root, canvas, screen, sources: { kind }, following: { pin, detects }, loop, frozen } = this.live;
    this.#written = performance.now();
    this.#shown = screen.shown;
    const answer = screen.shown?.answer ?? null, text = followed(answer, pin, detects), read = loop.pace.read(this.#written);
    find(root, ".follows").textContent = text;
    this.#writeRows(answer);
    canvas.setAttribute("aria-label", `${kind === "camera" ? "The camera" : "The clip"} with its map. ${text}`);
    const speed = read && `${Math.round(read.rate)} frames/s · ${Math.round(read.latency)} ms behind the ${kind}`;
    if (frozen) find(root, ".speed").textContent = "Frozen: this frame stays until you go on.";
    else if (speed) find(root, ".speed").textContent = speed + (loop.dropped ? ` · ${loop.dropped} skipped` : "");
  }

  /** @param {Answer|null} answer */
  #writeRows(answer) {
    const said = answer?.head.answers.slice(0, MOST) ?? [];
    while (this.#rows.length < said.length) this.#rows.push(this.#row());
    while (this.#rows.length > said.length) this.#rows.pop()?.parentElement?.remove();
    said.forEach(({ label, index, score }, place) => {
      const row = this.#rows[place], { map } = /** @type {Answer} */ (answer).head, where = answer?.head.place ?? null;
      const chosen = where === null ? map?.label === label && said.findIndex((one) => one.index === index) === place : where === place;
      const [name, number, track] = /** @type {HTMLElement[]} */ ([...row.children]);
      if (name.textContent !== label) name.textContent = row.title = label;
      write(number, percent(score));
      /** @type {HTMLElement} */ (track.firstElementChild).style.width = `${100 * score}%`;
      row.setAttribute("aria-pressed", String(chosen));
    });
  }

  #row() {
    const row = make("button", "", "", [make("span", "name cut"), make("span", "number"), make("span", "track meter", "", [make("i")])]);
    this.list.append(make("li", "", "", [row]));
    return row;
  }
}
