// How strong the maps are over their pictures.

const slider = document.querySelector("input");

function adjust() {
  document.documentElement.style.setProperty("--alpha", slider.value);
  document.querySelector("output").textContent = `${Math.round(100 * slider.value)} %`;
}

slider.addEventListener("input", adjust);
adjust();
