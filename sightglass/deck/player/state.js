// What the stage shows: which slide, how far it is built up, and what of it was chosen. No page and no pixels.

/**
 * @typedef {"words"|"clip"|"picture"|"said"|"looked"|"proof"} Step  of the build-up of a slide, in this order
 * @typedef {import("./scenes.js").Scene} Scene
 * @typedef {import("../../common/style.js").Mode} Mode
 * @typedef {{slide: number, step: number, panel: number|null, choice: number, colormap: string, mode: Mode,
 *   opacity: number, threshold: number, own: boolean, plain: boolean, black: boolean, help: boolean, share: number,
 *   keeps: boolean, playing: boolean}} State  step: place in `stepsOf`; panel: the model shown alone; choice: place among the answers of
 *   the first panel shown; own: nobody chose yet; plain: the picture covers its map; share: of the picture that a proof hides; keeps: or keeps
 * @typedef {{do: "next"|"previous"|"first"|"last"|"plain"|"colormap"|"model"|"proof"|"black"|"help"|"escape"|"keeps"
 *   |"more"|"less"|"toggle"}
 *   | {do: "answer"|"slide"|"show", value: number} | {do: "set", value: Partial<State>}} Action  answer: from 0; slide: go
 *   there; show: that model alone, or all where it is alone; more, less: of the picture hidden; toggle: the picture or its
 *   map, or play and pause
 */

const SHARE = 0.2;
/** As sightglass/deck/items.py and layout.py have them; the question is for slides without one of their own. */
const [SEPARATOR, SEAL] = ["  |  ", "Seal: "];
const QUESTION = "What does the model say?";

/** The steps in which a slide is built up. @param {Scene} scene @returns {Step[]} */
export function stepsOf({ kind, panels, proof, file }) {
  if (kind === "clip") return ["clip"];
  if (kind === "row") return ["picture", "looked", ...(proof ? /** @type {Step[]} */ (["proof"]) : [])];
  if (!file) return ["words"];
  /** @type {Step[]} */
  const steps = ["picture"];
  if (kind === "story") return [...steps, ...panels.map(() => /** @type {Step} */ ("looked")), ...(proof ? /** @type {Step[]} */ (["proof"]) : [])];
  if (panels.some(({ answers }) => answers.length)) steps.push("said");
  if (panels.some(({ maps }) => maps.length)) steps.push("looked");
  if (proof && steps.includes("looked")) steps.push("proof");
  return steps;
}

/** Where a slide begins. @param {Scene[]} scenes @param {number} slide @param {boolean} [built]  all of it but its proof @returns {State} */
export function begin(scenes, slide, built = false) {
  const scene = scenes[slide], { view } = scene, single = scene.kind === "picture";
  const panel = single || scene.panels.length === 1 ? Math.min(view.panel, Math.max(0, scene.panels.length - 1)) : null;
  const answers = scene.panels[panel ?? 0]?.answers ?? [];
  return {
    ...{ slide, step: built ? lastOf(scene) : 0, panel, choice: Math.max(0, answers.findIndex(({ map }) => map === view.map)) },
    ...{ colormap: view.colormap, mode: view.mode, opacity: view.opacity, threshold: view.threshold },
    ...{ own: view.map === 0, plain: false, black: false, help: false, share: SHARE, keeps: false, playing: scene.kind === "clip" },
  };
}

/** The last step but the proof. @param {Scene} scene */
function lastOf(scene) {
  return stepsOf(scene).filter((step) => step !== "proof").length - 1;
}

/** Whether all of a slide but its proof is shown. @param {Scene[]} scenes @param {State} state */
export function isBuilt(scenes, { slide, step }) {
  return step >= lastOf(scenes[slide]);
}

/** @param {Scene[]} scenes @param {State} state */
export function stepOf(scenes, { slide, step }) {
  return stepsOf(scenes[slide])[step];
}

