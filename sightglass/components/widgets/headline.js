// The sentence over a picture. It names the colour that the viewer shows as hot, which changes without a rerun.

import { broadcast, component, onBroadcast } from "../../browser/component.js";

const HOT = "{hot}";

/** @param {HTMLElement} root @param {AbortSignal} signal */
function mount(root, signal) {
  let text = "", hot = "";

  function write() {
    const sentences = text.split(/(?<=[.?!]) (?=[A-Z{])/);
    // Where the map is covered nothing looks hot: sentences about it are left out.
    root.textContent = sentences.filter((part) => hot || !part.includes(HOT)).join(" ").replace(HOT, hot);
  }

  onBroadcast("view", (view) => {
    ({ hot } = view);
    write();
  }, signal);

  /** @param {import("../../browser/component.js").Given<{text: string, hot: string}>} given */
  return ({ data }) => {
    text = data.text;
    hot ||= data.hot;
    write();
    broadcast("ask-view", null);
  };
}

export default component("h2", mount);
