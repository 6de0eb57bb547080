// A picture and its maps: what Streamlit calls, what Python sends and is told, and what stands around the pictures.

import { blobOf, broadcast, component, find, onBroadcast, onceAFrame, onResize, themeOf, write } from "../../browser/component.js";
import { createMap, Layer, readingAt, scaling } from "../../browser/draw.js";
import { contains, placer, WHOLE } from "../../browser/geometry.js";
import { Picture } from "../../browser/canvas.js";
import { bytes, grids, inflate } from "../../browser/unpack.js";
import { endsOf, showControls } from "./controls.js";
import { Ghost } from "./ghost.js";
import { Headline, hotOf } from "./headline.js";
import { Input } from "./input.js";
import { Inset } from "./inset.js";
import { arrange, createFigure, Painter, panelOf, widthOf } from "./painter.js";
import { isNewLink, linkLasts, linkTo, readout, recall, sentence, valueText, viewportOf } from "./settings.js";
import { State } from "./state.js";
import { Touch } from "./touch.js";

/** @typedef {import("./state.js").Head} Head @typedef {import("../../browser/component.js").Payload<Head>} Payload */

/** Milliseconds of work for the first map: the next frame may be late, as the page renders whatever arrived after it. */
const FIRST_MS = 40;
/** Attribute of the page while a viewer fills the screen with the answers and the tiles beside it: `layout.css`. */
const STAGED = "data-stage";
/** CSS pixels above and below the pictures on the whole screen: alone, and besides the headline and the tiles. */
const AROUND = 130;
const STAGE_AROUND = 110;
const HINT = "Point for values.";
/** Milliseconds of rest until the address says what a hand has changed: browsers refuse many changes of it. */
const ADDRESS_MS = 300;

/** Whether a viewer writes the address just now: two on a page may differ in their zoom. */
let addressing = false;

/** @param {HTMLElement} element @param {import("./settings.js").Line} line */
function writeLine(element, line) {
  const parts = line.map(([text, bold]) => Object.assign(document.createElement(bold ? "b" : "span"), { textContent: text }));
  element.replaceChildren(...parts);
}