/** Whether that much of the slide is shown already. @param {Scene[]} scenes @param {State} state @param {Step} step */
export function reached(scenes, state, step) {
  const at = stepsOf(scenes[state.slide]).indexOf(step);
  return at >= 0 && state.step >= at;
}

/**
 * How much of a panel is shown; those of a story come one by one.
 * @param {Scene[]} scenes @param {State} state @param {number} index of the panel @returns {Step|"later"}
 */
export function shownOf(scenes, state, index) {
  const scene = scenes[state.slide], step = stepOf(scenes, state);
  if (step === "proof") return step;
  // Of a row the first picture stands there with the question, the others come with the answer.
  if (scene.kind === "row") return step === "picture" && index ? "later" : step;
  if (scene.kind !== "story") return step;
  if (state.step > index) return "looked";
  return index ? "later" : "picture";
}

/**
 * The place of the answer that a panel is about: the chosen one, by its name where the panel is another model's; before
 * anybody chose, each model's own first map; -1 where it has none.
 * @param {Scene} scene @param {State} state @param {number} index of the panel
 */
export function chosenOf(scene, state, index) {
  const first = state.panel ?? 0, answers = scene.panels[index]?.answers ?? [];
  if (index === first) return state.choice;
  if (state.own) return answers.findIndex(({ map }) => map === 0);
  const label = scene.panels[first]?.answers[state.choice]?.label, named = answers.findIndex((one) => one.label === label && one.map !== null);
  return named >= 0 ? named : answers.findIndex((one) => one.label === label);
}

/** The map that a panel shows; null where it has none. @param {Scene} scene @param {State} state @param {number} index of the panel @returns {number|null} */
export function mapOf(scene, state, index) {
  return scene.panels[index]?.answers[chosenOf(scene, state, index)]?.map ?? null;
}

/** The page of a slide that is shown: all of it, one panel alone by its place, or its proof. @param {Scene[]} scenes @param {State} state */
export function pageOf(scenes, state) {
  const scene = scenes[state.slide];
  if (stepOf(scenes, state) === "proof") return "proof";
  const several = scene.kind !== "picture" && scene.kind !== "row" && scene.panels.length > 1;
  return several && state.panel !== null ? String(state.panel) : "main";
}

/** What stands over a slide: the question, and once the answer is shown the headline. @param {Scene[]} scenes @param {State} state @param {string} headline */
export function titleOf(scenes, state, headline) {
  const scene = scenes[state.slide], asks = stepsOf(scene).length > 1 && scene.kind !== "story";
  return asks && stepOf(scenes, state) === "picture" ? scene.question || QUESTION : headline;
}

/**
 * What stands beside a slide: its own sentence, which is of the maps that it begins with; of another map that map's.
 * @param {Scene[]} scenes @param {State} state @param {string} given  the slide's own, as it fits
 */
export function sentenceOf(scenes, state, given) {
  const scene = scenes[state.slide], { panels } = scene, first = begin(scenes, state.slide);
  if (stepOf(scenes, state) === "proof") return given;
  const shown = [...panels.keys()].filter((i) => state.panel === null || state.panel === i);
  const asGiven = shown.every((i) => mapOf(scene, state, i) === mapOf(scene, first, i)) && !(scene.kind === "classes" && shown.length === 1);
  const answer = panels[state.panel ?? 0]?.answers[state.choice];
  if (asGiven || !answer || !reached(scenes, state, "looked")) return given;
  const map = shown.length === 1 && answer.map !== null ? panels[shown[0]].maps[answer.map] : null;
  return map?.sentence || `Evidence for ${answer.label}.`;
}

