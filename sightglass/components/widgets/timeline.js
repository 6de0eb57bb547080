// The chart under the player of a clip. The player is Streamlit's own; both follow each other without a rerun.

import { ARROWS, component, find, onResize } from "../../browser/component.js";
import { make, svgElement } from "../../browser/elements.js";
import { clock, dashesOf, drawChart, frameOf, momentAt, nextMoment, timeAt, xOf } from "./timeline_chart.js";

/**
 * @typedef {import("./timeline_chart.js").Curve} Curve
 * @typedef {import("./timeline_chart.js").Moment} Moment
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
