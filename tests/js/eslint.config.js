import js from "@eslint/js";
import globals from "globals";

// Fields of `window`: written without a declaration they are a slip, which `no-undef` cannot know.
const SLIPS = ["close", "event", "external", "find", "focus", "length", "name", "open", "origin", "parent", "print"];
SLIPS.push("screen", "scroll", "self", "status", "stop", "top");

const bugs = {
  "array-callback-return": ["error", { checkForEach: false }],
  "eqeqeq": "error",
  "no-await-in-loop": "error",
  "no-eval": "error",
  "no-restricted-globals": ["error", ...SLIPS],
  "no-shadow": ["error", { hoist: "all" }],
  "no-unmodified-loop-condition": "error",
  "no-unused-expressions": ["error", { allowShortCircuit: true, allowTernary: true }],
  "no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
  "no-use-before-define": ["error", { functions: false, variables: false }],
  "no-var": "error",
  "require-atomic-updates": "error",
};

// The modules become one inline script: there is nothing to load from.
const inline = { "no-restricted-syntax": ["error", "ImportExpression", "MetaProperty[meta.name='import']"] };

export default [
  { ignores: ["sightglass/report/vendor/**"] },
  js.configs.recommended,
  { linterOptions: { reportUnusedDisableDirectives: "error" }, rules: bugs },
  { files: ["sightglass/**/*.js"], languageOptions: { globals: globals.browser }, rules: inline },
  {
    files: ["tests/js/**/*.js"],
    languageOptions: { globals: { ...globals.nodeBuiltin, document: "readonly", window: "readonly" } },
  },
];
