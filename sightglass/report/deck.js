// The deck on its page: reveal.js shows the slides; here is the switch of the heat maps.
{
  const Reveal = /** @type {any} */ (globalThis)["Reveal"];
  const root = document.documentElement;
  const slides = /** @type {HTMLElement} */ (document.querySelector(".slides"));

  const toggleMap = () => void root.classList.toggle("bare");

  // A picture of several slides is in the page once.
  const pictures = document.getElementById("pictures")?.textContent?.split("\n") ?? [];
  for (const image of slides.querySelectorAll("img")) image.src = pictures[Number(image.dataset.at)];
  void Reveal.initialize({
    width: 1600, height: 900, margin: 0, maxScale: 5, minScale: 0.05, center: false, controls: true, controlsTutorial: false, progress: true,
    hash: false, history: false, transition: "none", backgroundTransition: "none", scrollActivationWidth: null, slideNumber: false,
  }).then(() => {
    Reveal.addKeyBinding({ keyCode: 77, key: "M", description: "Heat map on or off" }, toggleMap);
    Reveal.slide(Number(slides.dataset.start));
    if (slides.dataset.start) {
      window.focus();
      const edit = () => /** @type {HTMLElement | null} */ (window.parent.document.querySelector(".st-key-deck-edit button"));
      const leave = () => void edit()?.click();
      Reveal.addKeyBinding({ keyCode: 27, key: "ESC", description: "Back to the slides" }, leave);
    }
    root.dataset.ready = "yes";
  });
}
