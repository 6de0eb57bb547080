// The sentence over a picture. It names the colour that the viewer shows as hot, which changes without a rerun.

import { broadcast, onBroadcast, render } from "../frontend/component.js";

const HOT = "{hot}";

/** @param {HTMLElement} root */
function mount(root) {
  const gone = new AbortController();
  let text = "", hot = "";

  function write() {
    const sentences = text.split(/(?<=[.?!]) (?=[A-Z{])/);
    // Where the map is covered nothing looks hot, and nothing is said of it.
    root.textContent = sentences.filter((part) => hot || !part.includes(HOT)).join(" ").replace(HOT, hot);
  }

  onBroadcast("view", (view) => {
    ({ hot } = view);
    write();
  }, gone.signal);

  return {
    /** @param {{data: {text: string, hot: string}}} given */
    show({ data }) {
      text = data.text;
      hot ||= data.hot;
      write();
      broadcast("ask-view", null);
    },
    unmount: () => gone.abort(),
  };
}

/** @param {{data: {text: string, hot: string}, parentElement: HTMLElement}} given */
export default function (given) {
  return render(given, "h2", mount);
}
