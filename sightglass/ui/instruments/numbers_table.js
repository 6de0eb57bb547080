// The table of numbers: a row for each number, a column for each panel.

/** @typedef {import("./numbers.js").Printed} Printed */
/** @typedef {{title: string, numbers: Printed[], facts: Printed[], reason: string}} PanelColumn  reason: why there are no numbers */

/** The value where there is nothing to say. */
export const NONE = "–";
/** The row of a table in which no map has numbers. */
const UNMEASURED = { id: "", label: "Numbers", help: "", text: "" };

/** @param {string} name of its class @param {string} text */
function partOf(name, text) {
  const part = document.createElement("span");
  part.className = name;
  part.textContent = text;
  return part;
}

/** Return the head of a column that does not stand under its map. @param {PanelColumn} column */
function headOf({ title }) {
  const head = partOf("head", title);
  head.title = title;
  head.setAttribute("role", "columnheader");
  return head;
}

/** Return a row's cell; the first of a row names it. @param {Printed} row @param {PanelColumn} column @param {boolean} first */
function cellOf({ label, help }, { title }, first) {
  const cell = document.createElement("div");
  cell.title = help;
  cell.className = first ? "named" : "";
  cell.append(first ? partOf("label", label) : partOf("unseen", `${title}, ${label}`));
  return cell;
}

/** Return the first row of each name, in the order of the columns. @param {Printed[][]} columns */
function namesOf(columns) {
  const rows = columns.flat();
  return rows.filter(({ id }, i) => rows.findIndex((other) => other.id === id) === i);
}

/**
 * Return a column's cells, a row's each; null where a reason's own cell is as high as all rows.
 * @param {Printed[]} rows @param {Printed[]} found @param {PanelColumn} column @param {boolean} first @param {string} reason
 */
function tableCells(rows, found, column, first, reason) {
  return rows.map((row, at) => {
    if (reason && at && !first) return null;
    const cell = cellOf(row, column, first);
    const text = found.find(({ id }) => id === row.id)?.text ?? NONE;
    if (!reason || !at) cell.append(partOf(reason ? "value why" : "value", reason || text));
    return cell;
  });
}

/**
 * Write the rows of all columns.
 * @param {HTMLElement} table @param {PanelColumn[]} columns @param {boolean} under whether they stand under their maps
 */
export function fillTable(table, columns, under) {
  const measured = namesOf(columns.map(({ numbers }) => numbers));
  if (!measured.length && columns.some(({ reason }) => reason)) measured.push(UNMEASURED);
  const known = namesOf(columns.map(({ facts }) => facts));
  const cells = columns.map((column, i) => [
    ...tableCells(measured, column.numbers, column, !i, column.reason),
    ...tableCells(known, column.facts, column, !i, ""),
  ]);
  const heads = under || columns.length === 1 ? [] : [partOf("head", ""), ...columns.map(headOf)];
  table.style.setProperty("--measured", String(measured.length));
  table.replaceChildren(...heads, ...cells[0].flatMap((_, row) => cells.flatMap((column) => column[row] ?? [])));
}