/** The seal of the maps that are shown, once they are; empty where they have none, or not the same. @param {Scene[]} scenes @param {State} state */
export function sealOf(scenes, state) {
  const scene = scenes[state.slide], { panels, proof } = scene, proves = stepOf(scenes, state) === "proof";
  if (state.mode === "picture" || state.plain) return "";
  const seals = [...panels.keys()].flatMap((i) => {
    if (proves ? proof?.panel !== i : state.panel !== null && state.panel !== i) return [];
    const map = proves ? (proof?.map ?? null) : shownOf(scenes, state, i) === "looked" ? mapOf(scene, state, i) : null;
    return map === null ? [] : [panels[i].maps[map]?.seal_short ?? ""];
  });
  return seals.length && seals.every((one) => one === seals[0]) ? seals[0] : "";
}

/** The line at the foot with the seal of what is shown. @param {Scene[]} scenes @param {State} state @param {string} given  the line of the first map */
export function footOf(scenes, state, given) {
  const seal = sealOf(scenes, state), parts = given.split(SEPARATOR).map((part) => (part.startsWith(SEAL) ? seal && SEAL + seal : part));
  return parts.filter(Boolean).join(SEPARATOR);
}

/** Return the state after an action. @param {Scene[]} scenes @param {State} state @param {Action} action @returns {State} */
export function act(scenes, state, action) {
  // What a person does in the dark, or before the list of keys, brings the slide back and does no more.
  if (state.black && action.do !== "set") return { ...state, black: false };
  if (state.help && action.do !== "set") return { ...state, help: false };
  const scene = scenes[state.slide], steps = stepsOf(scene);
  switch (action.do) {
    case "next":
      if (state.step < steps.length - 1) return { ...state, step: state.step + 1, plain: false };
      return state.slide < scenes.length - 1 ? moved(scenes, state, state.slide + 1) : state;
    case "previous":
      if (state.step > 0) return { ...state, step: state.step - 1, plain: false };
      return state.slide > 0 ? moved(scenes, state, state.slide - 1, true) : state;
    case "first":
      return moved(scenes, state, 0);
    case "last":
      return moved(scenes, state, scenes.length - 1);
    case "slide":
      return action.value in scenes ? moved(scenes, state, action.value) : state;
    case "set":
      return { ...state, ...action.value };
    case "black":
    case "help":
      return { ...state, [action.do]: true };
    default:
      return actOn(scene, steps, state, action);
  }
}

/** @param {Scene[]} scenes @param {State} state @param {number} slide @param {boolean} [built] @returns {State} */
function moved(scenes, state, slide, built) {
  return { ...begin(scenes, slide, built), black: state.black };
}

/** Actions on the slide that is shown. @param {Scene} scene @param {Step[]} steps @param {State} state @param {Action} action @returns {State} */
function actOn(scene, steps, state, action) {
  const looked = steps.indexOf("looked"), proof = steps.indexOf("proof"), shown = looked >= 0 && state.step >= looked;
  switch (action.do) {
    case "toggle":
      if (scene.kind === "clip") return { ...state, playing: !state.playing };
      if (looked < 0) return state;
      return shown ? { ...state, plain: !state.plain } : { ...state, step: looked, plain: false };
    case "plain":
    case "keeps":
      return { ...state, [action.do]: !state[action.do] };
    case "colormap": {
      const names = scene.colormaps, at = names.indexOf(state.colormap);
      return { ...state, colormap: names[(at + 1) % names.length] };
    }
    case "answer": {
      const next = { ...state, plain: false, step: state.step < looked || state.step === proof ? looked : state.step };
      // Of one panel a class, that with its map.
      const own = scene.kind === "classes" ? scene.panels.findIndex(({ answers }) => (answers[action.value]?.map ?? null) !== null) : -1;
      if (own >= 0) return withModel(scene, next, own);
      const found = scene.panels[state.panel ?? 0]?.answers[action.value];
      if (!found || found.map === null) return state;
      return { ...next, choice: action.value, own: false };
    }
    case "model":
      return nextModel(scene, state);
    case "show":
      return withModel(scene, state, scene.kind !== "picture" && state.panel === action.value ? null : action.value);
    case "proof":
      return proof < 0 ? state : { ...state, step: state.step === proof ? looked : proof, plain: false };
    case "more":
    case "less": {
      const steps20 = Math.round(20 * state.share) + (action.do === "more" ? 1 : -1);
      return { ...state, share: Math.min(1, Math.max(0, steps20 / 20)) };
    }
    default:
      return state;
  }
}

