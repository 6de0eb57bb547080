// Beside Streamlit's player: exact times, a line on the chart, the moments, and the frame that is shown.

import { component, find, hearIn, onceAFrame, write } from "../../browser/component.js";

/**
 * @typedef {{seconds: number, words: string}} Moment
 * @typedef {{place: string, begin: number, end: number|null, seconds: number, moments: Moment[]|null, note: string, hidden: boolean}} Head
 *   place: key of the container with the video and its chart; begin, end: of the part that is played; seconds: of the chart;
 *   moments: null where there is only a player; hidden: the video is out of sight
 */

/** Seconds by which a time is exceeded, since it may be rounded to before its frame: `frame_at` in clip.py does so, too. */
const INTO_FRAME = 0.001;
/** Pixels by which a press that moved is no click, and those around a moment's mark that are the mark's. */
const PRESS_MOVED = 5;
const MARK = 8;
/** Milliseconds for which the player stands before its time goes into the address. */
const STANDS_MS = 300;

/** Format a time, as `clock` in timeline.py. @param {number} seconds @param {number} digits */
export function clock(seconds, digits) {
  const unit = 10 ** digits, units = Math.round(seconds * unit), minutes = Math.floor(units / (60 * unit));
  const rest = ((units - minutes * 60 * unit) / unit).toFixed(digits).padStart(3 + digits, "0");
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes - 60 * hours).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Return the index of the last moment that has begun; -1 before the first. @param {Moment[]} moments @param {number} at */
export function currentMoment(moments, at) {
  return moments.findLastIndex(({ seconds }) => seconds <= at + INTO_FRAME);
}

/**
 * Return the time at a place of the chart: a moment's where its mark is.
 * @param {{x: number, y: number}} point in pixels of the plot @param {number} width of the plot @param {Head} head
 */
export function timeAt({ x, y }, width, { seconds, moments }) {
  const near = (moments ?? []).filter((moment) => Math.abs((moment.seconds / seconds) * width - x) <= MARK);
  if (near.length && Math.abs(y) <= MARK) return near[0].seconds;
  return Math.min(seconds, Math.max(0, (x / width) * seconds));
}

