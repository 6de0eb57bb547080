// Pixels and lines of one panel. Nothing here knows of the page: canvas, rectangle and settings in, picture out.

import { overlayTable, mapTable, spotlightTable, differenceTable, differenceMapTable } from "./table.js";
import { differenceSpotlightTable, blend, grey, fade } from "./table.js";
import { inCanvas } from "./geometry.js";
import { resample, nearest, level, cellsOf } from "./sample.js";
import { isolines } from "./contour.js";

const FINE = 320;
const HALO = "rgba(20, 20, 20, 0.75)";
const CONTOURS = { overlay: [[0.5, 1.25]], contour: [[0.25, 0.9], [0.5, 1.4], [0.75, 2.2]] };

/** The photograph at a size and a place, read once for all panels. */
export function createPicture(bitmap, size) {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let key = "", part = null;
  return {
    bitmap,
    at(width, height, rect) {
      const wanted = [width, height, ...rect].join();
      if (wanted === key) return part;
      key = wanted;
      canvas.width = width;
      canvas.height = height;
      const sx = bitmap.width / size[0], sy = bitmap.height / size[1];
      const across = (rect[2] - rect[0]) * sx, down = (rect[3] - rect[1]) * sy;
      context.imageSmoothingEnabled = width < 3 * across;
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, rect[0] * sx, rect[1] * sy, across, down, 0, 0, width, height);
      const source = context.getImageData(0, 0, width, height).data, faded = new Map();
      let gray = null;
      part = {
        source,
        grey: () => (gray ??= grey(source)),
        faded(seen, ground) {
          const name = [...seen, ground].join();
          if (!faded.has(name)) faded.set(name, fade(source, width, seen, ground));
          return faded.get(name);
        },
      };
      return part;
    },
  };
}

/** A map with everything worked out from it kept: its levels where it was last drawn, its cells, its lines. */
export function createMap(head, values) {
  const [h, w] = head.shape;
  const map = { ...head, values, w, h, lines: new Map(), levels: null, key: "", coarse: null, peak: 0 };
  for (const value of values) if (value > map.peak) map.peak = value;
  return map;
}

function levelsOf(map, cells, rect, width, height) {
  const key = [cells, width, height, ...rect].join();
  if (key === map.key) return map.levels;
  map.key = key;
  const out = map.levels?.length === width * height ? map.levels : new Uint8Array(width * height);
  if (cells && map.cells) {
    map.coarse ??= cellsOf(map, map.cells);
    map.levels = nearest(map.coarse, rect, width, height, level(map.kind), out);
  } else map.levels = resample(map, rect, width, height, level(map.kind), out);
  return map.levels;
}

function tableOf(kind, { mode, alpha, even, threshold }, lut, dark) {
  const ground = dark ? 48 : 228, difference = kind === "difference";
  if (mode === "overlay") return (difference ? differenceTable : (o) => overlayTable(lut, o))({ alpha, even, threshold });
  if (mode === "map") return difference ? differenceMapTable(threshold, ground) : mapTable(lut, threshold, ground);
  if (mode === "spotlight") return (difference ? differenceSpotlightTable : spotlightTable)(alpha, threshold);
  return null;
}

/** @returns {void} fills the whole canvas; `map` null: the plain picture */
export function paint(context, picture, rect, map, settings, lut, dark) {
  const { width, height } = context.canvas;
  const part = picture.at(width, height, rect);
  if (!map || settings.mode === "picture") {
    context.putImageData(new ImageData(part.source, width, height), 0, 0);
    return;
  }
  const seen = inCanvas(map.seen, rect, width, height), out = new ImageData(width, height);
  out.data.set(part.faded(seen, dark ? 20 : 255));
  const table = tableOf(map.kind, settings, lut, dark);
  if (table) {
    const under = map.kind === "difference" && settings.mode === "overlay" ? part.grey() : part.source;
    blend(out.data, under, levelsOf(map, settings.cells, rect, width, height), table, width, seen);
  }
  context.putImageData(out, 0, 0);
}

