import assert from "node:assert/strict";
import test from "node:test";

// Chromium's; only asked whether something is one.
globalThis.Element ??= class {};

const { act, begin, mapOf, pageOf, sealOf, sentenceOf: sentenceIn, shownOf, stepOf, stepsOf, titleOf } = await import("../../sightglass/deck/player/state.js");
const { actionOf } = await import("../../sightglass/deck/player/state.js");
const { answersOf } = await import("../../sightglass/deck/player/scenes.js");
const { ranked } = await import("../../sightglass/deck/player/proving.js");

const VIEW = { panel: 0, map: 0, colormap: "inferno", mode: "overlay", opacity: 0.9, threshold: 0 };
const FILE = new Uint8Array(1);
const answer = (label, map) => ({ label, score: 0.5, box: null, map });
const panel = (...labels) => ({ name: "", boxes: false, answers: [...labels.map((label, i) => answer(label, i)), answer("other", null)], maps: labels.map((label) => ({ label })) });
const scene = (kind, given = {}) => ({ kind, file: FILE, panels: [], proof: null, view: VIEW, colormaps: ["inferno", "cividis"], ...given });
const PROOF = { panel: 0, map: 0 };

const SCENES = [
  scene("words", { file: null }),
  scene("picture", { panels: [panel("cat", "dog")], proof: PROOF }),
  scene("models", { panels: [panel("cat", "dog"), panel("dog", "cat"), panel("dog")] }),
  scene("story", { panels: [panel("star"), panel("star")] }),
  scene("clip", { file: null }),
];

/** What Python set there: the slide's own sentence, and on the page of its proof what the proof says. */
const sentenceOf = (scenes, state) => {
  const { sentence, proof } = scenes[state.slide];
  return sentenceIn(scenes, state, stepOf(scenes, state) === "proof" ? proof.sentence : sentence);
};

const pressed = (scenes, state, ...keys) => keys.reduce((now, key) => {
  const action = actionOf({ key, ctrlKey: false, metaKey: false, altKey: false }, stepOf(scenes, now) === "proof");
  return act(scenes, now, action);
}, state);

test("a slide is built up: picture, what it said, where it looked, proof", () => {
  assert.deepEqual(SCENES.map(stepsOf), [["words"], ["picture", "said", "looked", "proof"], ["picture", "said", "looked"], ["picture", "looked", "looked"], ["clip"]]);
  assert.deepEqual(stepsOf(scene("picture")), ["picture"]);
  assert.deepEqual(stepsOf(scene("picture", { panels: [panel()] })), ["picture", "said"]);
});

test("a remote goes through every step of every slide, and back the same way", () => {
  const seen = [];
  let state = begin(SCENES, 0);
  for (let i = 0; i < 20; i++) {
    seen.push(`${state.slide} ${stepOf(SCENES, state)}`);
    state = pressed(SCENES, state, "PageDown");
  }
  assert.deepEqual([...new Set(seen)], ["0 words", "1 picture", "1 said", "1 looked", "1 proof", "2 picture", "2 said", "2 looked", "3 picture", "3 looked", "4 clip"]);
  // Back to a slide is to what it showed, without its proof.
  assert.equal(stepOf(SCENES, pressed(SCENES, begin(SCENES, 2), "PageUp")), "looked");
  for (let i = 0; i < 20; i++) state = pressed(SCENES, state, "ArrowLeft");
  assert.deepEqual([state.slide, state.step], [0, 0]);
  assert.deepEqual([pressed(SCENES, state, "End").slide, pressed(SCENES, state, "End", "Home").slide], [4, 0]);
});

test("models begin with a map of their own; once one is chosen, all show the same answer, by its name", () => {
  const state = begin(SCENES, 2), shown = (now) => [0, 1, 2].map((i) => mapOf(SCENES[2], now, i));
  assert.deepEqual(shown(state), [0, 0, 0]);
  assert.deepEqual(shown(pressed(SCENES, state, "1")), [0, 1, null]);
  assert.deepEqual(shown(pressed(SCENES, state, "2")), [1, 0, 0]);
  // A view of another map than the first was chosen by who made it.
  const given = [scene("models", { ...SCENES[2], view: { ...VIEW, map: 1 } })];
  assert.deepEqual([0, 1, 2].map((i) => mapOf(given[0], begin(given, 0), i)), [1, 0, 0]);
});

test("the sentence is of the map that is shown", () => {
  const said = (label) => `The evidence for ${label} is at the top.`, told = (...labels) => ({ ...panel(...labels), maps: labels.map((label) => ({ label, sentence: said(label) })) });
  const proof = { ...PROOF, sentence: "Hiding it changes the answer." };
  const scenes = [
    scene("picture", { panels: [told("cat", "dog")], proof, sentence: "It is a cat." }),
    scene("picture", { panels: [told("cat", "dog")], sentence: "It is a dog.", view: { ...VIEW, map: 1 } }),
    scene("picture", { panels: [panel("cat", "dog")], sentence: "A deck of an older version." }),
    scene("models", { panels: [told("cat", "dog"), told("dog", "cat")], sentence: "They differ." }),
  ];
  const after = (slide, ...keys) => sentenceOf(scenes, pressed(scenes, begin(scenes, slide), ...keys));
  assert.deepEqual([[], ["2"], ["2", "1"], ["p"], ["2", "p"]].map((keys) => after(0, ...keys)), ["It is a cat.", said("dog"), "It is a cat.", proof.sentence, proof.sentence]);
  assert.deepEqual([[], ["1"], ["2"]].map((keys) => after(1, ...keys)), ["It is a dog.", said("cat"), "It is a dog."]);
  assert.equal(after(2, "2"), "Evidence for dog.");
  // Of several models it is of no single map; alone with another map, of that.
  assert.deepEqual([[], ["1"], ["2"], ["l"], ["2", "l"]].map((keys) => after(3, ...keys)), ["They differ.", "Evidence for cat.", "Evidence for dog.", "They differ.", said("dog")]);
});

