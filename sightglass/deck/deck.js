// The deck on its page: reveal.js shows the slides; here are the bar, the opacity of the heat maps, and the notes.
{
  const Reveal = /** @type {any} */ (globalThis)["Reveal"];
  const AWAKE_MS = 2_500;
  const root = document.documentElement;
  const slides = /** @type {HTMLElement} */ (document.querySelector(".slides"));
  const opacity = /** @type {HTMLInputElement} */ (document.querySelector(".strength input"));
  const pictures = document.getElementById("pictures")?.textContent?.split("\n") ?? [];
  let awake = 0;
  let before = "1";
  /** @type {Window|null} */
  let notes = null;
  let started = Date.now();

  /** @param {string} value  0..1 */
  const setOpacity = (value) => {
    opacity.value = value;
    root.style.setProperty("--heat", value);
    showNotes();
  };

  const toggleMap = () => {
    const now = opacity.value;
    setOpacity(Number(now) ? "0" : before);
    before = Number(now) ? now : "1";
  };

  const turn = () => {
    for (const name of ["dark", "light"]) root.classList.toggle(name);
  };

  const wake = () => {
    root.classList.add("awake");
    clearTimeout(awake);
    awake = setTimeout(() => root.classList.remove("awake"), AWAKE_MS);
  };

  const full = () => {
    if (document.fullscreenElement) void document.exitFullscreen();
    else root.requestFullscreen().catch(() => {});
  };

  const NOTES_CSS = `
    body { margin: 16px; background: #141414; color: #f2f2f2; font: 20px/1.45 Arial, sans-serif; }
    header { display: flex; gap: 24px; align-items: center; margin-bottom: 12px; font-size: 24px; }
    .views { display: flex; gap: 16px; }
    .view { position: relative; flex: 1; aspect-ratio: 16 / 9; overflow: hidden; outline: 1px solid #444; }
    .view section { position: absolute; width: 1600px; height: 900px; transform-origin: 0 0; display: block !important;
      opacity: 1 !important; visibility: visible !important; transform: scale(var(--by)) !important; top: 0 !important; }
    .view aside { display: none; } .said { white-space: pre-wrap; margin-top: 16px; } button, input { font: inherit; width: auto; } input { width: 4em; }`;

  const openNotes = () => {
    notes = window.open("", "sightglass-notes", "width=1100,height=760");
    if (!notes) return;
    const page = notes.document;
    page.title = "Notes";
    page.documentElement.className = root.className;
    const style = page.createElement("style");
    style.textContent = [...document.querySelectorAll("style")].map((sheet) => sheet.textContent).join("\n") + NOTES_CSS;
    page.head.replaceChildren(style);
    page.documentElement.style.overflow = page.body.style.overflow = "auto";
    page.body.innerHTML = "<header><b class='where'></b><span class='clock'></span><span class='rest'></span>"
      + "<label>Minutes <input type='number' min='0' aria-label='Minutes'></label><button>Restart</button></header>"
      + "<div class='views'><div class='view'></div><div class='view'></div></div><p class='said'></p>";
    page.querySelector("button")?.addEventListener("click", () => {
      started = Date.now();
      tick();
    });
    page.querySelector("input")?.addEventListener("input", tick);
    notes.addEventListener("keydown", (event) => {
      if (/** @type {HTMLElement} */ (event.target).tagName === "INPUT") return;
      const move = { ArrowRight: "next", PageDown: "next", " ": "next", ArrowLeft: "prev", PageUp: "prev", b: "togglePause", ".": "togglePause" }[event.key];
      if (move) Reveal[move]();
      if (event.key === "m") toggleMap();
    });
    notes.addEventListener("resize", showNotes);
    showNotes();
    tick();
  };

  const showNotes = () => {
    if (!notes || notes.closed) return;
    const page = notes.document, at = Reveal.getIndices().h, all = [...slides.children];
    const put = (/** @type {string} */ name, /** @type {string} */ words) => {
      const node = page.querySelector(name);
      if (node) node.textContent = words;
    };
    put(".where", `Slide ${at + 1} of ${all.length}`);
    put(".said", all[at]?.querySelector(".notes")?.textContent ?? "");
    page.documentElement.style.setProperty("--heat", opacity.value);
    [...page.querySelectorAll(".view")].forEach((view, i) => {
      const slide = all[at + i]?.cloneNode(true);
      view.replaceChildren(...(slide ? [slide] : []));
      /** @type {HTMLElement} */ (view).style.setProperty("--by", String(view.clientWidth / 1600));
      for (const video of view.querySelectorAll("video")) video.removeAttribute("src");
      if (slide) /** @type {HTMLElement} */ (slide).hidden = false;
    });
  };

  /** @param {number} ms */
  const clock = (ms) => `${Math.floor(ms / 60_000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;

  const tick = () => {
    if (!notes || notes.closed) return;
    const gone = Date.now() - started, page = notes.document, minutes = Number(page.querySelector("input")?.value ?? 0);
    const [shown, left] = [page.querySelector(".clock"), page.querySelector(".rest")];
    if (shown) shown.textContent = clock(gone);
    if (left) left.textContent = minutes ? `${clock(Math.max(0, 60_000 * minutes - gone))} left` : "";
  };

  const ACTIONS = { prev: () => Reveal.prev(), next: () => Reveal.next(), theme: turn, notes: openNotes, help: () => Reveal.toggleHelp(), full };
  for (const button of document.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      ACTIONS[/** @type {keyof typeof ACTIONS} */ (button.dataset.do)]();
      // The keys are the slides' again.
      button.blur();
    });
  }
  opacity.addEventListener("input", () => setOpacity(opacity.value));
  opacity.addEventListener("change", () => opacity.blur());
  for (const type of ["pointermove", "pointerdown"]) document.addEventListener(type, wake);
  document.addEventListener("focusin", wake);
  setInterval(tick, 1000);
  Reveal.on("slidechanged", showNotes);
  /** @param {Element|undefined} within */
  const load = (within) => {
    for (const image of within?.querySelectorAll("img") ?? []) image.src = pictures[Number(image.dataset.at)];
  };

  load(slides.children[Number(slides.dataset.start)]);
  void Reveal.initialize({
    width: 1600, height: 900, margin: 0, maxScale: 5, minScale: 0.05, center: false, controls: false, progress: true,
    hash: false, history: false, transition: "none", backgroundTransition: "none", scrollActivationWidth: null, slideNumber: false,
  }).then(() => {
    for (const [keyCode, key, description, act] of [
      [83, "S", "Notes and clock in a second window", openNotes],
      [77, "M", "Heat map on or off", toggleMap],
      [84, "T", "Dark or light slides", turn],
    ]) Reveal.addKeyBinding({ keyCode, key, description }, act);
    Reveal.slide(Number(slides.dataset.start));
    if (slides.dataset.start) window.focus();
    root.dataset.ready = "yes";
    setTimeout(() => load(slides));
  });
}
