// The sentence over a picture. It names the colour that the viewer shows as hot, which changes without a rerun.

const live = new WeakMap();
const HOT = "{hot}";

/** @param {HTMLElement} root */
function mount(root) {
  const gone = new AbortController();
  let text = "", hot = "";

  function write() {
    const sentences = text.split(/(?<=[.?!]) (?=[A-Z{])/);
    // Where the map is covered nothing is hot to the eye, and nothing is said of it.
    root.textContent = sentences.filter((part) => hot || !part.includes(HOT)).join(" ").replace(HOT, hot);
  }

  window.addEventListener("sightglass:view", (/** @type {any} */ { detail }) => {
    hot = detail.hot;
    write();
  }, { signal: gone.signal });

  return {
    /** @param {{text: string, hot: string}} data */
    show(data) {
      text = data.text;
      hot ||= data.hot;
      write();
      window.dispatchEvent(new CustomEvent("sightglass:ask-view"));
    },
    unmount: () => gone.abort(),
  };
}

/** @param {{data: {text: string, hot: string}, parentElement: HTMLElement}} given */
export default function ({ data, parentElement }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector("h2"));
  let headline = live.get(root);
  if (!headline) live.set(root, (headline = mount(root)));
  headline.show(data);
  return () => {
    headline.unmount();
    live.delete(root);
  };
}
