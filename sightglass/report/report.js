// Choose a map, how strong it is over the picture, and the value from which on it is drawn.

const form = document.querySelector(".controls");

function adjust() {
  document.documentElement.style.setProperty("--alpha", form.alpha.value);
  document.documentElement.style.setProperty("--grey", form.dataset.grey * form.alpha.value);
  for (const filter of document.querySelectorAll("filter")) {
    // The layer's alpha is the strength of a value; its opacity follows from that.
    const opacities = filter.dataset.curve.split(" ");
    const floor = Number(filter.dataset.floor), value = (level) => (level / 255 - floor) / (1 - floor);
    const kept = opacities.map((opacity, level) => (value(level) >= form.threshold.value ? opacity : 0));
    filter.querySelector("feFuncA").setAttribute("tableValues", kept.join(" "));
  }
  for (const input of [form.alpha, form.threshold]) {
    input.parentElement.querySelector("output").textContent = `${Math.round(100 * input.value)} %`;
  }
}

for (const view of document.querySelectorAll("section.view")) {
  view.addEventListener("change", (event) => {
    for (const part of view.querySelectorAll("[data-map]")) {
      part.toggleAttribute("hidden", part.dataset.map !== event.target.value);
    }
  });
}
form.addEventListener("input", adjust);
form.addEventListener("submit", (event) => event.preventDefault());
adjust();
