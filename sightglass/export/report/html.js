// Draw the report's maps. Levels, colours and opacities are computed in Python and only looked up here.

const $ = (selector, within = document) => within.querySelector(selector);
const data = JSON.parse($("#data").textContent);
const luts = Object.fromEntries(Object.entries(data.colormaps).map(([name, text]) => [
  name, Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)),
]));
const form = $(".controls");
/** Of signed maps, whose levels are 1 to 255 around 128: colours alone, over a grey picture, and how opaque those are. */
const signed = data.signed && { opacity: data.signed.opacity, ...Object.fromEntries(["alone", "over"].map((name) => [
  name, Uint8Array.from(atob(data.signed[name]), (letter) => letter.charCodeAt(0)),
])) };
const settings = () => ({
  alpha: Number(form.alpha.value), lut: luts[form.colormap.value], mode: form.mode.value, boxes: form.boxes?.checked,
  threshold: Number(form.threshold.value),
});

async function decoded(url) {
  const image = Object.assign(new Image(), { src: url });
  await image.decode();
  return image;
}

async function pixels(url, [width, height]) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(await decoded(url), 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

/** Mount one picture with its maps, and return what draws it; images are decoded once it scrolls into view. */
function mount(section, view) {
  const canvas = $(".stage canvas", section), context = canvas.getContext("2d"), [width, height] = view.size;
  const out = context.createImageData(width, height), bar = $(".bar", section).getContext("2d");
  /** Promises of pixels, of the levels by their map. */
  const levels = new Map();
  let picture = null, faded = null, visible = false, latest = 0, shown = {};
  const chosen = () => Number($(".answers input:checked", section)?.value ?? 0);

  async function draw() {
    if (!visible) return;
    const own = ++latest, index = chosen(), { alpha, lut: chosenLut, mode, boxes, threshold } = settings(), map = view.maps[index];
    picture ??= pixels(view.picture, view.size);
    faded ??= view.faded ? pixels(view.faded, view.size) : picture;
    if (map && !levels.has(index)) levels.set(index, pixels(map.levels, view.size));
    const [source, under, level] = await Promise.all([picture, faded, levels.get(index)]);
    if (own !== latest) return;
    shown = { map, level };
    const lut = map?.signed ? signed[mode === "map" ? "alone" : "over"] : chosenLut, grey = map?.signed && mode !== "map" && alpha > 0;
    const opacity = map?.signed ? signed.opacity : data.opacity, over = map && mode !== "picture", [x0, y0, x1, y1] = view.seen, bottom = over ? y1 : y0;
    out.data.set(over ? under : source);
    for (let y = y0; y < bottom; y++) {
      for (let x = x0; x < x1; x++) {
        const p = 4 * (y * width + x), v = level[p], strength = map.signed ? Math.abs(v - 128) / 127 : v / 255;
        const a = strength < threshold ? 0 : mode === "map" ? 1 : alpha * opacity[v];
        const g = grey && 0.299 * under[p] + 0.587 * under[p + 1] + 0.114 * under[p + 2];
        for (let c = 0; c < 3; c++) out.data[p + c] = (grey ? g : under[p + c]) * (1 - a) + lut[3 * v + c] * a;
      }
    }
    context.putImageData(out, 0, 0);
    const strip = bar.createImageData(256, 1);
    const bars = map?.signed ? signed.alone : lut;
    for (let v = 0; v < 256; v++) strip.data.set([...bars.subarray(3 * v, 3 * v + 3), 255], 4 * v);
    bar.putImageData(strip, 0, 0);
    for (const part of section.querySelectorAll("[data-map]")) part.hidden = Number(part.dataset.map) !== index;
    for (const part of section.querySelectorAll("svg [data-maps]")) {
      const belongs = part.dataset.maps.split(" ").includes(String(index));
      const wanted = part.matches(".half") ? belongs && mode === "overlay" && alpha > 0 : boxes && (belongs || mode === "picture");
      part.toggleAttribute("hidden", !wanted);
    }
    canvas.dataset.drawn = String(index);
  }

  const readout = $(".read", section), idle = readout.textContent;
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * height);
    const [x0, y0, x1, y1] = view.seen, { map, level } = shown;
    if (!map || !level || x < 0 || y < 0 || x >= width || y >= height) return;
    const at = `at ${Math.floor((x + 0.5) * view.unit)}, ${Math.floor((y + 0.5) * view.unit)}`;
    if (x < x0 || y < y0 || x >= x1 || y >= y1) {
      readout.textContent = `The model did not see this part of the picture, ${at}`;
      return;
    }
    const value = map.signed ? (level[4 * (y * width + x)] - 128) / 127 : level[4 * (y * width + x)] / 255;
    const share = map.signed ? (value + 1) / 2 : value;
    const raw = map.ends ? `, raw ${Number((map.ends[0] + share * (map.ends[1] - map.ends[0])).toPrecision(3))}` : "";
    const way = !map.signed || !value ? "" : value > 0 ? ", raises it" : ", lowers it";
    readout.textContent = `${map.title} ${value.toFixed(2)} of the scale${raw}${way} ${at}`.replaceAll("-", "\u2212");
  });
  canvas.addEventListener("pointerleave", () => (readout.textContent = idle));
  section.addEventListener("change", draw);
  new IntersectionObserver((entries) => {
    visible ||= entries.some((entry) => entry.isIntersecting);
    draw();
  }, { rootMargin: "400px" }).observe(section);
  return draw;
}

const redraws = [...document.querySelectorAll("section.view")].map((section, i) => mount(section, data.views[i]));
const all = () => {
  for (const input of [form.alpha, form.threshold]) {
    input.parentElement.querySelector("output").textContent = `${Math.round(100 * input.value)} %`;
  }
  form.alpha.disabled = form.mode.value !== "overlay";
  for (const redraw of redraws) redraw();
};
form.addEventListener("input", all);
form.addEventListener("submit", (event) => event.preventDefault());
all();