class Player {
  #head = /** @type {Head|null} */ (null);
  #send = /** @type {import("../../browser/component.js").Payload<Head>} */ (/** @type {unknown} */ (null));
  /** Seconds of the frame that is shown. */
  #at = 0;
  #timer = 0;
  /** Whether Python knows where the player comes to stand next: where it begins, or at the frame that is opened. */
  #known = false;
  #line = document.createElement("div");
  #pressed = /** @type {PointerEvent|null} */ (null);
  #watched = /** @type {HTMLVideoElement|null} */ (null);

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    this.signal = signal;
    this.#line.className = "playhead";
    this.#line.style.cssText = "position:absolute;width:2px;margin-left:-1px;pointer-events:none;background:var(--st-primary-color,#1c8d97)";
    const hear = hearIn(root, signal);
    hear("open", "click", () => this.#open());
    find(root, ".moments").addEventListener("click", ({ target }) => this.#choose(target), { signal });
    // Streamlit may put another video in place of the first: events of media do not rise, but are seen on their way down.
    // At `loadedmetadata` it puts the video to its own start.
    for (const type of ["loadeddata", "play", "pause", "seeked", "timeupdate"]) {
      document.addEventListener(type, ({ target }) => target === this.video && this.#hear(type), { signal, capture: true });
    }
    document.addEventListener("pointerdown", (event) => (this.#pressed = this.#isOnChart(event) ? event : null), { signal, capture: true });
    document.addEventListener("pointerup", (event) => this.#release(event), { signal, capture: true });
    signal.addEventListener("abort", () => {
      clearTimeout(this.#timer);
      this.#line.remove();
    });
  }

  get place() {
    return this.#head && document.querySelector(`.st-key-${this.#head.place}`);
  }

  /** @returns {HTMLVideoElement|null} */
  get video() {
    return this.place?.querySelector("video") ?? null;
  }

  /** Where the curves are drawn, the upper ones first. @returns {Element[]} */
  get plots() {
    return [...(this.place?.querySelectorAll(".draglayer .nsewdrag") ?? [])];
  }

  /** @param {import("../../browser/component.js").Payload<Head>} payload */
  show(payload) {
    const before = this.#head, head = payload.data;
    this.#send = payload;
    this.#head = head;
    this.root.toggleAttribute("hidden", !head.moments);
    if (JSON.stringify(before?.moments) !== JSON.stringify(head.moments)) this.#list(head.moments ?? []);
    find(this.root, ".moments").title = head.note;
    if (!before) this.#watch();
    // The time goes to Python and comes back: it is no wish to go there.
    if (!before || before.place !== head.place || !head.moments) this.#begin();
    this.#hide();
    this.#draw();
  }

  /** Keep the video out of sight where its frame is shown instead. */
  #hide() {
    const { video } = this;
    const hidden = Boolean(this.#head?.hidden);
    const element = video?.closest("[data-testid=stElementContainer]");
    if (!video || !(element instanceof HTMLElement)) return;
    if (hidden) video.pause();
    element.inert = hidden;
    // Not `display`: a video that is not drawn does not say which frame it has.
    element.style.cssText = hidden ? "position:absolute;opacity:0;pointer-events:none" : "";
  }

  /** Draw the line once the chart has come, and anew whenever it is drawn. */
  #watch() {
    const place = this.place;
    if (!place) return;
    const observer = new MutationObserver(onceAFrame(() => {
      this.#hide();
      this.#draw();
    }));
    observer.observe(place, { childList: true, subtree: true });
    this.signal.addEventListener("abort", () => observer.disconnect());
  }

  #begin() {
    if (!this.#head || !this.video?.readyState) return;
    this.#known = true;
    this.#seek(this.#head.begin);
  }

  /** @param {number} seconds */
  #seek(seconds) {
    const { video } = this;
    if (!video) return;
    this.#follow(video);
    video.currentTime = seconds + INTO_FRAME;
  }

  /** @param {string} type of the video's event */
  #hear(type) {
    const { video } = this, end = this.#head?.end;
    if (!video) return;
    if (type === "loadeddata") this.#begin();
    this.#follow(video);
    if (typeof end === "number" && !video.paused && video.currentTime >= end) video.pause();
    if (!video.requestVideoFrameCallback) this.#show(video.currentTime);
    clearTimeout(this.#timer);
    if (this.#known) this.#known = type !== "seeked" && type !== "play";
    else if (video.paused) this.#timer = window.setTimeout(() => this.#tell(), STANDS_MS);
  }

  /** Hear of each frame that a video shows. @param {HTMLVideoElement} video */
  #follow(video) {
    if (video === this.#watched || !video.requestVideoFrameCallback) return;
    this.#watched = video;
    const next = () => video.requestVideoFrameCallback((_now, { mediaTime }) => {
      if (this.signal.aborted || video !== this.#watched) return;
      this.#show(mediaTime);
      next();
    });
    next();
  }

  /** @param {number} seconds of the frame that is shown */
  #show(seconds) {
    this.#at = seconds;
    this.#draw();
  }

  #draw() {
    const head = this.#head, [first] = this.plots, last = this.plots.at(-1);
    if (!head?.moments) return;
    write(find(this.root, ".open .label"), `Open the frame at ${clock(this.#at, 2)} on Explore`);
    const current = currentMoment(head.moments, this.#at);
    [...find(this.root, ".moments").children].forEach((row, i) => row.setAttribute("aria-current", String(i === current)));
    const around = first?.closest(".svg-container");
    if (!around || !last) return;
    if (this.#line.parentElement !== around) around.append(this.#line);
    const { left, top, width } = first.getBoundingClientRect(), origin = around.getBoundingClientRect();
    this.#line.style.left = `${left - origin.left + (this.#at / head.seconds) * width}px`;
    this.#line.style.top = `${top - origin.top}px`;
    this.#line.style.height = `${last.getBoundingClientRect().bottom - top}px`;
  }

  /** @param {Moment[]} moments */
  #list(moments) {
    find(this.root, ".moments").replaceChildren(...moments.map(({ seconds, words }) => {
      const row = document.createElement("button"), time = document.createElement("span"), text = document.createElement("span");
      row.type = "button";
      time.className = "time";
      time.textContent = clock(seconds, 1);
      text.textContent = words;
      row.append(time, text);
      return row;
    }));
  }

  /** @param {EventTarget|null} target */
  #choose(target) {
    const row = target instanceof Element ? target.closest("button") : null;
    const index = row ? [...find(this.root, ".moments").children].indexOf(row) : -1;
    const moment = this.#head?.moments?.[index];
    if (moment) this.#seek(moment.seconds);
  }

  /** @param {PointerEvent} event */
  #isOnChart({ target, clientX, clientY }) {
    if (!(target instanceof Node) || !this.place?.contains(target)) return false;
    const [first] = this.plots, last = this.plots.at(-1);
    if (!first || !last) return false;
    const { left, right, top } = first.getBoundingClientRect(), { bottom } = last.getBoundingClientRect();
    return clientX >= left - MARK && clientX <= right + MARK && clientY >= top - MARK && clientY <= bottom;
  }

  /** @param {PointerEvent} event */
  #release({ clientX, clientY }) {
    const pressed = this.#pressed, [plot] = this.plots;
    this.#pressed = null;
    if (!pressed || !this.#head || Math.hypot(clientX - pressed.clientX, clientY - pressed.clientY) > PRESS_MOVED) return;
    const { left, top, width } = plot.getBoundingClientRect();
    this.#seek(timeAt({ x: clientX - left, y: clientY - top }, width, this.#head));
  }

  #open() {
    const { video } = this;
    // Another run of the page would break off the one that opens the frame.
    clearTimeout(this.#timer);
    this.#known = Boolean(video && !video.paused);
    video?.pause();
    this.#send.setTriggerValue("open", this.#at);
  }

  #tell() {
    this.#send.setStateValue("at", this.#at);
  }
}

export default component(".player", Player);
