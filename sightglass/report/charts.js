// Draw the figures that the page holds.

/** @type {{newPlot: (place: Element, data: unknown, layout: unknown, config: object) => void}} the library, which the page loads before */
const plotly = Reflect.get(window, "Plotly");
for (const place of document.querySelectorAll("[data-figure]")) {
  const { data, layout } = JSON.parse(place.getAttribute("data-figure") ?? "{}");
  plotly.newPlot(place, data, layout, { displayModeBar: false, responsive: true });
}
