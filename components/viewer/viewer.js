// The component: what Streamlit calls, what a person does, and when to draw.

import { bytes, grids, inflate, unpack } from "./unpack.js";
import { COARSEST, around, contains, paced, panned, smallestBox, visible, zoomAt } from "./geometry.js";
import { cleared, createLayer, createMap, paint, peakOf, prepare, readingAt } from "./draw.js";
import { createPicture } from "./picture.js";
import { boxesShown, outlineBoxes, outlineCells, outlineRegion, placer } from "./outline.js";
import { arrange, figure, fit, onPhone, panelOf, themeOf } from "./panels.js";
import { listColormaps, showControls, wireControls } from "./controls.js";
import { isNews, keep, recalled } from "./settings.js";
import { copied, linkTo, lookOf } from "./share_link.js";
import { hotWords, idle, reading } from "./readout.js";
import { createMarker, told } from "./region.js";
import { createAhead } from "./prefetch.js";
import { free, listen } from "./gestures.js";
import { download, sheet } from "./save.js";
import { looked } from "./recipe.js";

/**
 * @typedef {import("./settings.js").Settings} Settings
 * @typedef {import("./panels.js").Panel} Panel
 * @typedef {{setStateValue: (name: string, value: unknown) => void,
 *   setTriggerValue: (name: string, value: unknown) => void}} Send
 */

const STILL_MS = 150;
/** How long a frame may work before it leaves the rest to the next: under a hand, at rest, and for the first map. */
const FRAME_MS = 20;
const REST_MS = 10;
const FIRST_MS = 40;
const HINT = "Point at a picture: the value of every map at that spot appears here.";
const WIDE = { x: 0, y: 0, zoom: 1 };
/** @type {WeakMap<Element, ReturnType<typeof mount>>} */
const live = new WeakMap();

/** So that an answer is told from the one before, though it may be the same. */
function nonce() {
  return `${performance.now()}-${Math.random()}`;
}

/** @param {"detail"|"file"} name @param {object} value */
function want(name, value) {
  window.dispatchEvent(new CustomEvent("sightglass:want", { detail: { name, value } }));
}

