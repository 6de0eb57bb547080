// The component: what Streamlit calls, what a person does, and when to draw.

import { bytes, inflate, unpack } from "./unpack.js";
import { GAP, columnsFor, contains, panelSize, panned, smallestBox, visible, zoomAt } from "./geometry.js";
import { createMap, createPicture, outline, paint } from "./draw.js";
import { gradient } from "./table.js";
import { valueAt } from "./sample.js";
import { defaults, keep, merged, recalled } from "./settings.js";
import { idle, reading } from "./words.js";
import { free, listen } from "./gestures.js";
import { download, sheet } from "./save.js";

const LONGEST = 1280;
const PHONE = 640;
const STILL_MS = 150;
const HINT = "Point at a picture: the value of every map at that spot appears here.";
const live = new WeakMap();

function mount(root) {
  const gone = new AbortController(), { signal } = gone;
  const $ = (selector) => root.querySelector(selector);
  const on = (target, type, handler) => target.addEventListener(type, handler, { signal });
  const wide = { x: 0, y: 0, zoom: 1 };
  const state = { send: null, head: null, picture: null, panels: [], settings: null, luts: new Map(), look: wide };
  Object.assign(state, { choice: null, point: null, plain: false, dark: false, font: "sans-serif" });
  let pixels = false, lines = false, frame = 0, moving = 0;

  // ---- drawing, at most once a frame

  function redraw(withPixels = true) {
    pixels ||= withPixels;
    lines = true;
    frame ||= requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    if (!state.picture) return;
    const rect = visible(state.look, state.head.size);
    for (const panel of state.panels) {
      if (!panel.width) continue;
      // While the picture moves a dense screen gets plain pixels: a frame missed is seen, a pixel is not.
      const ratio = moving ? Math.min(1, panel.fine) : panel.fine;
      if (pixels) resize(panel.base.canvas, panel.width * ratio, panel.height * ratio);
      if (pixels) paint(panel.base, state.picture, rect, shown(panel), state.settings, lut(), state.dark);
      if (lines) strokes(panel.lines, panel, panel.width, panel.height, panel.ratio, rect);
    }
    pixels = lines = false;
  }

  function strokes(context, panel, width, height, scale, rect) {
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    const map = shown(panel);
    outline(context, width, height, scale, rect, map, state.settings, boxesOf(panel), state.font);
  }

  function lut() {
    return state.luts.get(state.settings.colormap) ?? [...state.luts.values()][0];
  }

  /** The map a panel speaks of, whether or not it is covered by the plain picture just now. */
  function mapOf(panel) {
    return panel.maps.length === 1 ? panel.maps[0] : (panel.maps[state.choice ?? 0] ?? null);
  }

  function shown(panel) {
    return state.plain ? null : mapOf(panel);
  }

  function boxesOf(panel) {
    if (state.plain || !state.settings.boxes) return [];
    const alone = !state.panels.some(({ maps }) => !maps.length);
    const single = new Set(state.head.boxes.map(({ index }) => index)).size === state.head.boxes.length;
    return state.head.boxes.flatMap((box) => {
      const chosen = box.index === state.choice;
      if (panel.maps.length && !alone && !chosen) return [];
      // Numbers name single boxes; where a class has several, they would all be called the same.
      const number = single && state.head.boxes.length > 1 ? String(box.index + 1) : "";
      const tag = chosen || !number ? [number, box.label].filter(Boolean).join("  ") : number;
      return [{ xyxy: box.xyxy, chosen, tag }];
    });
  }

  // ---- panels

  function build() {
    const phone = innerWidth < PHONE, { head } = state;
    const some = state.all.some(({ maps }) => maps.length);
    const wanted = phone && some ? state.all.filter(({ maps }) => maps.length) : state.all;
    const holder = $(".panels");
    if (state.panels.length !== wanted.length) {
      holder.replaceChildren(...wanted.map(figure));
    }
    const figures = [...holder.children];
    state.panels = wanted.map((panel, i) => {
      const element = figures[i], [base, over] = element.querySelectorAll("canvas");
      const kept = { element, base: element.context, lines: over.getContext("2d"), width: 0, height: 0, ratio: 1, fine: 1 };
      return { ...panel, ...kept, canvas: base };
    });
    root.classList.toggle("bare", !some);
    $(".cells").hidden = !state.all.some(({ maps }) => maps.some(({ cells }) => cells));
    $(".boxes").hidden = !head.boxes.length;
    $(".scale").hidden = $(".colormap").hidden = !state.all.some(({ maps }) => maps.some((m) => m.kind !== "difference"));
    captions();
    layout();
  }

  function figure() {
    const element = document.createElement("figure");
    element.className = "panel";
    element.innerHTML =
      '<figcaption><span class="title"></span><span class="note"></span></figcaption>' +
      '<div class="stage"><canvas class="base" role="img" tabindex="0"></canvas>' +
      '<canvas class="lines" aria-hidden="true"></canvas><i class="cross across"></i><i class="cross down"></i></div>';
    const stage = element.querySelector(".stage"), canvas = element.querySelector(".base");
    element.context = canvas.getContext("2d", { willReadFrequently: true });
    listen(stage, gestures, signal);
    on(canvas, "keydown", keys);
    on(canvas, "blur", () => point(null));
    return element;
  }

  function captions() {
    const phrase = (text) => text.replaceAll("**", "");
    for (const panel of state.panels) {
      const map = mapOf(panel), title = map?.title ?? panel.title;
      panel.element.querySelector(".title").textContent = title;
      panel.element.querySelector(".title").title = title;
      panel.element.querySelector(".note").textContent = map?.note ?? panel.note;
      panel.canvas.setAttribute("aria-label", phrase(map?.text || title || "The picture"));
    }
    say();
  }

  function layout() {
    const { head, panels } = state, room = $(".panels").clientWidth, count = panels.length;
    if (!room || !count) return;
    const full = isFull(), phone = innerWidth < PHONE, aspect = head.size[0] / head.size[1];
    const tallest = (columns) => {
      const rows = Math.ceil(count / columns);
      if (full) return Math.max(120, (innerHeight - 220 - 40 * (rows - 1)) / rows);
      return phone ? 480 : Math.max(300, head.height + innerHeight - 900);
    };
    let columns = columnsFor(count, room, head.columns);
    if (full) {
      const sizes = panels.map((_, i) => panelSize(room, i + 1, aspect, tallest(i + 1))[0]);
      columns = sizes.lastIndexOf(Math.max(...sizes)) + 1;
    }
    const [width, height] = panelSize(room, columns, aspect, tallest(columns));
    // A tower of a picture leaves its column wide enough for a title.
    const column = Math.max(width, Math.min(120, Math.floor((room - GAP * (columns - 1)) / columns)));
    $(".panels").style.gridTemplateColumns = `repeat(${columns}, ${column}px)`;
    const density = Math.min(devicePixelRatio || 1, 3), ratio = Math.min(density, LONGEST / Math.max(width, height));
    for (const panel of panels) {
      Object.assign(panel, { width, height, ratio: density, fine: ratio });
      Object.assign(panel.element.querySelector(".stage").style, { width: `${width}px`, height: `${height}px` });
      resize(panel.lines.canvas, width * density, height * density);
    }
    place();
    redraw();
  }

  function resize(canvas, width, height) {
    const [w, h] = [Math.max(1, Math.round(width)), Math.max(1, Math.round(height))];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  }

  // ---- the line of text and the crosshair

  function say(aloud = false) {
    const { panels, point: at, head } = state, maps = panels.map(mapOf).filter(Boolean);
    let line;
    if (at) {
      const readings = maps.map((map) => ({
        title: map.title,
        kind: map.kind,
        raw: map.raw,
        full: map.peak > 65535 * 0.995,
        value: contains(map.seen, ...at) ? valueAt(map, ...at) : null,
      }));
      line = reading(readings, ...at);
    } else if (maps.length === 1) line = idle(head.line || maps[0].text, maps[0].title);
    else line = idle(head.line || (maps.length ? HINT : ""), "");
    const parts = line.map(([text, bold]) => {
      const part = document.createElement(bold ? "b" : "span");
      part.textContent = text;
      return part;
    });
    $(".line").replaceChildren(...parts);
    if (aloud) $(".spoken").textContent = $(".line").textContent;
  }

  function point(at, aloud = false) {
    const inside = at && contains([0, 0, ...state.head.size], ...at);
    state.point = inside ? at : null;
    place();
    say(aloud);
  }

  function place() {
    root.classList.toggle("pointing", Boolean(state.point));
    if (!state.point) return;
    const [x0, y0, x1, y1] = visible(state.look, state.head.size), [x, y] = state.point;
    for (const { element, width, height } of state.panels) {
      const across = element.querySelector(".across"), down = element.querySelector(".down");
      across.style.transform = `translateY(${(((y - y0) / (y1 - y0)) * height).toFixed(1)}px)`;
      down.style.transform = `translateX(${(((x - x0) / (x1 - x0)) * width).toFixed(1)}px)`;
    }
  }

  function original(fx, fy) {
    const [x0, y0, x1, y1] = visible(state.look, state.head.size);
    return [x0 + fx * (x1 - x0), y0 + fy * (y1 - y0)];
  }

  // ---- what a person does

  function looking(look) {
    state.look = look;
    root.classList.toggle("zoomed", look.zoom > 1);
    place();
    clearTimeout(moving);
    moving = setTimeout(() => {
      moving = 0;
      redraw();
    }, STILL_MS);
    redraw();
  }

  const gestures = {
    zoomed: () => state.look.zoom > 1,
    over: (fx, fy) => state.head && point(original(fx, fy)),
    out: () => state.head && point(null),
    hold: plain,
    click: (fx, fy) => state.head && choosePoint(original(fx, fy)),
    zoom: (fx, fy, factor) => looking(zoomAt(state.look, fx, fy, factor)),
    pan: (dx, dy) => looking(panned(state.look, dx, dy)),
    reset: () => looking(wide),
  };

  function choosePoint([x, y]) {
    const box = state.settings.boxes ? smallestBox(state.head.boxes, x, y) : null;
    if (box) {
      choose(box.index);
      window.dispatchEvent(new CustomEvent("sightglass:choose", { detail: { index: box.index } }));
    }
    state.send.setTriggerValue("point", { x, y, box: box ? box.index : null });
  }

  function choose(index) {
    if (!Number.isInteger(index) || index < 0 || index === state.choice) return;
    state.choice = index;
    if (!state.head) return;
    captions();
    redraw();
  }

  function plain(on) {
    if (state.plain === on) return;
    state.plain = on;
    redraw();
  }

  function keys(event) {
    const [w, h] = state.head.size, step = (event.shiftKey ? 0.01 : 0.05) / state.look.zoom;
    const moves = { ArrowLeft: [-w, 0], ArrowRight: [w, 0], ArrowUp: [0, -h], ArrowDown: [0, h] }[event.key];
    const [x, y] = state.point ?? original(0.5, 0.5);
    if (moves) {
      const clamp = (value, most) => Math.min(most - 0.5, Math.max(0.5, value));
      point([clamp(x + step * moves[0], w), clamp(y + step * moves[1], h)], true);
    } else if (event.key === "Enter") choosePoint([x, y]);
    else if (event.key === "Escape") point(null);
    else if (event.key === "0") looking(wide);
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
  on(window, "resize", () => state.head && build());
  on(root, "fullscreenchange", () => {
    $(".full .icon").textContent = isFull() ? "fullscreen_exit" : "fullscreen";
    theme();
    layout();
  });

  // ---- controls: `input` only draws, `change` (released) is told to Python

  function set(changes, done = true) {
    Object.assign(state.settings, changes);
    controls();
    redraw();
    if (!done) return;
    keep(sessionStorage, state.settings);
    tell();
  }

  function tell() {
    const { boxes, ...view } = state.settings;
    state.send.setStateValue("view", view);
  }

  function controls() {
    const { mode, alpha, threshold, colormap, even, cells, boxes } = state.settings;
    $(`[value="${mode}"]`).checked = true;
    $(".alpha").value = alpha;
    $(".alpha").disabled = !["overlay", "spotlight"].includes(mode);
    $(".alpha").setAttribute("aria-valuetext", `${Math.round(100 * alpha)} %`);
    $(".threshold").value = threshold;
    $(".threshold").setAttribute("aria-valuetext", threshold ? `from ${threshold.toFixed(2)}` : "everything");
    const percent = `${100 * threshold}%`, veil = "color-mix(in srgb, var(--st-background-color) 78%, transparent)";
    $(".threshold").style.setProperty("--hidden", `linear-gradient(90deg, ${veil} ${percent}, transparent ${percent})`);
    $(".threshold").style.setProperty("--colours", gradient(lut()));
    $(".low").textContent = threshold ? `From ${threshold.toFixed(2)}` : "Cold";
    $(".colormap").value = colormap;
    for (const [name, pressed] of Object.entries({ even, cells, boxes })) {
      $(`.tools .${name}`).setAttribute("aria-pressed", String(pressed));
    }
  }

  on($(".modes"), "change", (event) => set({ mode: event.target.value }));
  on($(".alpha"), "input", (event) => set({ alpha: Number(event.target.value) }, false));
  on($(".alpha"), "change", (event) => set({ alpha: Number(event.target.value) }));
  on($(".threshold"), "input", (event) => set({ threshold: Number(event.target.value) }, false));
  on($(".threshold"), "change", (event) => set({ threshold: Number(event.target.value) }));
  on($(".colormap"), "change", (event) => set({ colormap: event.target.value }));
  for (const name of ["even", "cells", "boxes"]) {
    on($(`.tools .${name}`), "click", () => set({ [name]: !state.settings[name] }));
  }
  on($(".save"), "click", save);
  on($(".full"), "click", () => (isFull() ? document.exitFullscreen() : root.requestFullscreen()));

  function isFull() {
    return root.getRootNode().fullscreenElement === root;
  }

  function save() {
    const { panels, picture, head, look, dark, font } = state, rect = visible(look, head.size);
    const drawn = panels.map((panel) => ({
      title: mapOf(panel)?.title ?? panel.title,
      draw: (context) => paint(context, picture, rect, shown(panel), state.settings, lut(), dark),
      lines: (context, unit) => strokes(context, panel, panel.width, panel.height, unit, rect),
    }));
    const size = [picture.bitmap.width, picture.bitmap.height].map((side) => Math.round(side / look.zoom));
    const columns = getComputedStyle($(".panels")).gridTemplateColumns.split(" ").length;
    const name = panels.map((panel) => mapOf(panel)?.title).filter(Boolean)[0] ?? "picture";
    download(sheet(drawn, size, size[0] / panels[0].width, columns, dark, font), `${name} ${state.settings.mode}`);
    redraw();
  }

  // ---- what Streamlit sends

  function theme() {
    const style = getComputedStyle(root), probe = document.createElement("canvas").getContext("2d");
    probe.fillStyle = style.getPropertyValue("--st-background-color").trim() || "#fff";
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(probe.fillStyle.slice(i, i + 2), 16));
    state.dark = 0.299 * r + 0.587 * g + 0.114 * b < 128;
    state.font = style.fontFamily;
  }

  async function show(data) {
    const { head, blobs } = unpack(data);
    theme();
    if (state.head?.id === head.id) return redraw();
    state.coming = head.id;
    const same = state.head?.picture === head.picture && state.picture;
    const decode = () => createImageBitmap(new Blob([blobs[0]], { type: "image/jpeg" }));
    const [bitmap, ...values] = await Promise.all([same ? state.picture.bitmap : decode(), ...blobs.slice(1).map(inflate)]);
    if (state.coming !== head.id || signal.aborted) return;
    if (!same) {
      state.picture?.bitmap.close();
      state.look = wide;
      root.classList.remove("zoomed");
      state.choice = null;
      state.point = null;
    }
    if (head.choice !== (state.head?.choice ?? null) || state.choice === null) state.choice = head.choice ?? state.choice;
    state.head = head;
    state.picture = createPicture(bitmap, head.size);
    state.all = head.panels.map((panel) => ({
      ...panel,
      maps: panel.maps.map((map) => createMap(map, values[map.blob - 1])),
    }));
    if (state.choice === null && state.all.some(({ maps }) => maps.length > 1)) state.choice = 0;
    colormaps(head.colormaps);
    const names = [...state.luts.keys()];
    state.settings = recalled(sessionStorage, head.initial, names);
    if (!state.luts.has(state.settings.colormap)) state.settings.colormap = names[0];
    // What this browser remembers is news to a fresh session, whose words would speak of other colours.
    const expected = merged(defaults(), head.initial, names);
    if (!state.known && Object.keys(expected).some((name) => expected[name] !== state.settings[name])) tell();
    state.known = true;
    controls();
    build();
    // A list that was there first has already said what is chosen; asking costs nothing and settles the order.
    window.dispatchEvent(new CustomEvent("sightglass:ask"));
    root.dataset.shown = head.id;
  }

  function colormaps(listed) {
    if (state.luts.size) return;
    const groups = { true: ["Even steps"], false: ["Others"] };
    for (const { name, uniform, lut: table } of listed) {
      state.luts.set(name, bytes(table));
      const words = name.replaceAll("_", " ");
      groups[uniform].push(new Option(words[0].toUpperCase() + words.slice(1), name));
    }
    for (const [label, ...options] of Object.values(groups)) {
      const group = document.createElement("optgroup");
      group.label = label;
      group.append(...options);
      $(".colormap").append(group);
    }
  }

  let room = 0;
  const observer = new ResizeObserver(() => {
    const now = $(".panels").clientWidth;
    if (now === room || !state.head) return;
    room = now;
    layout();
  });
  observer.observe(root);

  return {
    show(data, send) {
      state.send = send;
      return show(data);
    },
    unmount() {
      gone.abort();
      observer.disconnect();
      cancelAnimationFrame(frame);
      clearTimeout(moving);
      state.picture?.bitmap.close();
      $(".panels").replaceChildren();
      $(".colormap").replaceChildren();
    },
  };
}

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".viewer");
  let viewer = live.get(root);
  if (!viewer) live.set(root, (viewer = mount(root)));
  viewer.show(data, { setStateValue, setTriggerValue });
  return () => {
    viewer.unmount();
    live.delete(root);
  };
}
