// The lines of a proof's chart.

/** Dashes by which the controls are told apart; the map's own line is whole and bold. Python reads the JSON. @type {Record<string, string>} */
export const DASHES = {
  "map": "",
  "strongest": "5 2",
  "random": "7 3",
  "blobs": "2 3",
  "centre": "12 3 2 3",
  "edges": "4 3 1 3 1 3",
  "runner-up": "1 4"
};
