import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { reshaped, distance, drawingOf, inside, textBox, shifted, markAt,
  unitOf } from "../../sightglass/components/markup/shapes.js";
import { MarkSteps } from "../../sightglass/components/markup/board.js";

const SIZE = [1000, 800];
const arrow = (points, text = "") => ({ kind: "arrow", points, text, ink: "accent" });
const circle = (points, text = "") => ({ kind: "circle", points, text, ink: "light" });
const words = (at, text) => ({ kind: "text", points: [at], text, ink: "dark" });

test("marks are where the same marks in a file are", () => {
  const { cases } = JSON.parse(readFileSync(new URL("./markup.json", import.meta.url), "utf8"));
  assert.ok(cases.length >= 8);
  for (const { size, mark, drawing } of cases) {
    assert.deepEqual(JSON.parse(JSON.stringify(drawingOf(mark, unitOf(size), size), rounded)), drawing);
  }
});

/** To a thousandth of a pixel. */
function rounded(_, value) {
  return typeof value === "number" ? Math.round(1000 * value) / 1000 + 0 : value;
}

test("words stay in the picture", () => {
  const marks = [arrow([[995, 400], [500, 400]], "at the right edge"), arrow([[5, 5], [300, 5]], "at the left edge"),
    circle([[500, 5], [500, 60]], "no room over it"), words([999, 799], "in the corner"),
    words([10, 790], "long ".repeat(20)), circle([[2, 780], [30, 780]], "bottom left")];
  for (const mark of marks) {
    const [x0, y0, x1, y1] = textBox(mark, unitOf(SIZE), SIZE);
    assert.ok(x0 >= -1e-9 && y0 >= -1e-9 && x1 <= 1000 + 1e-9 && y1 <= 800 + 1e-9, JSON.stringify([mark.text, x0, y0, x1, y1]));
  }
});

test("a hand takes the nearest mark, of equals the last drawn, and none that is far", () => {
  const marks = [arrow([[100, 100], [300, 100]]), circle([[500, 400], [500, 500]]), arrow([[100, 100], [300, 100]])];
  assert.equal(markAt(marks, [200, 104], 10, 2, SIZE), 2);
  assert.equal(markAt(marks, [500, 502], 10, 2, SIZE), 1);
  assert.equal(markAt(marks, [500, 400], 10, 2, SIZE), -1, "the middle of a circle is the picture's");
  assert.equal(markAt(marks, [800, 700], 10, 2, SIZE), -1);
  assert.equal(distance(words([100, 400], "here"), [105, 400], 2, SIZE), 0);
});

test("marks are moved as a whole and stay in the picture", () => {
  assert.deepEqual(shifted(arrow([[100, 100], [300, 200]]), 10, -500, SIZE).points, [[110, 0], [310, 100]]);
  assert.deepEqual(shifted(arrow([[100, 100], [300, 200]]), 5000, 0, SIZE).points, [[800, 100], [1000, 200]]);
  const moved = shifted(circle([[500, 400], [500, 500]]), -5000, 0, SIZE);
  assert.deepEqual(moved.points, [[0, 400], [0, 500]], "a circle may reach over the edge");
  assert.deepEqual(reshaped(arrow([[1, 2], [3, 4]]), 1, [2000, -5], SIZE).points, [[1, 2], [1000, 0]]);
  assert.deepEqual(inside([10.123456, -3], SIZE), [10.12, 0]);
});

test("every step is taken back, and done again", () => {
  const [a, b] = [arrow([[0, 0], [50, 50]]), words([5, 5], "x")], page = new MarkSteps([a]);
  assert.equal(page.add(b), 1);
  page.change(0, { ...a, ink: "dark" });
  page.remove(1);
  page.remove(7);
  assert.deepEqual(page.value.map(({ ink }) => ink), ["dark"]);
  assert.equal(page.back, 3);
  while (page.undo());
  assert.deepEqual(page.value, [a]);
  while (page.redo());
  assert.deepEqual(page.value.map(({ ink }) => ink), ["dark"]);
  page.undo();
  page.add(b);
  assert.ok(!page.redo(), "what was undone is gone once something else is done");
});
