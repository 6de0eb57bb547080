// The files of the view: the page's viewer makes them, and its settings go to Python, so that figures look alike.

import { broadcast, component, find, onBroadcast } from "../../browser/component.js";

/** @typedef {import("../../browser/component.js").Wanted} Wanted */

/** @param {HTMLElement} root @param {AbortSignal} signal */
function mount(root, signal) {
  let reported = "";
  for (const button of root.querySelectorAll("button")) {
    const what = /** @type {Wanted["what"]} */ (button.dataset.what);
    button.addEventListener("click", () => broadcast("export", { what, taken: false }), { signal });
  }
  onBroadcast("said", (words) => {
    find(root, ".said").textContent = words;
  }, signal);

  /** @param {import("../../browser/component.js").Given<{quiet?: boolean}>} given */
  return ({ data, setStateValue }) => {
    /** @type {Wanted} */
    const request = { what: "settings", taken: false };
    broadcast("export", request);
    root.hidden = !request.taken || data.quiet === true;
    const now = JSON.stringify(request.settings ?? {});
    if (now === reported) return;
    reported = now;
    setStateValue("settings", now);
  };
}

export default component(".files", mount);
