// Choose a map, how strong it is over the picture, and the value from which on it is drawn.

const form = document.querySelector(".controls");

function adjust() {
  document.documentElement.style.setProperty("--alpha", form.alpha.value);
  for (const filter of document.querySelectorAll("filter")) {
    // The opacity of a value is a power of it.
    const least = form.threshold.value ** filter.dataset.power;
    const kept = Array.from({ length: 256 }, (_, level) => Number(level / 255 >= least));
    filter.querySelector("feFuncA").setAttribute("tableValues", kept.join(" "));
  }
  for (const input of [form.alpha, form.threshold]) {
    input.parentElement.querySelector("output").textContent = `${Math.round(100 * input.value)} %`;
  }
}

for (const view of document.querySelectorAll("section.view")) {
  view.addEventListener("change", (event) => {
    for (const part of view.querySelectorAll("[data-maps]")) {
      part.toggleAttribute("hidden", !part.dataset.maps.split(" ").includes(event.target.value));
    }
  });
}
form.addEventListener("input", adjust);
form.addEventListener("submit", (event) => event.preventDefault());
adjust();
