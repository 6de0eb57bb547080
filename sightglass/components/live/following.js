// Which class or box is followed: what the model says first, or what a person chose.

import { find } from "../../browser/component.js";
import { boxAt } from "./screen.js";

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

  /** Take the labels of a model that is loaded. @param {import("./link.js").Note} note */
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
