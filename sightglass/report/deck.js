// The deck on its page: reveal.js shows the slides; here are the switch of the heat maps and the notes.
{
  const Reveal = /** @type {any} */ (globalThis)["Reveal"];
  const root = document.documentElement;
  const slides = /** @type {HTMLElement} */ (document.querySelector(".slides"));
  /** @type {Window|null} */
  let notes = null;
  let started = Date.now();

  const toggleMap = () => void root.classList.toggle("bare");

  const openNotes = () => {
    notes = window.open("", "sightglass-notes", "width=1100,height=760");
    if (!notes) return;
    const page = notes.document;
    page.title = "Notes";
    page.body.style.cssText = "margin: 24px; background: #141414; color: #f2f2f2; font: 24px/1.45 Arial, sans-serif";
    page.body.innerHTML = "<b class='where'></b> <span class='clock'></span> <button>Restart</button>"
      + "<p class='said' style='white-space: pre-wrap'></p><p class='next'></p>";
    page.querySelector("button")?.addEventListener("click", () => {
      started = Date.now();
      tick();
    });
    notes.addEventListener("keydown", (event) => {
      const move = { ArrowRight: "next", PageDown: "next", " ": "next", ArrowLeft: "prev", PageUp: "prev", b: "togglePause", ".": "togglePause" }[event.key];
      if (move) Reveal[move]();
      if (event.key === "m") toggleMap();
    });
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
    const next = all[at + 1]?.querySelector("h2")?.textContent;
    put(".next", next ? `Next: ${next}` : "The last slide");
  };

  const tick = () => {
    if (!notes || notes.closed) return;
    const gone = Math.floor((Date.now() - started) / 1000), shown = notes.document.querySelector(".clock");
    if (shown) shown.textContent = `${Math.floor(gone / 60)}:${String(gone % 60).padStart(2, "0")}`;
  };

  setInterval(tick, 1000);
  Reveal.on("slidechanged", showNotes);
  // A picture of several slides is in the page once.
  const pictures = document.getElementById("pictures")?.textContent?.split("\n") ?? [];
  for (const image of slides.querySelectorAll("img")) image.src = pictures[Number(image.dataset.at)];
  void Reveal.initialize({
    width: 1600, height: 900, margin: 0, maxScale: 5, minScale: 0.05, center: false, controls: true, controlsTutorial: false, progress: true,
    hash: false, history: false, transition: "none", backgroundTransition: "none", scrollActivationWidth: null, slideNumber: false,
  }).then(() => {
    for (const [keyCode, key, description, act] of [
      [83, "S", "Notes and clock in a second window", openNotes],
      [77, "M", "Heat map on or off", toggleMap],
    ]) Reveal.addKeyBinding({ keyCode, key, description }, act);
    Reveal.slide(Number(slides.dataset.start));
    if (slides.dataset.start) window.focus();
    root.dataset.ready = "yes";
  });
}
