// Shared by all components: mounting, elements, storage, and events between components.

import { unpack } from "./unpack.js";

/**
 * @template Head @typedef {{data: Head, blobs: Uint8Array[], setStateValue: Send, setTriggerValue: Send}} Payload  what Streamlit hands over in each run
 */
/**
 * @typedef {(name: string, value: unknown) => void} Send
 * @typedef {{choose: {index: number, from?: Element, byHand?: boolean}, ask: null,
 *   settings: {settings?: object}, touched: {rows: Touches|null}, play: Play|null,
 *   shown: Shown, look: null, addressed: null, restyle: {changes: Partial<import("../common/style.js").Style>, done: boolean}}} Broadcasts  choose: a class, `from` the list it is chosen in, `byHand` just now by a person;
 *   ask: lists repeat what they last sent; settings: the last
 *   viewer of the page fills them in; touched: answers while the picture is covered by hand, or values of maps where it is
 *   pointed at, by their rows' labels; play: what a check shows in place of the maps; shown: the maps on the page, after each change of
 *   them, of how they are drawn and of what is pointed at; look: whoever shows maps says so again; addressed: Streamlit wrote the address; restyle: settings of all viewers,
 *   `done` once a hand has let go
 */
/**
 * @typedef {{map: import("./draw.js").HeatMap, value: number|null, ends: [string, string]} &
 *   import("./draw.js").Scaled} ShownMap  value: where it is pointed at, on the scale; ends: what its 0 and its 1 are called
 * @typedef {[name: string, text: string, help: string]} Fact  about a panel
 * @typedef {{title: string, place: number, facts: Fact[], item: ShownMap|null, left: number, width: number}} Column  of a panel
 *   that has a map or facts; place: in the list of all maps, and of all panels that have facts alone; left, width: in CSS pixels of
 *   the window
 * @typedef {{id: string, maps: ShownMap[], pointed: number, columns: Column[], aligned: boolean, boxed: boolean,
 *   colormaps: Map<string, Uint8Array>, settings: import("../common/style.js").Style, style: import("./draw.js").Painted}} Shown
 *   id: of what Python sent; pointed: the map under the pointer, by its place among `maps`; aligned: whether columns stand beside
 *   each other; boxed: whether there are boxes
 */
/** @typedef {Record<string, {share?: number|null, text: string, before?: number}>} Touches */
/**
 * @typedef {{index: number, shots: {map: import("./draw.js").HeatMap|null, title: string, note: string,
 *   cover?: (picture: import("./canvas.js").Picture) => HTMLCanvasElement}[], fades?: boolean, row?: Touches[string]}} Play
 *   index: of the tested map; shots: by panel, from the last; row: of its answer, meanwhile
 */

/** Steps of the arrow keys, across and down. @type {Record<string, [number, number]>} */
export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
/** The instances on the page by their root elements. */
const mounted = new WeakMap();

/**
 * Return a component for Streamlit, of a class that is made once and shows the data of each run, which Python packed.
 * @template Head @param {string} selector of the root element; empty for a component without elements
 * @param {new (root: HTMLElement, gone: AbortSignal) => {show: (payload: Payload<Head>) => unknown}} Class
 *   `gone` is aborted when the component is unmounted
 * @returns {(payload: Payload<Uint8Array> & {parentElement: HTMLElement}) => () => void} returns what unmounts it
 */
export function component(selector, Class) {
  return (payload) => {
    const root = selector ? find(payload.parentElement, selector) : payload.parentElement;
    if (!mounted.has(root)) {
      const controller = new AbortController();
      mounted.set(root, { gone: controller, instance: new Class(root, controller.signal) });
    }
    const { gone, instance } = mounted.get(root), { head, blobs } = unpack(payload.data);
    void instance.show({ ...payload, data: head, blobs });
    return () => {
      gone.abort();
      mounted.delete(root);
    };
  };
}

/** @template {keyof Broadcasts} Name @param {Name} name @param {Broadcasts[Name]} detail */
export function broadcast(name, detail) {
  window.dispatchEvent(new CustomEvent(`sightglass:${name}`, { detail }));
}

/**
 * @template {keyof Broadcasts} Name
 * @param {Name} name @param {(detail: Broadcasts[Name]) => void} handler @param {AbortSignal} signal
 */
export function onBroadcast(name, handler, signal) {
  const listener = (/** @type {Event} */ event) => handler(/** @type {CustomEvent<Broadcasts[Name]>} */ (event).detail);
  window.addEventListener(`sightglass:${name}`, listener, { signal });
}

/** @param {Element} element @param {() => void} handler called at first and after each change of size @param {AbortSignal} signal */
export function onResize(element, handler, signal) {
  const observer = new ResizeObserver(handler);
  observer.observe(element);
  signal.addEventListener("abort", () => observer.disconnect());
}

/** Return the element, which must exist. @param {ParentNode} root @param {string} selector */
export function find(root, selector) {
  return /** @type {HTMLInputElement} */ (root.querySelector(selector));
}

/** @param {Element} node @param {string} words  repeated, they would be read out again */
export function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/** Return what listens to the elements of a class. @param {HTMLElement} root @param {AbortSignal} signal */
export function hearIn(root, signal) {
  return (/** @type {string} */ name, /** @type {string} */ type, /** @type {(target: HTMLInputElement) => void} */ handler) =>
    find(root, `.${name}`).addEventListener(type, ({ target }) => handler(/** @type {HTMLInputElement} */ (target)), { signal });
}

/** Return a function that has `draw` called once in the next frame, however often it is called. @param {() => void} draw */
export function onceAFrame(draw) {
  let frame = 0;
  return () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  };
}

/** @param {Element|DOMRect} element or where it is @param {{clientX: number, clientY: number}} event @returns {[number, number]} in fractions of the element */
export function fractionOf(element, { clientX, clientY }) {
  const { left, top, width, height } = "left" in element ? element : element.getBoundingClientRect();
  return [(clientX - left) / width, (clientY - top) / height];
}

/** @param {Uint8Array} bytes of a JPEG */
export function blobOf(bytes) {
  return new Blob([/** @type {BlobPart} */ (bytes)], { type: "image/jpeg" });
}

/** Whether the page is dark, and its font. @param {Element} root */
export function themeOf(root) {
  const style = getComputedStyle(root);
  const probe = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
  probe.fillStyle = style.getPropertyValue("--st-background-color").trim() || "#fff";
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(String(probe.fillStyle).slice(i, i + 2), 16));
  return { dark: 0.299 * r + 0.587 * g + 0.114 * b < 128, font: style.fontFamily };
}

/** Format a share, as `percent` in phrases.py. @param {number} share 0..1 */
export function percent(share) {
  const limit = share > 0 && share < 0.01 ? "<\u00a01" : share >= 0.995 && share < 1 - 1e-6 ? ">\u00a099" : "";
  return `${limit || Math.round(100 * share)}\u00a0%`;
}
