// A list to choose from. The choice shows at once and is told to the viewer beside it; Python hears of it after.

const live = new WeakMap();
const LONG = 8;

/**
 * @typedef {{label: string, share: number, text: string}} Row
 * @typedef {{name: string, rows: Row[], chosen: number}} List
 * @typedef {(name: string, value: unknown) => void} Send
 */

/** @param {HTMLElement} root */
function mount(root) {
  const gone = new AbortController(), { signal } = gone;
  let chosen = 0, listed = "", named = "";
  /** @type {number | null} */
  let given = null;
  /** @type {number[]} */
  let told = [];
  /** @type {Send} */
  let send = () => {};

  function tell() {
    window.dispatchEvent(new CustomEvent("sightglass:choose", { detail: { index: chosen, from: root } }));
  }

  function mark() {
    [...root.children].forEach((each, i) => each.setAttribute("aria-pressed", String(i === chosen)));
    const row = /** @type {HTMLElement | undefined} */ (root.children[chosen]);
    if (!row || root.scrollHeight <= root.clientHeight) return;
    const top = row.offsetTop - root.offsetTop;
    root.scrollTop = Math.min(top, Math.max(root.scrollTop, top + row.offsetHeight - root.clientHeight));
  }

  /** @param {number} index */
  function choose(index) {
    if (index === chosen || !root.children[index]) return;
    chosen = index;
    mark();
    told.push(index);
    send("chosen", index);
  }

  /** @param {Row} item @param {number} index */
  function made({ label, share, text }, index) {
    const button = document.createElement("button");
    const $ = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (button.querySelector(selector));
    button.type = "button";
    button.innerHTML = '<span class="label"></span><span class="text"></span><span class="bar"><i></i></span>';
    $(".label").textContent = label;
    button.title = label;
    $(".text").textContent = text;
    $("i").style.width = `max(2px, ${(100 * share).toFixed(2)}%)`;
    button.addEventListener("click", () => {
      choose(index);
      tell();
    });
    return button;
  }

  // A list that a newer one replaces lives on until the run ends, and what is chosen in it is no click on the new one.
  window.addEventListener("sightglass:choose", (event) => {
    const { detail } = /** @type {CustomEvent} */ (event);
    if (!detail?.from) choose(detail?.index);
  }, { signal });
  window.addEventListener("sightglass:ask", tell, { signal });

  return {
    /** @param {List} list @param {Send} setStateValue */
    show({ name, rows, chosen: index }, setStateValue) {
      send = setStateValue;
      // Another list, though it may look the same and stand in the same place: no echo of the last one is to come.
      if (name !== named) [named, told, given] = [name, [], null];
      const now = JSON.stringify(rows), fresh = now !== listed;
      if (fresh) {
        listed = now;
        root.replaceChildren(...rows.map(made));
        root.classList.toggle("long", rows.length > LONG);
      }
      // Python answers each choice with an echo; one that comes after a later click is out of date.
      const echo = told.indexOf(index);
      const late = echo >= 0 ? echo < told.length - 1 : told.length > 0 && index === given;
      if (echo >= 0) told = told.slice(echo + 1);
      else if (!late) told = [];
      given = index;
      if (late && !fresh) return;
      chosen = index;
      mark();
      tell();
    },
    unmount: () => gone.abort(),
  };
}

/** @param {{data: List, parentElement: HTMLElement, setStateValue: Send}} component */
export default function ({ data, parentElement, setStateValue }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".rows"));
  let list = live.get(root);
  if (!list) live.set(root, (list = mount(root)));
  list.show(data, setStateValue);
  return () => {
    list.unmount();
    live.delete(root);
  };
}
