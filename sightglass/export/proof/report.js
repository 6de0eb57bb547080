// Follow the slider of a proof: what is hidden of the picture, and what is left of the answer. No model is asked.
// It follows report/html.js in one script.

import { Composer } from "../../browser/compose.js";
import { moveMark, percent, valueOf, writtenAt } from "../../browser/curves.js";

/* global $, data, decoded, pixels */

function proof(root, given) {
  const slider = $("input[type=range]", root), menu = $("select", root), figures = [...root.querySelectorAll("figure")];
  let composers = [];

  function draw() {
    const share = Number(slider.value) / given.steps, filling = menu.value, step = Math.round(100 * share);
    const lines = given.lines.filter((line) => line.filling === filling), [own] = lines;
    for (const node of root.querySelectorAll("output, .share")) node.textContent = percent(share);
    slider.setAttribute("aria-valuetext", percent(share));
    for (const path of root.querySelectorAll("[data-filling]")) path.toggleAttribute("hidden", path.dataset.filling !== filling);
    figures.forEach((figure, i) => {
      const { way } = figure.dataset, keeps = way === "kept";
      moveMark($("svg", figure), share, given.frame, given.top, { map: valueOf(own[way], share) });
      $("figcaption", figure).textContent = keeps ? `Only the hottest ${percent(share)} kept` : `The hottest ${percent(share)} hidden`;
      composers[i]?.draw(step, keeps, filling);
      if (composers[i]) $("canvas", figure).dataset.shown = `${way} ${step} ${filling}`;
    });
    for (const row of root.querySelectorAll("tr[data-name]")) {
      const line = lines.find((one) => one.name === row.dataset.name);
      for (const cell of row.querySelectorAll("[data-way]")) cell.textContent = writtenAt(line, cell.dataset.way, share, false) || "\u2013";
    }
  }

  slider.addEventListener("input", draw);
  menu.addEventListener("change", draw);
  // The choice of a map hears only what is chosen there.
  root.addEventListener("change", (event) => event.stopPropagation());
  new IntersectionObserver(async (entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    const { size: [width, height], grid, mean } = given;
    const [picture, blurred, levels] = await Promise.all([decoded(given.picture), decoded(given.blurred), pixels(given.order, grid)]);
    const order = levels.filter((_, i) => i % 4 === 0);
    composers = figures.map((figure) => {
      const canvas = Object.assign($("canvas", figure), { width, height, hidden: false });
      return new Composer(canvas, picture, blurred, order, [grid[1], grid[0]], mean);
    });
    draw();
  }, { rootMargin: "400px" }).observe(root);
  $(".tools", root).hidden = false;
  draw();
}

for (const [i, section] of [...document.querySelectorAll("section.view")].entries()) {
  for (const root of section.querySelectorAll(".proof")) proof(root, data.views[i].maps[Number(root.dataset.map)].proof);
}
