/* global Plotly */
// Draw the figures that the page holds.

for (const place of document.querySelectorAll("[data-figure]")) {
  const { data, layout } = JSON.parse(place.dataset.figure);
  Plotly.newPlot(place, data, layout, { displayModeBar: false, responsive: true });
}
