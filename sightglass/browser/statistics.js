// Numbers of a map, by the definitions of explain/maps/statistics.py; both are tested on tests/statistics_cases.json.

import { shares } from "./sample.js";

/**
 * @typedef {import("./sample.js").Grid} Grid
 * @typedef {{area: number, evidence: number, regions: number}} Above  shares of cells and of evidence, 0..1, and connected areas
 */

/** The most cells of a side that are counted: a larger map is reduced by area. */
const COARSE = 320;
export const BINS = 20;
/** The bits of 2 ** -30 and of 1 as float32: heat below the first counts as it. */
const LEAST = 0x30800000;
const ONE = 0x3f800000;

/**
 * Return how much of each cell of `count` a target cell covers, as its first cell and the weights from there on.
 * @param {number} count @param {number} targets fewer than that
 */
function overlaps(count, targets) {
  const step = count / targets;
  return Array.from({ length: targets }, (_, i) => {
    const start = i * step;
    const end = Math.min(count, start + step);
    const first = Math.floor(start + 1e-9);
    const last = Math.min(count, Math.ceil(end - 1e-9));
    const weights = [];
    for (let cell = first; cell < last; cell++) {
      weights.push((Math.min(end, cell + 1) - Math.max(start, cell)) / step);
    }
    return { first, weights };
  });
}

/**
 * Return values reduced by area to a smaller grid.
 * @param {Float32Array} values @param {number} w @param {number} h @param {number} width @param {number} height
 */
function reduce(values, w, h, width, height) {
  const across = overlaps(w, width);
  const down = overlaps(h, height);
  const out = new Float32Array(width * height);
  const row = new Float64Array(w);
  down.forEach((part, y) => {
    row.fill(0);
    part.weights.forEach((weight, k) => {
      const from = (part.first + k) * w;
      for (let x = 0; x < w; x++) row[x] += weight * values[from + x];
    });
    across.forEach(({ first, weights }, x) => {
      out[y * width + x] = weights.reduce((sum, weight, k) => sum + weight * row[first + k], 0);
    });
  });
  return out;
}

/** A map's strengths, whatever their signs, on the grid that is counted, and its numbers. */
export class Measured {
  /** What was counted, by its name: the values stay, and a page asks in each frame. @type {Map<string, any>} */
  #counted = new Map();

  /** @param {Grid} grid as `unpack.js` leaves it */
  constructor({ values, w, h, kind }) {
    const { times, plus } = shares(kind);
    const signed = Float32Array.from(values, (value) => value * times + plus);
    const strengths = kind === "heat" ? signed : signed.map(Math.abs);
    const scale = Math.min(1, COARSE / Math.max(w, h));
    this.kind = kind;
    // What a value may be off, as Python sends it in 65,536 steps: one at a limit counts as it does there.
    this.rounding = times / 2;
    this.signed = signed;
    this.w = Math.max(1, Math.round(w * scale));
    this.h = Math.max(1, Math.round(h * scale));
    this.values = scale < 1 ? reduce(strengths, w, h, this.w, this.h) : strengths;
    this.total = this.values.reduce((sum, value) => sum + value, 0);
  }

  /** @template T @param {string} name @param {() => T} count @returns {T} */
  #once(name, count) {
    if (!this.#counted.has(name)) this.#counted.set(name, count());
    return this.#counted.get(name);
  }

  /** Return the shares and the regions above a level, 0..1. @param {number} level @returns {Above} */
  above(level) {
    const { values, total } = this;
    const limit = level + this.rounding;
    let count = 0;
    let sum = 0;
    for (const value of values) {
      if (value <= limit) continue;
      count++;
      sum += value;
    }
    return { area: count / values.length, evidence: total ? sum / total : 0, regions: this.#regions(limit) };
  }

  /** Count connected areas above a level, where cells that touch at a corner are connected. @param {number} level */
  #regions(level) {
    const { values, w, h } = this;
    const parents = new Int32Array(values.length);
    let count = 0;
    const root = (/** @type {number} */ cell) => {
      let at = cell;
      while (parents[at] !== at) {
        parents[at] = parents[parents[at]];
        at = parents[at];
      }
      return at;
    };
    const join = (/** @type {number} */ cell, /** @type {number} */ other) => {
      if (!(values[other] > level)) return;
      const [a, b] = [root(cell), root(other)];
      if (a === b) return;
      parents[Math.max(a, b)] = Math.min(a, b);
      count--;
    };
    for (let y = 0, i = 0; y < h; y++) {
      for (let x = 0; x < w; x++, i++) {
        if (!(values[i] > level)) continue;
        parents[i] = i;
        count++;
        if (x > 0) join(i, i - 1);
        if (y === 0) continue;
        join(i, i - w);
        if (x > 0) join(i, i - w - 1);
        if (x < w - 1) join(i, i - w + 1);
      }
    }
    return count;
  }

