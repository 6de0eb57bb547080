import assert from "node:assert/strict";
import test from "node:test";
import { Acts, moved } from "../../pages/present/board.js";

test("a slide moves by some places, no further than the ends, and others keep their order", () => {
  const ids = ["a", "b", "c", "d"];
  assert.deepEqual(moved(ids, "c", -1), ["a", "c", "b", "d"]);
  assert.deepEqual(moved(ids, "a", 2), ["b", "c", "a", "d"]);
  assert.deepEqual(moved(ids, "b", 9), ["a", "c", "d", "b"]);
  for (const [id, by] of [["a", -1], ["d", 1], ["b", 0], ["gone", 1]]) assert.equal(moved(ids, id, by), ids);
  assert.deepEqual(ids, ["a", "b", "c", "d"]);
});

test("acts are numbered, and the last ones are sent again", () => {
  const acts = new Acts("mine");
  for (let i = 0; i < 20; i++) acts.add("edit", i);
  const sent = acts.add("remove", "a");
  assert.equal(sent.length, 12);
  assert.deepEqual(sent.at(-1), { board: "mine", n: 21, kind: "remove", value: "a" });
  assert.deepEqual(sent.map(({ n }) => n), [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]);
});