/** All models, then each alone; of a slide that shows one at a time the next. @param {Scene} scene @param {State} state @returns {State} */
function nextModel(scene, state) {
  const count = scene.panels.length;
  if (count < 2) return state;
  if (scene.kind === "picture") return withModel(scene, state, ((state.panel ?? 0) + 1) % count);
  const next = state.panel === null ? 0 : state.panel + 1;
  return withModel(scene, state, next < count ? next : null);
}

/** Show another model and keep the answer, by its name. @param {Scene} scene @param {State} state @param {number|null} panel @returns {State} */
function withModel(scene, state, panel) {
  if (panel !== null && !(panel in scene.panels)) return state;
  const { answers } = scene.panels[panel ?? 0], found = chosenOf(scene, state, panel ?? 0);
  const choice = answers[found]?.map === undefined || answers[found].map === null ? answers.findIndex(({ map }) => map !== null) : found;
  return { ...state, panel, choice: Math.max(0, choice) };
}

/** @typedef {{key: string, ctrlKey: boolean, metaKey: boolean, altKey: boolean}} Pressed */

/** What the list of keys says, for those who present. @type {[string, string][]} */
export const HELP = [
  ["→  ←   Page Down  Page Up", "Next and previous step, then slide"],
  ["Home   End   G", "First slide, last slide, slide by its number"],
  ["Space", "Picture or heat map; play or pause a clip"],
  ["1 … 9", "Heat map of that answer"],
  ["C   T", "Other colours; dark or light slides"],
  ["L", "Small, medium, large: one alone, or all"],
  ["P", "Prove it: hide the hottest part"],
  ["↑  ↓   K", "In a proof: hide less or more; keep instead"],
  ["B  or  .", "Black screen, and back"],
  ["N", "Notes and clock in a second window"],
  ["F   Esc", "Full screen, and back"],
  ["?", "This list"],
];

/** @type {Record<string, Action["do"]|"notes"|"full"|"goto"|"theme">} */
const KEYS = {
  ...{ ArrowRight: "next", PageDown: "next", Enter: "next", ArrowLeft: "previous", PageUp: "previous", Backspace: "previous" },
  ...{ Home: "first", End: "last", " ": "toggle", c: "colormap", g: "goto", t: "theme", l: "model", p: "proof", k: "keeps", b: "black", ".": "black" },
  ...{ "?": "help", h: "help", Escape: "escape", n: "notes", f: "full", F5: "full" },
};

/**
 * Return what a key asks for; null where it is not the stage's.
 * @param {Pressed} pressed @param {boolean} proving  the arrows up and down then move the proof's slider
 * @returns {Action|{do: "notes"|"full"|"goto"|"theme"}|null}
 */
export function actionOf({ key, ctrlKey, metaKey, altKey }, proving) {
  if (ctrlKey || metaKey || altKey) return null;
  if (/^[1-9]$/.test(key)) return { do: "answer", value: Number(key) - 1 };
  if (key === "ArrowDown") return { do: proving ? "more" : "next" };
  if (key === "ArrowUp") return { do: proving ? "less" : "previous" };
  const found = KEYS[key.length === 1 ? key.toLowerCase() : key];
  return found ? /** @type {Action} */ ({ do: found }) : null;
}

/**
 * Whether a control in focus takes the key itself: arrows move its slider, Space and Enter press it. A remote's keys never.
 * @param {Pressed} pressed @param {EventTarget|null} target
 */
export function belongsTo({ key }, target) {
  if (!(target instanceof Element)) return false;
  if (target.matches("input[type=range], input[type=radio], select")) return /^(Arrow|Home|End| $)/.test(key);
  return target.matches("button, summary") && (key === " " || key === "Enter");
}
