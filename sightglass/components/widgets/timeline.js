// The chart under the player of a clip. The player is Streamlit's own; both follow each other without a rerun.

import { ARROWS, component, find, onResize } from "../../browser/component.js";
import { percent } from "../../browser/curves.js";
import { make, svgElement, svgText } from "../../browser/elements.js";

/**
 * @typedef {[seconds: number, score: number, area: number|null]} Point
 * @typedef {{name: string, points: Point[], color?: string}} Curve
 * @typedef {{seconds: number, frame: number, kind: string, words: string}} Moment
 * @typedef {{width: number, left: number, right: number, rows: {top: number, bottom: number}[], height: number}} Frame
 */

/** Seconds without a point over which no line is drawn, at least; and in mean distances of points. */
const GAP = 0.5, FAR = 3;

/** The frame of a chart of this width. @param {number} width @returns {Frame} */
export function frameOf(width) {
  return { width, left: 46, right: 12, rows: [{ top: 30, bottom: 110 }, { top: 150, bottom: 200 }], height: 226 };
}

/** Far apart in length and rhythm: curves of objects are short, and a legend's samples shorter. */
const STROKES = ["", "8 3", "2 3", "18 5", "1 7", "12 3 1 3 1 3"];

/** The dashes of a curve by its place; the first is whole and bold. @param {number} place */
export function dashesOf(place) {
  return STROKES[place] ?? "1 2";
}

/** @param {number} time @param {number} seconds @param {Frame} frame */
export function xOf(time, seconds, { width, left, right }) {
  return left + (Math.min(seconds, Math.max(0, time)) / Math.max(seconds, 1e-6)) * (width - left - right);
}

/** The time at a place of the chart. @param {number} x @param {number} seconds @param {Frame} frame */
export function timeAt(x, seconds, { width, left, right }) {
  return Math.min(seconds, Math.max(0, ((x - left) / Math.max(1, width - left - right)) * seconds));
}