test("the seal is of the map that is shown, from when it is shown", () => {
  const sealed = (...labels) => ({ ...panel(...labels), maps: labels.map((label) => ({ label, seal: `${label}: ✓ changes with the model: yes`, seal_short: `${label}: ✓ model` })) });
  const scenes = [
    scene("picture", { panels: [sealed("cat", "dog")], proof: { panel: 0, map: 1 } }),
    scene("models", { panels: [sealed("cat", "dog"), sealed("dog", "cat"), panel("cat")] }),
    scene("picture", { panels: [panel("cat")] }),
  ];
  const after = (slide, ...keys) => sealOf(scenes, pressed(scenes, begin(scenes, slide), ...keys));
  const line = (label) => `${label}: ✓ model`;
  assert.deepEqual([[], ["ArrowRight"], ["2"], [" "], ["p"], [" ", " "]].map((keys) => after(0, ...keys)), ["", "", line("dog"), line("cat"), line("dog"), ""]);
  // The models' own first maps have different ones, and a map of an older deck has none; alone, its own.
  assert.deepEqual([[" "], ["1"], [" ", "l"]].map((keys) => after(1, ...keys)), ["", "", line("cat")]);
  assert.equal(after(2, " "), "");
});

test("the headline comes with the answer; until then a question stands there", () => {
  const scenes = [scene("picture", { panels: [panel("cat")], question: "What is it?" }), scene("picture", { panels: [panel("cat")] }), scene("row", { panels: [panel("cat"), panel("cat")], question: "And now?" })];
  const title = (slide, ...keys) => titleOf(scenes, pressed(scenes, begin(scenes, slide), ...keys), "A cat");
  assert.deepEqual([title(0), title(0, "ArrowRight"), title(1), title(1, " "), title(2), title(2, "ArrowRight")], ["What is it?", "A cat", "What does the model say?", "A cat", "And now?", "A cat"]);
  assert.equal(titleOf(SCENES, begin(SCENES, 0), "Words"), "Words");
  // Of a row the first picture stands there with the question.
  const row = begin(scenes, 2);
  assert.deepEqual([0, 1].map((i) => shownOf(scenes, row, i)), ["picture", "later"]);
  assert.deepEqual([pageOf(SCENES, begin(SCENES, 2)), pageOf(SCENES, pressed(SCENES, begin(SCENES, 2), "l")), pageOf(SCENES, pressed(SCENES, begin(SCENES, 1), "p"))], ["main", "0", "proof"]);
});

test("of one panel a class, a figure shows that class alone, under its own sentence", () => {
  const both = ["cat", "dog"], one = (own) => ({ name: own, boxes: false, answers: [...both, "fox"].map((label) => answer(label, label === own ? 0 : null)), maps: [{ label: own, sentence: `Of the ${own}.` }] });
  const scenes = [scene("classes", { panels: both.map(one), sentence: "It is a cat." })], start = begin(scenes, 0);
  const maps = (state) => [0, 1].map((i) => mapOf(scenes[0], state, i));
  assert.deepEqual([start.panel, maps(start), sentenceOf(scenes, start)], [null, [0, 0], "It is a cat."]);
  const second = pressed(scenes, start, "2");
  assert.deepEqual([second.panel, second.choice, maps(second)[1], stepOf(scenes, second), sentenceOf(scenes, second)], [1, 1, 0, "looked", "Of the dog."]);
  assert.equal(sentenceOf(scenes, pressed(scenes, second, "1")), "Of the cat.");
  assert.equal(pressed(scenes, second, "3"), second);
  // L goes on to all of them.
  const all = pressed(scenes, second, "l");
  assert.deepEqual([all.panel, maps(all), sentenceOf(scenes, all)], [null, [0, 0], "It is a cat."]);
});

test("answers have their maps by their boxes, else by their names; a map without a score comes last", () => {
  const maps = [{ label: "cat", box: [0, 0, 0.5, 1] }, { label: "cat", box: [0.5, 0, 1, 1] }, { label: "dog", box: null, score: null }];
  const boxes = [[[0.5, 0, 1, 1], "cat", 0.9], [[0, 0, 0.5, 1], "cat", 0.8], [[0, 0, 0.1, 0.1], "cat", 0.7]];
  assert.deepEqual(answersOf([], boxes, maps).map(({ label, map }) => [label, map]), [["cat", 1], ["cat", 0], ["cat", null], ["dog", 2]]);
  // A map of all cats is that of each.
  assert.deepEqual(answersOf([], boxes, [{ label: "cat", box: null, score: 0.9 }]).map(({ map }) => map), [0, 0, 0]);
  assert.deepEqual(answersOf([["dog", 0.4], ["fox", 0.1]], [], maps.slice(2)).map(({ map }) => map), [0, null]);
});

test("the hottest places are hidden first, and of the cold ones those nearest to heat", () => {
  const order = ranked(Float32Array.from([0, 0, 0, 2, 9]), 5, 1);
  assert.deepEqual([...order], [160, 120, 80, 40, 0]);
  // 2 p of 200 for each percent: 40 % are exactly two of five.
  assert.equal(order.filter((level) => level < 80).length, 2);
});