  /** Return the smallest share of the cells that holds half of the evidence. */
  get half() {
    return this.#once("half", () => this.#countHalf());
  }

  #countHalf() {
    const { values, total } = this;
    if (!total) return 0;
    const highest = values.reduce((most, value) => Math.max(most, value), 0);
    const bits = new Int32Array(Float32Array.from(values, (value) => value / highest).buffer);
    const heats = new Float32Array(bits.buffer);
    const steps = ((ONE - LEAST) >> 14) + 1;
    const counts = new Float64Array(steps);
    const sums = new Float64Array(steps);
    bits.forEach((bit, i) => {
      const step = (Math.max(bit, LEAST) - LEAST) >> 14;
      counts[step] += 1;
      sums[step] += heats[i];
    });
    const wanted = (0.5 - this.rounding) * sums.reduce((sum, value) => sum + value, 0);
    let gathered = 0;
    let hottest = 0;
    for (let step = steps - 1; step >= 0; step--) {
      if (gathered + sums[step] >= wanted) {
        const part = (wanted - gathered) / sums[step];
        return (hottest + Math.max(1, Math.ceil(part * counts[step] - 1e-9))) / values.length;
      }
      gathered += sums[step];
      hottest += counts[step];
    }
    return 1;
  }

  /** Return how scattered the evidence is: 0 is one place, 1 the same everywhere. */
  get scatter() {
    return this.#once("scatter", () => this.#countScatter());
  }

  #countScatter() {
    const { values, total } = this;
    if (!total || values.length < 2) return 0;
    let bits = 0;
    for (const value of values) {
      const share = value / total;
      if (share > 0) bits -= share * Math.log2(share);
    }
    return Math.min(1, Math.max(0, bits) / Math.log2(values.length));
  }

  /**
   * Return the strongest place, in pixels of the picture; of a map that is the same everywhere its middle.
   * @param {number[]} extent x0, y0, x1, y1 that the map covers @returns {[number, number]}
   */
  peak([x0, y0, x1, y1]) {
    const { values, w, h } = this;
    let at = 0;
    let least = values[0];
    values.forEach((value, i) => {
      if (value > values[at]) at = i;
      least = Math.min(least, value);
    });
    if (least === values[at]) return [(x0 + x1) / 2, (y0 + y1) / 2];
    return [x0 + (((at % w) + 0.5) / w) * (x1 - x0), y0 + ((Math.floor(at / w) + 0.5) / h) * (y1 - y0)];
  }

  /** Return how many cells fall into each of `BINS` equal steps of strength, from weak to strong. */
  get histogram() {
    return this.#once("histogram", () => this.#countHistogram());
  }

  #countHistogram() {
    const counts = Array(BINS).fill(0);
    for (const value of this.values) counts[Math.min(BINS - 1, Math.floor((value + this.rounding) * BINS))]++;
    return counts;
  }

  /** Return the share of the evidence above each of `steps` + 1 levels, from 0 to 1. @param {number} steps */
  curve(steps) {
    return this.#once(`curve ${steps}`, () => this.#countCurve(steps));
  }

  /** @param {number} steps */
  #countCurve(steps) {
    const { values, total } = this;
    const sums = Array(steps + 2).fill(0);
    for (const value of values) sums[Math.min(steps + 1, Math.ceil(value * steps - this.rounding))] += value;
    const curve = [];
    let above = total;
    for (let step = 0; step <= steps; step++) {
      above -= sums[step];
      curve.push(total ? Math.max(0, above) / total : 0);
    }
    return curve;
  }

  /** Return how many values fall into each of `BINS` equal steps from what lowers most to what raises most. */
  get sides() {
    return this.#once("sides", () => this.#countSides());
  }

  #countSides() {
    const counts = Array(BINS).fill(0);
    for (const value of this.signed) counts[Math.min(BINS - 1, Math.floor(((value + 1) / 2) * BINS))]++;
    return counts;
  }
}