export class Viewer {
  state = new State();
  /** @type {Pick<Payload, "setStateValue"|"setTriggerValue">} */
  send = { setStateValue: () => {}, setTriggerValue: () => {} };
  #coming = "";
  #leaving = 0;

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    this.signal = signal;
    this.painter = new Painter(root, this.state);
    this.inset = new Inset(root, this.state);
    this.painter.after = (style) => this.inset.draw(style);
    this.inset.button.addEventListener("click", () => this.swap(), { signal });
    this.touch = new Touch(this);
    this.input = new Input(this, signal);
    this.headline = new Headline(signal);
    this.ghost = new Ghost(this, signal);
    onBroadcast("settings", (answer) => {
      if (this.#isPages()) answer.settings = this.state.style().settings;
    }, signal);
    onBroadcast("play", (play) => this.#isPages() && this.#play(play), signal);
    onBroadcast("look", () => this.tellShown(), signal);
    onBroadcast("addressed", () => this.#address(), signal);
    window.addEventListener("click", (event) => {
      const copies = event.target instanceof Element && event.target.closest(".st-key-copy-link button");
      if (!copies || !this.#isPages()) return;
      // The page has nothing to do for it but to keep an own picture for longer: it would run for the same view.
      if (!this.state.head.keeps) event.stopPropagation();
      void this.#copyLink(copies.closest('[class*="st-key-saved-link-"]'));
    }, { signal, capture: true });
    let room = 0;
    onResize(find(root, ".area"), () => {
      const now = widthOf(find(root, ".panels"));
      if (now === room || !this.state.head.id) return;
      room = now;
      this.arrange();
    }, signal);
    signal.addEventListener("abort", () => {
      clearTimeout(this.#leaving);
      document.documentElement.removeAttribute(STAGED);
      for (const { picture } of [this.state, ...this.state.listed]) picture?.bitmap.close();
      find(root, ".panels").replaceChildren();
    });
  }

  /** Show what Python sent. @param {Payload} payload */
  async show({ data: head, blobs, setStateValue, setTriggerValue }) {
    const { state, root, painter } = this, begun = Boolean(state.head.id);
    this.send = { setStateValue, setTriggerValue };
    Object.assign(state, themeOf(root));
    this.#coming = head.id;
    if (state.head.id === head.id) {
      this.showControls();
      return painter.redraw();
    }
    // At once: pictures come a moment later, and what is below must not jump.
    if (!begun) this.#begin(head);
    // The page around it describes the coming maps already.
    root.classList.toggle("stale", begun);
    const same = state.head.picture === head.picture ? state.picture : null;
    const count = head.grids.reduce((sum, [h, w]) => sum + h * w, 0);
    const [bitmap, steps, ...others] = await Promise.all([
      same ? same.bitmap : createImageBitmap(blobOf(blobs[0])),
      inflate(blobs[1], count),
      ...blobs.slice(2).map((blob) => createImageBitmap(blobOf(blob))),
    ]);
    const unused = same ? others : [bitmap, ...others];
    if (this.#coming !== head.id || this.signal.aborted) return unused.forEach((one) => one.close());
    if (state.cover && head.touch !== state.head.touch) this.touch.clear();
    if (!same) this.#replacePicture(bitmap, head.size);
    this.#replaceMaps(head, steps, others.map((other) => new Picture(other, head.size)));
    this.build();
    this.showControls();
    painter.draw(FIRST_MS);
    root.classList.remove("stale");
    // A list that was mounted first has already announced its choice: ask for it again.
    broadcast("ask", null);
    root.setAttribute("data-shown", head.id);
    if (this.#isPages()) this.ghost.invite();
  }

  /** @param {ImageBitmap} bitmap @param {number[]} size */
  #replacePicture(bitmap, size) {
    const { state } = this, before = state.picture;
    state.picture = new Picture(bitmap, size);
    if (!before) return;
    before.bitmap.close();
    state.choice = state.point = state.play = null;
    this.view(WHOLE, false);
    if (!state.region) return;
    state.measure(false);
    this.tellRegion();
  }

  /** @param {Head} head @param {Uint16Array} steps @param {Picture[]} [pictures] of panels that have their own */
  #replaceMaps(head, steps, pictures = []) {
    const { state } = this, values = grids(steps, head.grids);
    for (const { picture } of state.listed) picture?.bitmap.close();
    if (head.choice !== state.head.choice || state.choice === null) state.choice = head.choice ?? state.choice;
    let next = 0;
    state.listed = head.panels.map((panel) => {
      const maps = panel.maps.map((map) => createMap(map, values[map.own], map.shared === null ? null : values[map.shared]));
      const place = next;
      next += maps.length || Math.min(1, panel.facts.length);
      return { ...panel, picture: panel.pictured ? pictures.shift() : undefined, maps, place };
    });
    if (state.choice === null && ((head.keys.length && !head.spread) || state.listed.some(({ maps }) => maps.length > 1))) state.choice = 0;
    if (state.alone !== null && state.alone >= state.listed.length) state.alone = null;
    state.head = head;
  }

  /** Take the first payload, without its pixels: its panels, its colormaps, the settings of a link or of before. @param {Head} head */
  #begin(head) {
    this.#replaceMaps(head, new Uint16Array(0));
    this.state.colormaps = new Map(head.colormaps.map(({ name, lut }) => [name, bytes(lut)]));
    const viewport = isNewLink(sessionStorage, head.initial) ? viewportOf(head.initial?.zoom) : null;
    this.state.settings = recall(sessionStorage, head.initial, [...this.state.colormaps.keys()]);
    if (viewport) this.view(viewport, false);
    this.build();
    this.#explainLines();
    // Until then it is out of sight, and the page keeps its place free.
    this.root.classList.add("sized");
    /** @type {ShadowRoot} */ (this.root.getRootNode()).host.setAttribute("data-sized", "");
  }

  tellRegion() {
    const { region, head } = this.state;
    this.send.setStateValue("region", region && { picture: head.picture, xyxy: region });
  }

  /** Put as many panels on the page as the layout has. */
  build() {
    const { root, state } = this, { head } = state, holder = find(root, ".panels"), listed = state.panelsToShow();
    if (state.panels.length !== listed.length) {
      holder.replaceChildren(...listed.map(createFigure));
      for (const figure of holder.children) this.input.connect(/** @type {HTMLElement} */ (figure));
    }
    const layers = state.panels.map(({ layer }) => layer);
    state.panels = listed.map((panel, i) =>
      panelOf(panel, /** @type {HTMLElement} */ (holder.children[i]), layers[i] ?? new Layer()));
    root.classList.toggle("bare", !state.maps().length);
    root.classList.toggle("dimmed", head.dimmed);
    find(root, ".celled").hidden = !state.maps().some(({ cells }) => cells);
    find(root, ".measure").hidden = !head.area;
    find(root, ".edit").hidden = !head.touch;
    find(root, ".boxed").hidden = !head.boxes.length && !state.panels.some(({ boxes }) => boxes?.length);
    find(root, ".shared").disabled = !state.shares();
    this.caption();
    this.arrange();
  }

  /** Write the titles, notes and labels of all panels. */
  caption() {
    const { state } = this;
    for (const panel of state.panels) {
      const map = state.mapOf(panel), { title, note } = state.shot(panel) ?? map ?? panel;
      const part = find.bind(null, panel.element);
      part(".title").textContent = part(".title").title = title;
      part(".note").textContent = note;
      part(".hint").textContent = this.touch.offered(part(".stage")) ? "hold to cover" : "";
      panel.canvas.setAttribute("aria-label", (map?.text || title || "The picture").replaceAll("**", ""));
      part(".legend").hidden = !map?.sides;
      if (!map?.sides) continue;
      part(".first").textContent = `more ${map.sides[0]}`;
      part(".second").textContent = `more ${map.sides[1]}`;
    }
    this.#reserveLine();
    this.readOut();
  }

  /** Say what the lines over the maps are. */
  #explainLines() {
    const { head: { size }, settings: { mode, threshold } } = this.state, maps = this.#maps(), whole = [0, 0, ...size].join();
    const parts = [
      mode === "overlay" && maps.some(({ kind }) => kind === "heat") && (threshold ? "Line: threshold." : "Lines: half, 80 %."),
      maps.some(({ kind }) => kind === "signed") && "Dashed: what lowers the number.",
      maps.some(({ seen }) => seen.join() !== whole) && "Frame: seen.",
    ];
    write(find(this.root, ".key"), parts.filter(Boolean).join(" "));
  }

  /** Fit the panels into the available room. */
  arrange() {
    const { state } = this;
    if (!arrange(find(this.root, ".panels"), state.panels, state.head, this.#fullHeight())) return;
    this.inset.place(widthOf(find(this.root, ".panels")));
    if (!this.inset.offered) this.state.swapped = false;
    this.#placeCross();
    this.painter.redraw();
    this.tellShown();
  }

  isFull() {
    return this.#fills() || this.#isStaged();
  }

  /** Whether it alone fills the screen. */
  #fills() {
    return /** @type {ShadowRoot} */ (this.root.getRootNode()).fullscreenElement === this.root;
  }

  /** Whether it fills the screen with the answers and the tiles beside it. */
  #isStaged() {
    const { documentElement: page, fullscreenElement } = document;
    return page.hasAttribute(STAGED) && fullscreenElement === page && this.#isOnStage();
  }

  /** Whether answers stand beside it. */
  #isOnStage() {
    const { host } = /** @type {ShadowRoot} */ (this.root.getRootNode());
    return Boolean(host.closest(".st-key-stage") && document.querySelector(".st-key-answers, .st-key-bars"));
  }

  /** Fill the screen, or leave it. */
  toggleFull() {
    const { documentElement: page } = document;
    if (this.isFull()) return document.exitFullscreen();
    if (!this.#isOnStage()) return this.root.requestFullscreen();
    page.setAttribute(STAGED, "");
    return page.requestFullscreen().catch(() => page.removeAttribute(STAGED));
  }

  /** Fit into the screen, or back into the page. */
  fit() {
    const { root, state } = this, full = this.isFull();
    if (!document.fullscreenElement) document.documentElement.removeAttribute(STAGED);
    state.staged = this.#isStaged();
    if (!state.staged) state.alone = null;
    root.classList.toggle("staged", state.staged);
    find(root, ".full .icon").textContent = full ? "fullscreen_exit" : "fullscreen";
    Object.assign(state, themeOf(root));
    if (state.head.id) this.build();
  }

  /** Return the CSS pixels for the pictures on the whole screen; 0 where they do not fill it. */
  #fullHeight() {
    if (this.#fills()) return innerHeight - AROUND;
    if (!this.#isStaged()) return 0;
    const parts = [...document.querySelectorAll(".st-key-headline, .st-key-top, .st-key-checks")];
    return innerHeight - STAGE_AROUND - parts.reduce((sum, part) => sum + part.getBoundingClientRect().height, 0);
  }

  /** Whether it is a viewer of the page, in no window over it. */
  #isPages() {
    const { host } = /** @type {ShadowRoot} */ (this.root.getRootNode());
    return this.state.head.id && !host.closest('[role="dialog"]');
  }

  #addressLater() {
    clearTimeout(this.#leaving);
    this.#leaving = window.setTimeout(() => this.#address(), ADDRESS_MS);
  }

  /** Have the address bar say how the maps are drawn: it is the link that is copied. */
  #address() {
    const { settings, viewport } = this.state;
    if (addressing || !this.#isPages()) return;
    const link = linkTo(location.href, settings, viewport);
    if (link === location.href) return;
    addressing = true;
    history.replaceState(history.state, "", link);
    addressing = false;
  }

  /** @param {Element|null} saved  around the button where the view is in Saved; its class has the record's id */
  async #copyLink(saved) {
    const { state } = this, { head } = state;
    const record = saved?.className.match(/st-key-saved-link-([0-9a-f]+)/)?.[1];
    this.#address();
    const address = record ? new URL(`saved?kept=${record}`, location.href).href : location.href;
    // Without https, browsers deny the clipboard to pages from another machine.
    const copied = await navigator.clipboard?.writeText(address).then(() => true, () => false);
    const message = copied ? "Link copied to the clipboard." : address;
    if (record) return this.say(`${message} It opens the view that you keep in Saved.`);
    const gone = head.private && head.keeps === null;
    const left = [...(gone ? [`your picture ${head.private}`] : []), ...head.lacks, ...(state.region ? ["the marked area"] : [])];
    const asks = gone ? ": whoever opens it is asked for the picture" : "";
    const without = left.length ? ` It does not include ${left.join(" or ")}${asks}.` : "";
    this.say(message + linkLasts(head, Date.now()) + without);
  }

  #maps() {
    return this.state.panels.map((panel) => this.state.mapOf(panel)).filter((map) => map !== null);
  }

