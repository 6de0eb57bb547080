// Two pictures with what makes them alike and what sets them apart; pointing at a place joins it to its best match.

import { bytes, grids, inflate, unpack } from "../viewer/unpack.js";
import { blend, differenceGradient, differenceTable, fade, grey, overlayTable } from "../viewer/table.js";
import { levelsAt } from "../viewer/sample.js";
import { alikeTo, asHeat, beside, best, cellBox, cellUnder, columnsOf, placeOf, sizes } from "./cells.js";

/**
 * @typedef {import("../viewer/sample.js").Grid} Map2
 * @typedef {{name: string, note: string, text: string, size: number[], seen: number[], down: number[],
 *   across: number[]}} Told
 * @typedef {{told: Told, map: Map2, bitmap: ImageBitmap, canvas: HTMLCanvasElement, source: Uint8ClampedArray|null,
 *   grey: Uint8ClampedArray|null, heat: Map2|null}} Side
 */

const MODES = [["both", "compare"], ["upper", "join_inner"], ["picture", "image"]];
const GAP = 16;
const LEAST = 220;
const PHONE = 640;
const NARROW = 170;
const WIDE = 1.15;
const KEEP = "sightglass:pairs";
const live = new WeakMap();

/** @param {string} name @param {Record<string, string|number>} attributes */
function drawn(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

/** What was chosen here before, also before a reload. */
function remembered() {
  try {
    return { mode: "both", alpha: 0.85, lines: false, ...JSON.parse(sessionStorage.getItem(KEEP) ?? "{}") };
  } catch {
    return { mode: "both", alpha: 0.85, lines: false };
  }
}

/** Only what is above 0: a table without its lower half. @param {import("../viewer/table.js").Table} table */
function upper({ K, A }) {
  K.fill(1, 0, 128);
  A.fill(0, 0, 3 * 128);
  return { K, A };
}

/**
 * Weak places as faint as heat is in the viewer: opacity goes with the power 1.2 and not 0.6.
 * @param {import("../viewer/table.js").Table} table
 */
function softer({ K, A }) {
  for (let i = 0; i < 256; i++) {
    const by = Math.min(Math.abs(i - 128) / 127, 1) ** 0.6;
    K[i] = 1 - (1 - K[i]) * by;
    for (let c = 0; c < 3; c++) A[3 * i + c] *= by;
  }
  return { K, A };
}

/** @param {HTMLElement} root */
function mount(root) {
  const gone = new AbortController(), { signal } = gone, settings = remembered();
  const $ = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (root.querySelector(selector));
  const stage = $(".stage"), svg = $("svg"), line = $(".line");
  const canvases = /** @type {HTMLCanvasElement[]} */ ([...root.querySelectorAll("canvas")]);
  /** @type {Side[]} */
  let sides = [];
  /** @type {any} */
  let head = null;
  /** @type {import("./cells.js").Matrix} */
  let matrix = { scores: new Float32Array(0), count: [0, 0] };
  /** The cell that is pointed at. @type {{side: number, cell: number}|null} */
  let at = null;
  let lut = new Uint8Array(768), frame = 0, dark = false, loading = "";

  $(".modes").replaceChildren(...MODES.map(([value, icon]) => {
    const label = document.createElement("label");
    label.innerHTML = `<input type="radio" name="mode" value="${value}">` +
      `<span class="icon" aria-hidden="true">${icon}</span><span class="word"></span>`;
    /** @type {HTMLInputElement} */ (label.firstChild).checked = settings.mode === value;
    return label;
  }));

  /** What the signs are called, which depends on what the map is of. @param {Record<string, string>} words */
  function call(words) {
    [...$(".modes").children].forEach((each, i) => {
      const label = /** @type {HTMLElement} */ (each), word = [words.both, words.upper, "Pictures"][i];
      label.title = word;
      /** @type {HTMLElement} */ (label.children[0]).setAttribute("aria-label", word);
      /** @type {HTMLElement} */ (label.children[2]).textContent = word;
    });
    $(".low").textContent = words.low;
    $(".high").textContent = words.high;
  }

  const slider = /** @type {HTMLInputElement} */ ($(".alpha input")), toggle = $(".toggle");
  slider.value = String(Math.round(100 * settings.alpha));
  toggle.setAttribute("aria-pressed", String(settings.lines));

  /** @param {Partial<typeof settings>} changed */
  function change(changed) {
    Object.assign(settings, changed);
    try {
      sessionStorage.setItem(KEEP, JSON.stringify(settings));
    } catch {
      // A browser that keeps nothing still shows everything.
    }
    redraw();
  }

  function redraw() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  }

  function arrange() {
    if (!head) return;
    const aspects = sides.map(({ told: { size: [w, h] } }) => w / h);
    const room = stage.clientWidth, stacked = innerWidth < PHONE && Math.min(...aspects) > WIDE;
    const tallest = Math.max(LEAST, head.height + Math.min(0, innerHeight - 900));
    stage.classList.toggle("stacked", stacked);
    sizes(room, aspects, tallest, stacked, GAP).forEach(([width, height], i) => {
      const side = sides[i], { canvas } = side, scale = Math.min(2, devicePixelRatio || 1);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      /** @type {HTMLElement} */ (canvas.parentElement).style.width = `${width}px`;
      // A narrow picture has room for its name alone.
      const caption = /** @type {HTMLElement} */ (canvas.previousElementSibling);
      /** @type {HTMLElement} */ (caption.children[1]).hidden = width < NARROW;
      const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
      if (canvas.width === w && canvas.height === h && side.source) return;
      canvas.width = w;
      canvas.height = h;
      const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
      context.imageSmoothingQuality = "high";
      context.drawImage(side.bitmap, 0, 0, w, h);
      side.source = context.getImageData(0, 0, w, h).data;
      side.grey = null;
    });
    redraw();
  }

  function draw() {
    if (!head || sides.some(({ source }) => !source)) return;
    sides.forEach(paint);
    svg.replaceChildren(...marks());
    say();
    const ground = dark ? 48 : 228;
    /** @type {HTMLElement} */ ($(".legend i")).style.background = differenceGradient(ground);
    $(".legend").style.visibility = settings.mode === "picture" ? "hidden" : "visible";
  }

  /** @param {Side} side @param {number} i */
  function paint(side, i) {
    const { canvas, told, map, heat } = side, { width, height } = canvas;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const source = /** @type {Uint8ClampedArray} */ (side.source), out = new ImageData(width, height);
    const [sx, sy] = [width / told.size[0], height / told.size[1]];
    const seen = told.seen.map((v, j) => Math.round(v * (j % 2 ? sy : sx))), all = [0, 0, told.size[0], told.size[1]];
    const answering = at !== null && at.side !== i && heat !== null;
    if (settings.mode === "picture" && !answering) out.data.set(source);
    else {
      const shown = answering ? /** @type {Map2} */ (heat) : map;
      const opacity = { alpha: answering ? Math.max(0.6, settings.alpha) : settings.alpha, even: false, threshold: 0 };
      let table = answering ? overlayTable(lut, opacity) : softer(differenceTable(opacity));
      if (!answering && settings.mode === "upper") table = upper(table);
      const under = answering ? source : (side.grey ??= grey(source));
      fade(out.data, source, width, seen, dark ? 20 : 255);
      blend(out.data, under, levelsAt(shown, all, width, height, 1, 0, new Uint8Array(width * height)), table, width, seen);
    }
    context.putImageData(out, 0, 0);
  }

  /** The pairs that are joined now, as [cell of the first, cell of the second, score]. */
  function joined() {
    if (at === null) return settings.lines ? head.pairs : [];
    const scores = alikeTo(matrix, at.side, at.cell), other = best(scores);
    return [at.side === 0 ? [at.cell, other, scores[other]] : [other, at.cell, scores[other]]];
  }

  /** Boxes of the cells and the lines between them, each with a dark halo. */
  function marks() {
    const from = stage.getBoundingClientRect();
    return joined().flatMap((/** @type {number[]} */ pair, /** @type {number} */ number) => {
      const boxes = sides.map(({ told, canvas }, i) => {
        const place = canvas.getBoundingClientRect(), [w, h] = told.size;
        const [x0, y0, x1, y1] = cellBox(told, pair[i], told.size);
        const [sx, sy, x, y] = [place.width / w, place.height / h, place.left - from.left, place.top - from.top];
        return [x + x0 * sx, y + y0 * sy, x + x1 * sx, y + y1 * sy];
      });
      const middle = boxes.map(([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2]);
      const [[ax, ay], [bx, by]] = middle;
      const shapes = boxes.map(([x0, y0, x1, y1]) => ["rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, rx: 2 }]);
      const join = ["line", { x1: ax, y1: ay, x2: bx, y2: by }];
      const all = at === null ? shapes : [...shapes, join];
      const nodes = ["halo", "ink"].flatMap((kind) =>
        all.map(([name, attributes]) => drawn(/** @type {string} */ (name), { .../** @type {any} */ (attributes), class: kind })));
      if (at === null) {
        for (const [x0, y0] of boxes) {
          const text = drawn("text", { x: x0 + 4, y: y0 + 14 });
          text.textContent = String(number + 1);
          nodes.push(text);
        }
      }
      return nodes;
    });
  }

  /** The line below, which a screen reader reads. */
  function say() {
    if (at === null) {
      const many = head.pairs.length;
      const listed = settings.lines && many ? ` Equal numbers mark the ${many === 1 ? "place" : `${many} places`} that match best.` : "";
      line.textContent = `${head.line}${listed}`;
      return;
    }
    const [[first, second, score]] = joined(), cells = [first, second];
    const [own, other] = [at.side, 1 - at.side].map((i) => {
      const { told } = sides[i], where = placeOf(cellBox(told, cells[i], told.size), told.size);
      return `${where} of ${told.name}`;
    });
    line.textContent = `${own[0].toUpperCase()}${own.slice(1)} matches ${other} best, ${score.toFixed(2)} alike; ` +
      "the colours there say how well every place does.";
  }

  /** @param {{side: number, cell: number}|null} next */
  function point(next) {
    if (next?.side === at?.side && next?.cell === at?.cell) return;
    at = next;
    for (const side of sides) side.heat = null;
    if (at) {
      const other = sides[1 - at.side], { down, across } = other.told, values = asHeat(alikeTo(matrix, at.side, at.cell));
      const extent = [across[0], down[0], across[across.length - 1], down[down.length - 1]];
      other.heat = { values, w: columnsOf(other.told), h: down.length - 1, extent, kind: "heat" };
    }
    redraw();
  }

  canvases.forEach((canvas, i) => {
    const on = (/** @type {string} */ type, /** @type {(event: any) => void} */ handler) =>
      canvas.addEventListener(type, handler, { signal });
    const under = (/** @type {PointerEvent} */ event) => {
      const place = canvas.getBoundingClientRect(), { told } = sides[i], [w, h] = told.size;
      const x = ((event.clientX - place.left) / place.width) * w, y = ((event.clientY - place.top) / place.height) * h;
      return { side: i, cell: cellUnder(told, x, y) };
    };
    on("pointermove", (event) => event.pointerType === "mouse" && sides[i] && point(under(event)));
    // A finger has no hover: a tap joins a place, a second tap there lets it go.
    on("pointerdown", (event) => {
      if (event.pointerType === "mouse" || !sides[i]) return;
      const next = under(event);
      point(at?.side === next.side && at.cell === next.cell ? null : next);
    });
    on("pointerleave", (event) => event.pointerType === "mouse" && point(null));
    on("blur", () => point(null));
    on("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[/** @type {string} */ (event.key)];
      if (event.key === "Escape") point(null);
      if (!step || !sides[i]) return;
      event.preventDefault();
      const { told } = sides[i], middle = Math.floor((told.down.length - 1) / 2) * columnsOf(told) + (columnsOf(told) >> 1);
      point({ side: i, cell: at?.side === i ? beside(told, at.cell, step[0], step[1]) : middle });
    });
  });
  $(".modes").addEventListener("change", (event) => change({ mode: /** @type {HTMLInputElement} */ (event.target).value }), { signal });
  slider.addEventListener("input", () => change({ alpha: Number(slider.value) / 100 }), { signal });
  toggle.addEventListener("click", () => {
    toggle.setAttribute("aria-pressed", String(!settings.lines));
    change({ lines: !settings.lines });
  }, { signal });
  const watch = new ResizeObserver(arrange);
  watch.observe(stage);
  window.addEventListener("resize", arrange, { signal });

  /** @param {any} next @param {Uint8Array[]} blobs */
  async function load(next, blobs) {
    loading = next.id;
    const [first, second] = next.sides, shapes = [first.shape, second.shape, next.cells];
    const count = shapes.reduce((/** @type {number} */ sum, /** @type {number[]} */ [h, w]) => sum + h * w, 0);
    const [one, two, steps] = await Promise.all([
      ...blobs.slice(0, 2).map((blob) => createImageBitmap(new Blob([/** @type {BlobPart} */ (blob)], { type: "image/jpeg" }))),
      inflate(blobs[2], count),
    ]);
    // Another pair came while this one was being unpacked.
    if (loading !== next.id) return;
    const [mapOne, mapTwo, cells] = grids(/** @type {Uint16Array} */ (steps), shapes).map((grid) => grid());
    matrix = { scores: Float32Array.from(cells, (v) => v / 32767.5 - 1), count: next.cells };
    head = next;
    at = null;
    lut = new Uint8Array(bytes(next.lut));
    sides = [first, second].map((told, i) => ({
      told,
      map: { values: i ? mapTwo : mapOne, w: told.shape[1], h: told.shape[0], extent: told.extent, kind: "difference" },
      bitmap: /** @type {ImageBitmap} */ (i ? two : one), canvas: canvases[i], source: null, grey: null, heat: null,
    }));
    sides.forEach(({ told, canvas }) => {
      const caption = /** @type {HTMLElement} */ (canvas.previousElementSibling);
      /** @type {HTMLElement} */ (caption.children[0]).textContent = told.name;
      /** @type {HTMLElement} */ (caption.children[0]).title = told.name;
      /** @type {HTMLElement} */ (caption.children[1]).textContent = told.note;
      canvas.setAttribute("aria-label", `${told.text} Arrow keys move over its places and name what matches each.`);
    });
    call(next.words);
    arrange();
  }

  return {
    /** @param {Uint8Array} data */
    show(data) {
      const { head: next, blobs } = unpack(data);
      dark = isDark(root);
      if (head?.id === next.id) redraw();
      else load(next, blobs);
    },
    unmount() {
      watch.disconnect();
      gone.abort();
    },
  };
}

/** Whether the page is dark. @param {Element} root */
function isDark(root) {
  const probe = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
  probe.fillStyle = getComputedStyle(root).getPropertyValue("--st-background-color").trim() || "#fff";
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(String(probe.fillStyle).slice(at, at + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 128;
}

/** @param {{data: Uint8Array, parentElement: HTMLElement}} component */
export default function ({ data, parentElement }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".pairs"));
  let pairs = live.get(root);
  if (!pairs) live.set(root, (pairs = mount(root)));
  pairs.show(data);
  return () => {
    pairs.unmount();
    live.delete(root);
  };
}
