// The numbers of a map at a threshold, as they are printed.

import { percent } from "../../browser/component.js";
import { Measured } from "../../browser/statistics.js";

/**
 * @typedef {{id: string, label: string, help: string}} Label
 * @typedef {Label & {text: string}} Printed
 */

/** The level that area, evidence and regions are of while no threshold is set: the inner edge of an overlay's lines. */
const HALF = 0.5;
/** @type {WeakMap<import("../../browser/sample.js").Grid, Measured>} */
const MEASURED = new WeakMap();

/** Return the numbers of a grid, which are computed once. @param {import("../../browser/sample.js").Grid} grid */
export function measuredOf(grid) {
  const before = MEASURED.get(grid);
  if (before) return before;
  const measured = new Measured(grid);
  MEASURED.set(grid, measured);
  return measured;
}

/** Round as Python's format does: a half to the even neighbour. @param {number} value */
export function rounded(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return String(Math.round(value));
  return String(below % 2 ? below + 1 : below);
}

/**
 * Return a map's numbers in the order of `labels`.
 * @param {import("../../browser/component.js").ShownMap} item @param {import("../../browser/component.js").Shown} shown
 * @param {Label[]} labels @param {Record<string, string>} [known] printed by Python, for no threshold
 * @returns {Printed[]}
 */
export function numbersOf({ map, grid, gain, offset }, { settings }, labels, known = {}) {
  if (map.kind === "difference") return [];
  const { threshold } = settings;
  const moved = threshold > 0;
  // The line is on the scale that is drawn, which maps may share; without one, numbers are those of each map, as in files.
  const level = moved ? (threshold - offset) / gain : HALF;
  const texts = { ...known };
  const measured = measuredOf(grid);
  if (moved || !("area" in known)) {
    const { area, evidence, regions } = measured.above(level);
    Object.assign(texts, { area: percent(area), evidence: percent(evidence), regions: String(regions) });
  }
  texts.half ??= percent(measured.half);
  texts.scatter ??= measured.scatter.toFixed(2);
  texts.peak ??= measured.peak(map.seen).map(rounded).join(", ");
  return labels.filter(({ id }) => id in texts).map((label) => {
    const named = label.id === "area" ? `${label.label} ${moved ? threshold.toFixed(2) : "half"}` : label.label;
    return { ...label, label: named, text: texts[label.id] };
  });
}
