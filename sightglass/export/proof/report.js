// Follow the slider of a proof: what is hidden of the picture, and what is left of the answer. No model is asked.
// It follows report/html.js in one script.

/* global $, data, pixels */

const PER_PERCENT = 2;

async function decoded(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

/** Return what draws a picture whose hottest, or all other, places are replaced. */
async function composer(given) {
  const [picture, blurred, order] = await Promise.all([
    decoded(given.picture), decoded(given.blurred), pixels(given.order, given.grid),
  ]);
  const [mask, veil] = [document.createElement("canvas"), document.createElement("canvas")];
  [mask.width, mask.height] = given.grid;
  [veil.width, veil.height] = given.size;
  const cells = new ImageData(...given.grid);
  return (canvas, percent, keeps, filling) => {
    for (let i = 3; i < order.length; i += 4) cells.data[i] = order[i - 3] < PER_PERCENT * percent !== keeps ? 255 : 0;
    mask.getContext("2d").putImageData(cells, 0, 0);
    const [width, height] = given.size, over = veil.getContext("2d");
    over.globalCompositeOperation = "copy";
    over.drawImage(mask, 0, 0, width, height);
    over.globalCompositeOperation = "source-in";
    over.imageSmoothingQuality = "high";
    over.fillStyle = `rgb(${given.mean.join()})`;
    if (filling === "mean") over.fillRect(0, 0, width, height);
    else over.drawImage(blurred, 0, 0, width, height);
    [canvas.width, canvas.height] = given.size;
    const below = canvas.getContext("2d");
    below.drawImage(picture, 0, 0, width, height);
    below.drawImage(veil, 0, 0);
    canvas.dataset.shown = `${keeps ? "kept" : "hidden"} ${percent} ${filling}`;
  };
}

function proof(root, given) {
  const slider = $("input[type=range]", root), menu = $("select", root), figures = [...root.querySelectorAll("figure")];
  const score = (share) => (share > 0 && share < 0.01 ? "<\u00a01\u00a0%" : `${Math.round(100 * share)}\u00a0%`.replace("-", "\u2212"));
  let compose = null;

  // Between two steps of a curve that has fewer than the slider, about what lies between them.
  function read(scores, share) {
    const at = share * (scores.length - 1), below = Math.floor(at + 1e-6), part = at - below, about = part > 1e-6;
    return { about, value: about ? scores[below] + part * (scores[below + 1] - scores[below]) : scores[below] };
  }

  function written(scores, share) {
    const { about, value } = read(scores, share);
    return `${about ? "\u2248\u00a0" : ""}${score(value)}`;
  }

  function mark(figure, line, share) {
    const chart = $("svg", figure), [left, right] = given.across, [bottom, one] = given.down;
    const x = left + share * (right - left), put = (kind, attributes) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", kind);
      for (const [name, value] of Object.entries({ class: "at", ...attributes })) node.setAttribute(name, value);
      chart.append(node);
    };
    for (const node of chart.querySelectorAll(".at")) node.remove();
    put("line", { x1: x, x2: x, y1: 10, y2: bottom });
    put("circle", { cx: x, cy: bottom + Math.max(0, read(line, share).value) * (one - bottom), r: 5 });
  }

  function draw() {
    const step = Number(slider.value), share = step / given.steps, filling = menu.value;
    const lines = given.lines.filter((line) => line.filling === filling), [own] = lines;
    for (const node of root.querySelectorAll("output, .share")) node.textContent = score(share);
    slider.setAttribute("aria-valuetext", score(share));
    for (const path of root.querySelectorAll("[data-filling]")) path.toggleAttribute("hidden", path.dataset.filling !== filling);
    for (const figure of figures) {
      const keeps = figure.dataset.way === "kept";
      mark(figure, own[figure.dataset.way], share);
      $("figcaption", figure).textContent = keeps ? `Only the hottest ${score(share)} kept` : `The hottest ${score(share)} hidden`;
      compose?.($("canvas", figure), Math.round(100 * share), keeps, filling);
    }
    for (const row of root.querySelectorAll("tr[data-name]")) {
      const line = lines.find((one) => one.name === row.dataset.name);
      for (const cell of row.querySelectorAll("[data-way]")) cell.textContent = line ? written(line[cell.dataset.way], share) : "\u2013";
    }
  }

  slider.addEventListener("input", draw);
  menu.addEventListener("change", draw);
  // The choice of a map hears only what is chosen there.
  root.addEventListener("change", (event) => event.stopPropagation());
  new IntersectionObserver(async (entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    compose = await composer(given);
    for (const canvas of root.querySelectorAll("canvas")) canvas.hidden = false;
    draw();
  }, { rootMargin: "400px" }).observe(root);
  $(".tools", root).hidden = false;
  draw();
}

for (const [i, section] of [...document.querySelectorAll("section.view")].entries()) {
  for (const root of section.querySelectorAll(".proof")) proof(root, data.views[i].maps[Number(root.dataset.map)].proof);
}