  /** Return the maps that are read at once: all where one of several models is shown, else those that are shown. */
  #read() {
    return this.state.single ? this.state.maps() : this.#maps();
  }

  /** Write the line under the panels: the values pointed at, or what the maps show. @param {boolean} [aloud] */
  readOut(aloud = false) {
    const { state } = this, { point } = state, style = state.style();
    const readings = point && !state.cover ? this.#read().map((map) => readingAt(map, point, style)) : [];
    this.#say(point && !state.cover ? readout(readings, point[0], point[1]) : this.#idle(), aloud);
    if (!state.single || state.cover) return;
    // Each value beside its model's name, too.
    const seen = readings.flatMap(({ title, kind, value }) => (value === null ? [] : [[title, { text: `${valueText(kind, value)} here` }]]));
    broadcast("touched", { rows: point && Object.fromEntries(seen) });
  }

  /** Show a message, also to screen readers. @param {string} message */
  say(message) {
    this.#say(sentence(message, ""), true);
  }

  /** @param {import("./settings.js").Line} line @param {boolean} aloud */
  #say(line, aloud) {
    writeLine(find(this.root, ".line"), line);
    if (aloud) find(this.root, ".spoken").textContent = find(this.root, ".line").textContent;
  }

  /** Return the line while nothing is pointed at. */
  #idle() {
    const { state } = this, maps = this.#maps(), single = maps.length === 1 ? maps[0] : null;
    const text = this.touch.sentence || state.head.line || (single ? single.text : maps.length ? HINT : "");
    return sentence(text, single?.title ?? "");
  }

  /** Write out of sight what else the line may hold: pointing at a picture must not move what is below it. */
  #reserveLine() {
    const { state, root } = this, maps = this.#read(), [width, height] = state.head.size;
    const full = state.style().settings.scale === "own";
    const readings = maps.map(({ title, kind, raw, unit }) => ({ title, kind, unit, raw: raw && [0, -0.1234], value: -0.88, full }));
    writeLine(find(root, ".room.idle"), this.#idle());
    writeLine(find(root, ".room.read"), maps.length ? readout(readings, width, height) : []);
  }

  /** @param {number[]|null} at */
  pointAt(at, aloud = false) {
    const { state } = this;
    state.point = at && state.picture && contains([0, 0, ...state.head.size], at[0], at[1]) ? at : null;
    this.#placeCross();
    this.readOut(aloud);
    this.tellShown();
  }

  /** Tell the instruments which maps are on the page, and how they are drawn: once a frame, as places are measured. */
  tellShown = onceAFrame(() => this.#tell());

  #tell() {
    const { state } = this;
    if (this.signal.aborted || !this.#isPages()) return;
    const style = state.style();
    const told = state.panels.filter((panel) => state.mapOf(panel) || panel.facts.length);
    const compared = told.filter((panel) => state.mapOf(panel)?.kind !== "difference");
    const panels = compared.length ? compared : told;
    const tops = panels.map(({ element }) => find(element, ".stage").getBoundingClientRect().top);
    const columns = panels.map((panel) => this.#columnOf(panel, style));
    broadcast("shown", {
      ...{ id: state.head.id, columns, colormaps: state.colormaps, settings: state.settings, style },
      maps: columns.flatMap(({ item }) => item ?? []),
      pointed: panels.filter((panel) => state.mapOf(panel)).findIndex(({ element }) => element.matches(":hover")),
      aligned: panels.length > 1 && tops.every((top) => Math.abs(top - tops[0]) <= 1),
      boxed: state.head.boxes.length > 0 || panels.some(({ boxes }) => boxes?.length),
    });
  }

  /** @param {import("./painter.js").Panel} panel @param {import("../../browser/draw.js").Painted} style */
  #columnOf(panel, style) {
    const { state } = this;
    const map = state.mapOf(panel);
    const { left, width } = find(panel.element, ".stage").getBoundingClientRect();
    const chosen = map ? panel.maps.indexOf(map) : 0;
    const about = { title: map?.title ?? panel.title, place: (panel.place ?? 0) + chosen, facts: panel.facts, left, width };
    if (!map) return { ...about, item: null };
    const value = state.point && readingAt(map, state.point, style).value;
    return { ...about, item: { map, value, ends: endsOf(map, style, state.usualScale()), ...scaling(map, style) } };
  }

  #placeCross() {
    const { state, root } = this;
    root.classList.toggle("pointing", Boolean(state.point));
    if (!state.point) return;
    for (const { element, width, height } of state.panels) {
      const { X, Y } = placer(state.visible(), width, height);
      find(element, ".across").style.transform = `translateY(${Y(state.point[1]).toFixed(1)}px)`;
      find(element, ".down").style.transform = `translateX(${X(state.point[0]).toFixed(1)}px)`;
    }
  }

  /** Zoom and pan; without `moving` nothing is drawn yet. @param {import("../../browser/geometry.js").Viewport} viewport */
  view(viewport, moving = true) {
    this.state.viewport = viewport;
    this.root.classList.toggle("zoomed", viewport.zoom > 1);
    if (!moving) return;
    this.#placeCross();
    this.painter.stir(true);
    this.painter.redraw();
    this.#addressLater();
  }

  /** Show what a check plays in place of the maps, or the maps again. @param {import("../../browser/component.js").Play|null} play */
  #play(play) {
    const { state, state: { panels, play: before }, painter } = this, row = play?.row ?? before?.row, front = panels[panels.length - 1];
    // Of another class than the one shown now, or of two that are compared; a viewer without maps is beside the one with them.
    const other = panels.length > 2 || !front?.maps.length || (front.maps.length > 1 && play?.index !== state.choice);
    if (!state.picture || (play ? other : !before)) return;
    if (play?.fades || !before || !play) for (const panel of panels) painter.fade(panel);
    state.play = play;
    this.root.style.setProperty("--fade", play?.fades ? "0.7s" : "");
    this.caption();
    painter.redraw();
    if (row && !state.cover) broadcast("touched", { rows: play?.row ? { [state.mapOf(front)?.title ?? ""]: play.row } : null });
    find(this.root, ".spoken").textContent = (play?.shots ?? []).map(({ title, note }) => `${title}: ${note}.`).join(" ");
  }

  /** Show the plain picture in place of the maps, or the maps again. @param {boolean} plain */
  showPlain(plain) {
    if (this.state.plain === plain) return;
    this.state.plain = plain;
    this.painter.redraw();
  }

  /** Let the small picture and the map change places. */
  swap() {
    const { state } = this;
    if (!this.inset.offered) return;
    state.swapped = !state.swapped;
    for (const panel of state.panels) this.painter.fade(panel);
    this.painter.redraw();
  }

  /** Show one panel without the others, or all again. @param {number} index */
  showAlone(index) {
    const { state } = this;
    state.alone = state.alone === index ? null : index;
    this.build();
    this.showControls();
  }

  /** Show another class's map. @param {number} index @param {boolean} [byHand] in a list, just now */
  choose(index, byHand = false) {
    const { state, state: { choice: before, single } } = this;
    const changed = state.panels.filter(({ maps }) => maps.length > 1), several = single || changed.length > 0;
    state.choice = index;
    if (state.head.id && index !== before) {
      this.#play(null);
      for (const panel of single ? state.panels.slice(-1) : changed) if (before !== null) this.painter.fade(panel);
      if (single) this.build();
      else this.caption();
      this.showControls();
      this.painter.redraw();
    }
    // On a phone the list is a screenful below the maps: bring them back into sight.
    const holder = find(this.root, ".panels"), { top, bottom } = holder.getBoundingClientRect(), height = innerHeight;
    if (!byHand || !several || Math.min(bottom, height) - Math.max(top, 0) >= Math.min(bottom - top, height) / 2) return;
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
    holder.scrollIntoView({ block: "start", behavior });
  }

  showControls() {
    const { state } = this;
    showControls(this.root, state);
    if (this.#isPages()) this.headline.say(hotOf(state.settings, state.lut()));
    this.#explainLines();
    this.tellShown();
    this.#addressLater();
  }
}

export default component(".viewer", Viewer);
