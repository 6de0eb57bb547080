// A list to choose from. The choice shows at once and is told to the viewer beside it; Python hears of it after.

const live = new WeakMap();
const LONG = 8;

function mount(root) {
  const gone = new AbortController(), { signal } = gone;
  let chosen = 0, given = null, told = [], send = null, listed = "";

  function tell() {
    window.dispatchEvent(new CustomEvent("sightglass:choose", { detail: { index: chosen } }));
  }

  function mark() {
    [...root.children].forEach((row, i) => row.setAttribute("aria-pressed", String(i === chosen)));
    const row = root.children[chosen];
    if (!row || root.scrollHeight <= root.clientHeight) return;
    const top = row.offsetTop - root.offsetTop;
    root.scrollTop = Math.min(top, Math.max(root.scrollTop, top + row.offsetHeight - root.clientHeight));
  }

  function choose(index) {
    if (index === chosen || !root.children[index]) return;
    chosen = index;
    mark();
    told.push(index);
    send("chosen", index);
  }

  function row({ label, share, text }, index) {
    const button = document.createElement("button");
    button.type = "button";
    button.innerHTML = '<span class="label"></span><span class="text"></span><span class="bar"><i></i></span>';
    button.querySelector(".label").textContent = label;
    button.title = label;
    button.querySelector(".text").textContent = text;
    button.querySelector("i").style.width = `max(2px, ${(100 * share).toFixed(2)}%)`;
    button.addEventListener("click", () => {
      choose(index);
      tell();
    });
    return button;
  }

  window.addEventListener("sightglass:choose", ({ detail }) => choose(detail?.index), { signal });
  window.addEventListener("sightglass:ask", tell, { signal });

  return {
    show({ rows, chosen: index }, setStateValue) {
      send = setStateValue;
      const now = JSON.stringify(rows), fresh = now !== listed;
      if (fresh) {
        listed = now;
        root.replaceChildren(...rows.map(row));
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

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".rows");
  let list = live.get(root);
  if (!list) live.set(root, (list = mount(root)));
  list.show(data, setStateValue);
  return () => {
    list.unmount();
    live.delete(root);
  };
}