/** As a clock shows it: 0:07.4. @param {number} seconds */
export function clock(seconds) {
  const tenths = Math.round(seconds * 10), minutes = Math.floor(tenths / 600), hours = Math.floor(minutes / 60);
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** The moment before or after a time; null where there is none. @param {Moment[]} moments @param {number} time @param {1|-1} way */
export function nextMoment(moments, time, way) {
  const found = way > 0 ? moments.find((one) => one.seconds > time + 0.02) : moments.findLast((one) => one.seconds < time - 0.02);
  return found ?? null;
}

/** The last moment that has begun. @param {Moment[]} moments @param {number} time @returns {number} its place, or -1 */
export function momentAt(moments, time) {
  return moments.findLastIndex((one) => one.seconds <= time + 0.02);
}

/** Seconds between lines of the grid, so that they are some hundred pixels apart. @param {number} seconds @param {number} width */
export function stepOf(seconds, width) {
  const most = Math.max(2, Math.floor(width / 110));
  return [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find((step) => seconds / step <= most) ?? 7200;
}

/**
 * A path through points, broken where nothing was seen for a while or has no value.
 * @param {Point[]} points @param {1|2} value  the place of the value in a point @param {number} top @param {number} seconds
 * @param {Frame} frame @param {{top: number, bottom: number}} row
 */
export function traceOf(points, value, top, seconds, frame, row) {
  const gap = Math.max(GAP, (FAR * seconds) / Math.max(1, points.length));
  let path = "", last = -Infinity;
  for (const point of points) {
    const height = point[value];
    if (height === null) {
      last = -Infinity;
      continue;
    }
    const y = row.bottom - (Math.min(top, height) / top) * (row.bottom - row.top);
    path += `${point[0] - last > gap ? "M" : "L"}${xOf(point[0], seconds, frame).toFixed(1)} ${y.toFixed(1)}`;
    last = point[0];
  }
  return path;
}

/** The end of the axis of areas: the next tenth above all. @param {Curve[]} curves */
export function topArea(curves) {
  const most = Math.max(0.05, ...curves.flatMap((curve) => curve.points.map((point) => point[2] ?? 0)));
  return Math.min(1, Math.ceil(most * 10 - 1e-9) / 10);
}

/**
 * @param {SVGElement} svg @param {{seconds: number, score: string, curves: Curve[], moments: Moment[]}} timeline @param {Frame} frame
 */
export function drawChart(svg, { seconds, score: title, curves, moments }, frame) {
  svg.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  const [score, area] = frame.rows, most = topArea(curves);
  const lines = (/** @type {1|2} */ value, /** @type {number} */ top, /** @type {{top: number, bottom: number}} */ row) =>
    curves.map((curve, i) => {
      const path = traceOf(curve.points, value, top, seconds, frame, row);
      const line = svgElement("path", { d: path, class: `line${i ? "" : " first"}`, "stroke-dasharray": dashesOf(i) });
      // An object has the colour of its box in the clip.
      if (curve.color) line.style.stroke = curve.color;
      return path ? line : null;
    }).reverse();
  const nodes = [
    ...axis(score, 1, title, frame), ...axis(area, most, "Half of the evidence is on", frame),
    ...times(seconds, frame),
    ...moments.flatMap((one, i) => mark(xOf(one.seconds, seconds, frame), frame, i, one)),
    ...lines(1, 1, score), ...lines(2, most, area),
    svgElement("line", { class: "head", x1: frame.left, x2: frame.left, y1: score.top - 4, y2: area.bottom }),
  ];
  svg.replaceChildren(...nodes.filter((node) => node !== null));
}

/** @param {{top: number, bottom: number}} row @param {number} top @param {string} name @param {Frame} frame */
function axis(row, top, name, frame) {
  const title = svgText(name, frame.left, row.top - 8, "start");
  title.setAttribute("class", "name");
  return [title, ...[0, top].flatMap((value) => {
    const y = value ? row.top : row.bottom;
    return [
      svgElement("line", { class: "grid", x1: frame.left, x2: frame.width - frame.right, y1: y, y2: y }),
      svgText(percent(value), frame.left - 8, y + 4, "end"),
    ];
  })];
}

/** @param {number} seconds @param {Frame} frame */
function times(seconds, frame) {
  const nodes = [], step = stepOf(seconds, frame.width - frame.left - frame.right);
  for (let time = 0; time <= seconds + 1e-6; time += step) {
    const x = xOf(time, seconds, frame);
    nodes.push(svgText(clock(time).replace(/\.0$/, ""), x, frame.height - 6, x > frame.width - 40 ? "end" : time ? "middle" : "start"));
  }
  return nodes;
}

/** @param {number} x @param {Frame} frame @param {number} place @param {Moment} moment */
function mark(x, frame, place, moment) {
  const [score, area] = frame.rows;
  const peak = svgElement("path", { class: "mark", d: `M${x - 5} ${score.top - 4}h10l-5 7z`, "data-moment": place });
  peak.append(svgElement("title", {}));
  /** @type {Element} */ (peak.firstElementChild).textContent = `${clock(moment.seconds)} ${moment.words}`;
  return [svgElement("line", { class: "moment", x1: x, x2: x, y1: score.top, y2: area.bottom }), peak];
}

/**
 *
 *
 * @typedef {{seconds: number, rate: number, opens: string, score: string, curves: Curve[], moments: Moment[]}} Timeline
 * @typedef {import("../../browser/component.js").Send} Send
 */

/** @type {Record<string, string>} symbols of the kinds of moments */
const ICONS = { answer: "swap_horiz", object: "login", gone: "logout", place: "moving" };

/** The player on the page, if it is there yet. @returns {HTMLVideoElement | null} */
function player() {
  return document.querySelector('video[data-testid="stVideo"], [data-testid="stVideo"] video');
}

/** Where a key leads; null for a key that leads nowhere. @param {string} key @param {number} time @param {Timeline} timeline */
function timeOf(key, time, { seconds, rate, moments }) {
  if (key === "Home" || key === "End") return key === "Home" ? 0 : seconds;
  const step = ARROWS[key];
  if (!step) return null;
  if (step[0]) return time + step[0] / rate;
  return nextMoment(moments, time, step[1] > 0 ? 1 : -1)?.seconds ?? time;
}

/** @param {Moment} moment @param {(time: number) => void} jump */
function itemOf(moment, jump) {
  const button = make("button");
  button.innerHTML = '<span class="icon" aria-hidden="true"></span><span class="time"></span><span class="words"></span>';
  find(button, ".icon").textContent = ICONS[moment.kind] ?? "flag";
  find(button, ".time").textContent = clock(moment.seconds);
  find(button, ".words").textContent = moment.words;
  button.addEventListener("click", () => jump(moment.seconds));
  return make("li", "", "", [button]);
}

/** The names of several curves, with their dashes. @param {HTMLElement} place @param {Curve[]} curves */
function legend(place, curves) {
  place.replaceChildren(...(curves.length > 1 ? curves : []).map(({ name, color }, i) => {
    const sample = svgElement("svg", { viewBox: "0 0 30 8" });
    const line = svgElement("line", { x1: 0, x2: 30, y1: 4, y2: 4, "stroke-dasharray": dashesOf(i) });
    if (color) line.style.stroke = color;
    sample.append(line);
    return make("span", "", "", [sample, name]);
  }));
}

function toggle() {
  const video = player();
  if (video?.paused) void video.play();
  else video?.pause();
}

/** Call `tell` with the player's time while it plays, and where a person seeks in it. @param {(time: number) => void} tell @param {AbortSignal} signal */
function listen(tell, signal) {
  // The player may be replaced, and its own events come four times a second at most.
  const tick = () => {
    if (signal.aborted) return;
    const video = player();
    if (video && !video.paused) tell(video.currentTime);
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
  document.addEventListener("seeked", ({ target }) => {
    if (target instanceof HTMLVideoElement && target === player()) tell(target.currentTime);
  }, { signal, capture: true });
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
function mount(root, signal) {
  const svg = /** @type {SVGSVGElement} */ (/** @type {unknown} */ (find(root, ".chart")));
  const list = find(root, ".moments"), open = find(root, ".open");
  /** @type {Timeline} */
  let timeline = { seconds: 0, rate: 25, opens: "", score: "", curves: [], moments: [] };
  /** @type {Send} */
  let send = () => {};
  let drawn = "", time = 0, frame = frameOf(600);

  function draw() {
    if (!root.clientWidth) return;
    frame = frameOf(root.clientWidth);
    drawChart(svg, timeline, frame);
    follow();
  }

  /** Move the line of the present to where the player is. */
  function follow() {
    const head = svg.querySelector(".head"), x = String(xOf(time, timeline.seconds, frame));
    head?.setAttribute("x1", x);
    head?.setAttribute("x2", x);
    find(root, ".now").textContent = clock(time);
    const at = momentAt(timeline.moments, time);
    svg.setAttribute("aria-valuenow", time.toFixed(1));
    svg.setAttribute("aria-valuetext", at < 0 ? clock(time) : `${clock(time)}, after: ${timeline.moments[at].words}`);
    [...list.children].forEach((item, i) => item.firstElementChild?.setAttribute("aria-current", String(i === at)));
  }

  /** @param {number} to seconds */
  function jump(to) {
    time = Math.min(timeline.seconds, Math.max(0, to));
    const video = player();
    // In the middle of a frame: at its edge a browser may show the one before.
    if (video) video.currentTime = Math.min(time + 0.4 / timeline.rate, video.duration || Infinity);
    follow();
  }

  /** @param {PointerEvent} event */
  function point(event) {
    const { left, width } = svg.getBoundingClientRect();
    jump(timeAt(((event.clientX - left) / width) * frame.width, timeline.seconds, frame));
  }

  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    point(event);
  });
  svg.addEventListener("pointermove", (event) => event.buttons & 1 && point(event));
  svg.addEventListener("keydown", (event) => {
    const to = timeOf(event.key, time, timeline);
    if (event.key === " ") toggle();
    else if (to !== null) jump(to);
    else return;
    event.preventDefault();
  });
  open.addEventListener("click", () => {
    player()?.pause();
    send("frame", time);
  });
  onResize(root, draw, signal);
  listen((now) => {
    // Own jumps lead to the middle of a frame: the time that was asked for stands.
    if (Math.abs(now - time) > 1 / timeline.rate) time = now;
    follow();
  }, signal);

  /** @param {import("../../browser/component.js").Given<Timeline>} given */
  return ({ data, setTriggerValue }) => {
    send = setTriggerValue;
    const fresh = JSON.stringify(data);
    if (fresh === drawn) return;
    [drawn, timeline, time] = [fresh, data, 0];
    svg.setAttribute("aria-valuemax", data.seconds.toFixed(1));
    find(open, ".words").textContent = data.opens;
    list.replaceChildren(...data.moments.map((moment) => itemOf(moment, jump)));
    legend(find(root, ".legend"), data.curves);
    draw();
  };
}

export default component(".timeline", mount);