/** @param {HTMLElement} root */
function mount(root) {
  const gone = new AbortController(), { signal } = gone;
  const $ = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (root.querySelector(selector));
  /** @param {EventTarget} target @param {string} type @param {(event: any) => void} handler */
  const on = (target, type, handler) => target.addEventListener(type, handler, { signal });
  /**
   * @type {{send: Send, head: any, picture: import("./picture.js").Picture|null, all: import("./panels.js").Listed[],
   *   panels: Panel[], settings: Settings, luts: Map<string, Uint8Array>, hot: Map<string, string>,
   *   look: import("./geometry.js").Look, choice: number|null, point: number[]|null, plain: boolean, dark: boolean,
   *   font: string, coming: string, asked: string, said: {shown: string, texts: string[], tags: (string|null)[]}|null}}
   */
  const state = /** @type {any} */ ({ send: null, head: null, picture: null, all: [], panels: [], settings: null });
  Object.assign(state, { luts: new Map(), hot: new Map(), look: WIDE, choice: null, point: null, plain: false });
  Object.assign(state, { dark: false, font: "sans-serif", coming: "", asked: "", said: null });
  // The first frame of a move finds nothing as it needs it, neither memory nor code that runs fast: it starts coarse.
  let frame = 0, moving = 0, flying = false, pace = COARSEST, figures = new AbortController();
  const taken = createAhead(signal);
  const marker = createMarker((done) => {
    redraw(false);
    if (done) tellRegion();
  });

  // ---- drawing, at most once a frame

  function redraw(withPixels = true) {
    if (withPixels) {
      for (const panel of state.panels) Object.assign(panel, { dirty: true, parts: null });
      root.removeAttribute("data-still");
    }
    frame ||= requestAnimationFrame(draw);
  }

  /** @param {number} _ @param {number} [most] milliseconds @param {boolean} [quick] the picture less smooth */
  function draw(_, most = moving ? FRAME_MS : REST_MS, quick = flying) {
    frame = 0;
    if (!state.picture) return;
    const rect = visible(state.look, state.head.size), began = performance.now();
    const late = () => performance.now() - began > most;
    let painted = false;
    for (const panel of state.panels) {
      if (!panel.width) continue;
      const ratio = flying ? panel.flying * Math.sqrt(pace) : moving ? panel.quick : panel.fine;
      const [width, height] = [panel.width, panel.height].map((side) => Math.max(1, Math.round(side * ratio)));
      const looks = { ...style(), quick };
      // A large picture, or a dozen of them, would hold the page up: the rest comes with the next frame. While a hand
      // moves there is no rest, as the next frame is of something else.
      const ready = moving ? !late() : panel.dirty && prepared(panel, width, height, rect, looks, ratio, late);
      if (panel.dirty && !ready) frame ||= requestAnimationFrame(draw);
      else if (panel.dirty) {
        fit(panel.canvas, width, height);
        paint(panel.base, state.picture, rect, shown(panel), panel.layer, looks, ratio, panel.parts?.made);
        Object.assign(panel, { dirty: false, parts: null });
        painted = true;
      }
      strokes(panel.lines, panel, panel.density, rect);
    }
    if (flying && painted) {
      const before = pace;
      pace = paced(pace, performance.now() - began);
      // Sharper at once, and not only when the hand moves on.
      if (pace > before) redraw();
    }
    if (moving) return;
    // Nothing is on its way to the screen any more but what Python was asked for.
    if (!state.panels.some(({ dirty, width }) => dirty && width)) root.setAttribute("data-still", "");
    wantDetail(rect);
  }

  /**
   * Whether all that painting needs is there: what is not goes on with the next frame.
   * @param {Panel} panel @param {number} width @param {number} height @param {number[]} rect
   * @param {import("./draw.js").Style} looks @param {number} ratio @param {() => boolean} late
   */
  function prepared(panel, width, height, rect, looks, ratio, late) {
    const { picture } = state;
    if (!picture) return false;
    const key = [width, height, ratio, looks.quick, ...rect].join();
    if (panel.parts?.key !== key) {
      const steps = prepare(width, height, picture, rect, shown(panel), panel.layer, looks, ratio);
      panel.parts = { key, steps, made: null };
    }
    const { parts } = panel;
    for (;;) {
      const { done, value } = parts.steps.next();
      if (done) parts.made ??= value ?? null;
      if (late() || done) return !late();
    }
  }

  function style() {
    const { settings, dark, head } = state;
    return { settings: { ...settings, layout: layoutNow(), scale: scaleNow() }, lut: lut(), dark, range: head.range };
  }

  /** @param {CanvasRenderingContext2D} context @param {Panel} panel @param {number} scale @param {number[]} rect */
  function strokes(context, panel, scale, rect) {
    const { width, height } = panel, map = shown(panel), { settings, head } = state;
    const { canvas } = context, boxed = !state.plain && settings.boxes ? [head.id, state.choice] : "";
    const celled = map && settings.cells && !["picture", "contour"].includes(settings.mode);
    const cellsFrom = layoutNow() === "swipe" ? settings.split * width : 0;
    const key = [canvas.width, canvas.height, width, ...rect, boxed, celled, cellsFrom, state.plain, marker.version].join();
    if (context === panel.lines && panel.outlined === key) return;
    if (context === panel.lines) panel.outlined = key;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.lineCap = context.lineJoin = "round";
    if (map && celled) outlineCells(context, width, height, rect, map, cellsFrom);
    const boxes = state.plain || !settings.boxes ? [] : boxesShown(panel, state.panels, head.boxes, state.choice);
    const labels = outlineBoxes(context, width, height, rect, boxes, state.font);
    if (context === panel.lines) panel.labels = panel.boxes ? [] : labels;
    if (!state.plain) outlineRegion(context, width, height, rect, marker.region, head.size);
  }

  function lut() {
    return state.luts.get(state.settings.colormap) ?? [...state.luts.values()][0];
  }

  /** The map a panel speaks of, whether or not it is covered by the plain picture just now. @param {Panel} panel */
  function mapOf(panel) {
    return panel.maps.length === 1 ? panel.maps[0] : (panel.maps[state.choice ?? 0] ?? null);
  }

  /** @param {Panel} panel */
  function shown(panel) {
    return state.plain ? null : mapOf(panel);
  }

  function everyMap() {
    return state.all.flatMap(({ maps }) => maps);
  }

  function layoutNow() {
    const { settings: { layout }, head } = state;
    if (layout !== "auto") return layout;
    return head.beside && head.size[1] >= head.size[0] && !onPhone() ? "beside" : "single";
  }

  function heatMaps() {
    return everyMap().filter(({ kind }) => kind === "heat");
  }

  /** Whether every map can be shown on a scale that is not its own. @param {string} scale */
  function scaleFits(scale) {
    return heatMaps().every(({ raw, shared }) => raw || (scale === "shared" && shared));
  }

  function scaleNow() {
    const { scale } = state.settings;
    return scaleFits(scale) ? scale : "own";
  }

  // ---- panels

  function build() {
    const { head, all } = state, some = all.some(({ maps }) => maps.length), layout = layoutNow();
    let wanted = all;
    if (some && layout === "beside" && all.every(({ maps }) => maps.length)) wanted = [head.plain, ...all];
    else if (some && (layout === "swipe" || onPhone())) wanted = all.filter(({ maps }) => maps.length);
    const holder = $(".panels");
    if (state.panels.length !== wanted.length) {
      figures.abort();
      figures = new AbortController();
      holder.replaceChildren(...wanted.map(element));
    }
    const layers = state.panels.map(({ layer }) => cleared(layer));
    state.panels = wanted.map((panel, i) =>
      panelOf(panel, /** @type {HTMLElement} */ (holder.children[i]), layers[i] ?? createLayer()));
    const heats = heatMaps();
    root.classList.toggle("bare", !some);
    root.classList.toggle("swiping", layout === "swipe");
    $(".celled").hidden = !everyMap().some(({ cells }) => cells);
    $(".boxes").hidden = !head.boxes.length && !all.some(({ boxes }) => boxes);
    $(".mark").hidden = !head.marks;
    $(".colormap").hidden = !heats.length;
    $(".why").hidden = heats.every(({ raw }) => raw);
    for (const name of ["shared", "fixed"]) {
      /** @type {HTMLInputElement} */ ($(`[value="${name}"]`)).disabled = !heats.length || !scaleFits(name);
    }
    captions();
    relayout();
  }

  function element() {
    const made = figure(), split = /** @type {HTMLInputElement} */ (made.querySelector(".split"));
    const click = (/** @type {number} */ fx, /** @type {number} */ fy) => state.head && choosePoint(original(fx, fy), made);
    const stage = /** @type {HTMLElement} */ (made.querySelector(".stage"));
    listen(stage, { ...gestures, click }, AbortSignal.any([signal, figures.signal]));
    const canvas = /** @type {HTMLElement} */ (made.querySelector(".base"));
    on(canvas, "keydown", (event) => keys(event, made));
    on(canvas, "blur", () => point(null));
    on(split, "input", () => set({ split: Number(split.value) }, false));
    on(split, "change", () => set({ split: Number(split.value) }));
    return made;
  }

  /** @param {import("./draw.js").HeatMap|null} map */
  function textOf(map) {
    const { said, head } = state, told_ = map && said?.shown === head.id ? said?.texts[everyMap().indexOf(map)] : "";
    return map?.text || told_ || "";
  }

  function captions() {
    for (const panel of state.panels) {
      const map = mapOf(panel), title = map?.title ?? panel.title;
      const put = (/** @type {string} */ selector, /** @type {string} */ text) => {
        const part = /** @type {HTMLElement} */ (panel.element.querySelector(selector));
        part.textContent = text;
        return part;
      };
      put(".title", title).title = title;
      put(".note", map?.note ?? panel.note);
      panel.canvas.setAttribute("aria-label", (textOf(map) || title || "The picture").replaceAll("**", ""));
      const legend = /** @type {HTMLElement} */ (panel.element.querySelector(".legend"));
      legend.hidden = !map?.sides;
      if (map?.sides) {
        put(".first", `more ${map.sides[0]}`);
        put(".second", `more ${map.sides[1]}`);
      }
    }
    say();
  }

  function relayout() {
    if (!arrange($(".panels"), state.panels, state.head, isFull())) return;
    place();
    redraw();
  }

  // ---- the line of text and the crosshair

  function say(aloud = false, words = "") {
    const { panels, point: at, head } = state, maps = panels.map(mapOf).filter((map) => map !== null);
    let line;
    if (words) line = idle(words, "");
    else if (at) line = reading(maps.map((map) => readingAt(map, at, style())), at[0], at[1]);
    else if (maps.length === 1) line = idle(head.line || textOf(maps[0]), maps[0].title);
    else line = idle(head.line || (maps.length ? HINT : ""), "");
    const parts = line.map(([text, bold]) => Object.assign(document.createElement(bold ? "b" : "span"), { textContent: text }));
    $(".line").replaceChildren(...parts);
    if (aloud) $(".spoken").textContent = $(".line").textContent;
  }

  /** @param {number[]|null} at */
  function point(at, aloud = false) {
    state.point = at && contains([0, 0, ...state.head.size], at[0], at[1]) ? at : null;
    place();
    say(aloud);
  }

  function place() {
    root.classList.toggle("pointing", Boolean(state.point));
    if (!state.point) return;
    const [x0, y0, x1, y1] = visible(state.look, state.head.size), [x, y] = state.point;
    for (const { element: panel, width, height } of state.panels) {
      const across = /** @type {HTMLElement} */ (panel.querySelector(".across"));
      const down = /** @type {HTMLElement} */ (panel.querySelector(".down"));
      across.style.transform = `translateY(${(((y - y0) / (y1 - y0)) * height).toFixed(1)}px)`;
      down.style.transform = `translateX(${(((x - x0) / (x1 - x0)) * width).toFixed(1)}px)`;
    }
  }

  /** @param {number} fx @param {number} fy */
  function original(fx, fy) {
    const [x0, y0, x1, y1] = visible(state.look, state.head.size);
    return [x0 + fx * (x1 - x0), y0 + fy * (y1 - y0)];
  }

  // ---- what a person does

  /** Draws coarser for as long as a hand is at it: a frame missed is seen, a pixel is not. */
  function stir() {
    clearTimeout(moving);
    moving = window.setTimeout(() => {
      moving = 0;
      flying = false;
      redraw();
    }, STILL_MS);
  }

  /** @param {import("./geometry.js").Look} look */
  function looking(look) {
    state.look = look;
    root.classList.toggle("zoomed", look.zoom > 1);
    place();
    flying = true;
    stir();
    redraw();
  }

  /** Finer pixels of what is visible, where there are some: a large picture came as a small copy. @param {number[]} rect */
  function wantDetail(rect) {
    const { head, picture, panels } = state;
    const asked = Math.max(...panels.map((panel) => (panel.width * panel.fine) / (rect[2] - rect[0])));
    if (!picture || Math.min(1, asked) <= 1.15 * picture.density(rect)) return;
    const within = around(rect, head.size), key = [head.picture, ...within].join();
    if (key === state.asked) return;
    state.asked = key;
    const longest = Math.ceil(Math.max(within[2] - within[0], within[3] - within[1]) * Math.min(1, asked));
    want("detail", { picture: head.picture, rect: within, longest, id: nonce() });
  }

  /** @type {Omit<import("./gestures.js").Meant, "click">} */
  const gestures = {
    zoomed: () => state.look.zoom > 1,
    marking: () => Boolean(marker.tool && state.head),
    over: (fx, fy) => state.head && point(original(fx, fy)),
    out: () => state.head && point(null),
    hold: plain,
    mark: (phase, fx, fy) => marker.mark(phase, original(fx, fy), state.head.size, brush()),
    zoom: (fx, fy, factor) => looking(zoomAt(state.look, fx, fy, factor)),
    pan: (dx, dy) => looking(panned(state.look, dx, dy)),
    reset: () => looking(WIDE),
  };

  /** @param {number[]} at @param {HTMLElement} clicked  the panel: where labels stand differs between them */
  function choosePoint([x, y], clicked) {
    const box = labelled(x, y, clicked) ?? (state.settings.boxes ? smallestBox(state.head.boxes, x, y) : null);
    if (box) {
      choose(box.index);
      window.dispatchEvent(new CustomEvent("sightglass:choose", { detail: { index: box.index } }));
    }
    state.send.setTriggerValue("point", { x, y, box: box ? box.index : null });
  }

  /** The box whose label covers a place. @param {number} x @param {number} y @param {HTMLElement} clicked */
  function labelled(x, y, clicked) {
    const panel = state.panels.find((each) => each.element === clicked);
    if (!panel) return undefined;
    const { X, Y } = placer(visible(state.look, state.head.size), panel.width, panel.height);
    return panel.labels.find((label) => contains(label.place, X(x), Y(y)));
  }

  function brush() {
    return Number(/** @type {HTMLInputElement} */ ($(".size")).value) / 2 / state.look.zoom;
  }

  async function tellRegion() {
    controls();
    redraw(false);
    const { version } = marker, region = await told(marker.region, state.head.picture);
    // Painted areas take a moment to pack: by now another may be marked, or none.
    if (version === marker.version) state.send.setStateValue("region", region);
  }

  /** @param {number|undefined} index */
  function choose(index) {
    if (index === undefined || !Number.isInteger(index) || index < 0 || index === state.choice) return;
    state.choice = index;
    if (!state.head) return;
    captions();
    for (const panel of state.panels) if (panel.maps.length > 1) cleared(panel.layer);
    controls();
    redraw();
  }

  /** @param {boolean} shownPlain */
  function plain(shownPlain) {
    if (state.plain === shownPlain) return;
    state.plain = shownPlain;
    redraw();
  }

  /** @param {KeyboardEvent} event @param {HTMLElement} focused */
  function keys(event, focused) {
    if (!state.head) return;
    const [w, h] = state.head.size, step = (event.shiftKey ? 0.01 : 0.05) / state.look.zoom;
    /** @type {Record<string, number[]>} */
    const arrows = { ArrowLeft: [-w, 0], ArrowRight: [w, 0], ArrowUp: [0, -h], ArrowDown: [0, h] };
    const [x, y] = state.point ?? original(0.5, 0.5), move = arrows[event.key];
    if (move) {
      const clamp = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(most - 0.5, Math.max(0.5, value));
      point([clamp(x + step * move[0], w), clamp(y + step * move[1], h)], true);
    } else if (event.key === "Enter" && marker.tool) marker.corner([x, y], [w, h], brush());
    else if (event.key === "Enter") choosePoint([x, y], focused);
    else if (event.key === "Escape") {
      marker.use(null);
      controls();
      point(null);
    } else if (event.key === "0") looking(WIDE);
    else if ("+=-".includes(event.key)) {
      const [x0, y0, x1, y1] = visible(state.look, [w, h]);
      looking(zoomAt(state.look, (x - x0) / (x1 - x0), (y - y0) / (y1 - y0), event.key === "-" ? 0.8 : 1.25));
    } else return;
    event.preventDefault();
  }

  on(window, "keydown", (event) => {
    if (event.key !== " " || !free(event)) return;
    event.preventDefault();
    plain(true);
  });
  on(window, "keyup", (event) => event.key === " " && plain(false));
  on(window, "blur", () => plain(false));
  on(window, "sightglass:choose", ({ detail }) => choose(detail?.index));
  on(window, "sightglass:ask-view", tellView);
  on(window, "sightglass:parcel", ({ detail }) => receive(detail));
  on(window, "resize", () => state.head && build());
  on(root, "fullscreenchange", () => {
    $(".full .icon").textContent = isFull() ? "fullscreen_exit" : "fullscreen";
    Object.assign(state, themeOf(root));
    relayout();
  });

  // ---- controls: nothing that is set here is told to Python, which has no use for it

  /** @param {Partial<Settings>} changes @param {boolean} [done] */
  function set(changes, done = true) {
    const before = layoutNow();
    Object.assign(state.settings, changes);
    controls();
    if (state.point) say();
    if (!done) stir();
    if (layoutNow() === before) redraw();
    else build();
    if (!done) return;
    keep(sessionStorage, state.settings);
    tellView();
  }

  function tellView() {
    if (!state.settings || !state.head) return;
    const { settings } = style(), map = state.panels.map(mapOf).find(Boolean);
    const peak = map ? peakOf(map, settings, state.head.range) : 1;
    const hidden = peak < 0.5 || (settings.mode === "overlay" && settings.alpha === 0);
    const hot = hidden ? "" : hotWords(settings, state.hot.get(settings.colormap) ?? "");
    window.dispatchEvent(new CustomEvent("sightglass:view", { detail: { hot } }));
  }

  function controls() {
    const { settings, dark } = state, { tool, region } = marker, scale = scaleNow(), maps = state.panels.map(mapOf);
    const heats = maps.filter((map) => map?.kind === "heat"), gaps = heats.length === 0 && maps.some(Boolean);
    /** @type {[number, number]|null} */
    let ends = null;
    if (scale === "fixed") ends = [0, settings.top];
    else if (scale === "shared" && state.head.range) ends = state.head.range;
    if (ends && settings.invert) ends = [ends[1], ends[0]];
    showControls(root, settings, { lut: lut(), layout: layoutNow(), scale, ends, gaps, dark, tool, marked: region !== null });
    root.classList.toggle("marking", Boolean(tool));
    for (const split of /** @type {NodeListOf<HTMLInputElement>} */ (root.querySelectorAll(".split"))) {
      split.value = String(settings.split);
    }
  }

  wireControls(root, signal, {
    set,
    layout: (name) => set({ layout: layoutNow() === name ? "single" : name }),
    boxes: () => set({ boxes: !state.settings.boxes }),
    tool: (name) => {
      marker.use(name);
      controls();
      if (name) say(true, "Drag over a picture, or move with the arrow keys and press Enter.");
    },
    clear: () => {
      marker.use(null);
      marker.clear();
      tellRegion();
    },
    full: () => (isFull() ? document.exitFullscreen() : root.requestFullscreen()),
    save,
    fetch: (format) => {
      const { choice, dark } = state, { settings } = style();
      want("file", { id: nonce(), format, choice, dark, columns: columnsNow(), settings });
      say(true, "The file is being made.");
    },
    link: async () => {
      const address = linkTo(location.href, state.settings, state.look);
      const words = (await copied(address, root)) ? "The link is in the clipboard." : address;
      say(true, state.head.private ? `${words} Your own picture is not in it: whoever opens it needs the picture.` : words);
    },
  });

  function isFull() {
    return /** @type {ShadowRoot} */ (root.getRootNode()).fullscreenElement === root;
  }

  function columnsNow() {
    return getComputedStyle($(".panels")).gridTemplateColumns.split(" ").length;
  }

  function save() {
    const { panels, picture, head, look, dark, font } = state, rect = visible(look, head.size);
    if (!picture) return;
    const width = Math.max(panels[0].width * panels[0].fine, Math.min(rect[2] - rect[0], 1600));
    const size = [width, (width * (rect[3] - rect[1])) / (rect[2] - rect[0])].map((side) => Math.max(1, Math.round(side)));
    const unit = size[0] / panels[0].width;
    const drawn = panels.map((panel) => ({
      title: mapOf(panel)?.title ?? panel.title,
      draw: (/** @type {CanvasRenderingContext2D} */ context) =>
        paint(context, picture, rect, shown(panel), createLayer(), style(), unit),
      lines: (/** @type {CanvasRenderingContext2D} */ context) => strokes(context, panel, unit, rect),
    }));
    const name = panels.map((panel) => mapOf(panel)?.title).filter(Boolean)[0] ?? "picture";
    const first = panels.map(mapOf).find((map) => map), { said } = state;
    const tag = first && said?.shown === head.id ? said?.tags[everyMap().indexOf(first)] : null;
    const line = tag ? looked(tag, state.settings) : "";
    download(sheet(drawn, size, unit, columnsNow(), dark, font), `${name} ${state.settings.mode}`, line);
  }

  // ---- what Streamlit sends

  /** @param {Uint8Array} data */
  async function show(data) {
    const { head, blobs } = unpack(data);
    Object.assign(state, themeOf(root));
    state.coming = head.id;
    if (state.head?.id === head.id) {
      controls();
      return redraw();
    }
    // What is around it already speaks of what comes.
    root.classList.toggle("stale", Boolean(state.head));
    const same = state.head?.picture === head.picture ? state.picture : null;
    const decode = () => createImageBitmap(new Blob([/** @type {BlobPart} */ (blobs[0])], { type: "image/jpeg" }));
    const count = head.grids.reduce((/** @type {number} */ sum, /** @type {number[]} */ [h, w]) => sum + h * w, 0);
    const decoded = same ? same.bitmap : taken(blobs[0]).then((found) => found ?? decode());
    const [bitmap, steps] = await Promise.all([decoded, inflate(blobs[1], count)]);
    if (state.coming !== head.id || signal.aborted) return same ? undefined : bitmap.close();
    if (!same) {
      state.picture?.close();
      state.picture = createPicture(bitmap, head.size);
      state.look = WIDE;
      root.classList.remove("zoomed");
      state.choice = state.point = null;
      state.asked = "";
      if (marker.region) {
        marker.clear();
        state.send.setStateValue("region", null);
      }
    }
    if (head.choice !== (state.head?.choice ?? null) || state.choice === null) state.choice = head.choice ?? state.choice;
    const values = grids(steps, head.grids);
    state.all = head.panels.map((/** @type {any} */ panel) => ({
      ...panel,
      maps: panel.maps.map((/** @type {any} */ map) =>
        createMap(map, values[map.own], map.shared === null ? null : values[map.shared])),
    }));
    if (state.choice === null && state.all.some(({ maps }) => maps.length > 1)) state.choice = 0;
    if (!state.head) {
      const listed = listColormaps(/** @type {HTMLSelectElement} */ ($(".colormap")), head.colormaps);
      for (const { name, lut: table, hot } of listed) {
        state.luts.set(name, bytes(table));
        state.hot.set(name, hot);
      }
      const names = [...state.luts.keys()];
      const fresh = isNews(sessionStorage, head.initial);
      state.settings = recalled(sessionStorage, head.initial, names);
      if (!state.luts.has(state.settings.colormap)) state.settings.colormap = names[0];
      const look = fresh ? lookOf(head.initial.zoom) : null;
      if (look) {
        state.look = look;
        root.classList.add("zoomed");
      }
    }
    state.head = head;
    build();
    controls();
    // The next frame may come late: all that arrived after the maps is drawn by the page before it.
    cancelAnimationFrame(frame);
    draw(0, FIRST_MS, !same);
    if (!same) redraw();
    root.classList.remove("stale");
    tellView();
    // A list that was there first has already said what is chosen; asking costs nothing and settles the order.
    window.dispatchEvent(new CustomEvent("sightglass:ask"));
    root.setAttribute("data-shown", head.id);
  }

  /** What Python made on request: a finer part of the picture, or a file. @param {any} parcel */
  async function receive({ head, blob }) {
    if (head.kind === "words") {
      const news = head.shown === state.head?.id && head.shown !== state.said?.shown;
      state.said = head;
      if (news) captions();
      return;
    }
    if (head.picture !== state.head?.picture) return;
    if (head.kind === "sorry") return say(true, head.words);
    if (head.kind === "file") {
      download(new Blob([blob], { type: head.mime }), head.name);
      return say(true, `${head.name} is downloaded.`);
    }
    const bitmap = await createImageBitmap(new Blob([blob], { type: "image/jpeg" }));
    if (head.picture !== state.head?.picture || signal.aborted) return bitmap.close();
    state.picture?.refine({ bitmap, rect: head.rect });
    redraw();
  }

  let room = 0;
  const observer = new ResizeObserver(() => {
    const now = $(".panels").clientWidth;
    if (now === room || !state.head) return;
    room = now;
    relayout();
  });
  observer.observe(root);

  return {
    /** @param {Uint8Array} data @param {Send} send */
    show(data, send) {
      state.send = send;
      return show(data);
    },
    unmount() {
      gone.abort();
      observer.disconnect();
      cancelAnimationFrame(frame);
      clearTimeout(moving);
      state.picture?.close();
      $(".panels").replaceChildren();
      $(".colormap").replaceChildren();
    },
  };
}

/** @param {{data: Uint8Array, parentElement: HTMLElement} & Send} given */
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".viewer"));
  let viewer = live.get(root);
  if (!viewer) live.set(root, (viewer = mount(root)));
  viewer.show(data, { setStateValue, setTriggerValue });
  return () => {
    viewer.unmount();
    live.delete(root);
  };
}