/** The segments of a level, in original pixels. A difference is asked for with its sign. */
function segmentsOf(map, at) {
  if (!map.lines.has(at)) {
    const longest = Math.max(map.w, map.h), scale = longest < FINE / 2 || longest > FINE ? FINE / longest : 1;
    const w = Math.max(1, Math.round(map.w * scale)), h = Math.max(1, Math.round(map.h * scale));
    const share = map.kind === "difference" ? (v) => v / 32767.5 - 1 : (v) => v / 65535;
    map.field ??= resample(map, map.extent, w, h, share, new Float32Array(w * h));
    const field = at < 0 ? map.field.map((v) => -v) : map.field;
    const [x0, y0, x1, y1] = map.extent;
    const found = isolines(field, w, h, Math.abs(at));
    const placed = found.map((v, i) => (i % 2 ? y0 + (v / h) * (y1 - y0) : x0 + (v / w) * (x1 - x0)));
    if (map.lines.size > 24) map.lines.clear();
    map.lines.set(at, placed);
  }
  return map.lines.get(at);
}

/** Contours and boxes, over a cleared canvas of `width` CSS pixels at `scale`. */
export function outline(context, width, height, scale, rect, map, settings, boxes, font) {
  context.setTransform(scale, 0, 0, scale, 0, 0);
  const X = (x) => ((x - rect[0]) / (rect[2] - rect[0])) * width;
  const Y = (y) => ((y - rect[1]) / (rect[3] - rect[1])) * height;
  context.lineCap = context.lineJoin = "round";
  if (map && CONTOURS[settings.mode] && !(settings.mode === "overlay" && (settings.cells || map.kind === "difference"))) {
    context.save();
    context.beginPath();
    const [x0, y0, x1, y1] = map.seen;
    context.rect(X(x0), Y(y0), X(x1) - X(x0), Y(y1) - Y(y0));
    context.clip();
    for (const [standard, thick] of CONTOURS[settings.mode]) {
      const at = settings.mode === "overlay" && settings.threshold > 0 ? settings.threshold : standard;
      for (const sign of map.kind === "difference" ? [1, -1] : [1]) {
        const path = new Path2D(), segments = segmentsOf(map, sign * at);
        for (let i = 0; i < segments.length; i += 4) {
          path.moveTo(X(segments[i]), Y(segments[i + 1]));
          path.lineTo(X(segments[i + 2]), Y(segments[i + 3]));
        }
        for (const [colour, more] of [[HALO, 1.75], ["#fff", 0]]) {
          context.strokeStyle = colour;
          context.lineWidth = thick + more;
          context.stroke(path);
        }
      }
    }
    context.restore();
  }
  for (const box of [...boxes].sort((a, b) => Number(a.chosen) - Number(b.chosen))) {
    const left = X(box.xyxy[0]), top = Y(box.xyxy[1]), right = X(box.xyxy[2]), bottom = Y(box.xyxy[3]);
    const thick = box.chosen ? 2.25 : 1.25;
    for (const [colour, more] of [[HALO, 1.75], ["#fff", 0]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick + more;
      context.strokeRect(left, top, right - left, bottom - top);
    }
    if (!box.tag || right < 0 || left > width || bottom < 0 || top > height) continue;
    context.font = `600 13px ${font}`;
    const wide = context.measureText(box.tag).width + 12, high = 20;
    const x = Math.min(Math.max(0, left), Math.max(0, width - wide)), y = top >= high ? top - high : Math.max(0, top);
    context.fillStyle = box.chosen ? "#fff" : "rgba(20, 20, 20, 0.85)";
    context.fillRect(x, y, wide, high);
    context.fillStyle = box.chosen ? "#1c1c1c" : "#fff";
    context.textBaseline = "middle";
    context.fillText(box.tag, x + 6, y + high / 2 + 0.5);
  }
}
