// Shared by all components: mounting, finding elements, files, and events between components.

import { unpack } from "./unpack.js";

/**
 * @template Head @typedef {{data: Head, blobs: Uint8Array[], setStateValue: Send, setTriggerValue: Send}} Given  of each run
 */
/**
 * @typedef {(name: string, value: unknown) => void} Send
 * @typedef {{what: "save"|"png"|"jpg"|"link"|"settings", taken: boolean, settings?: object}} Wanted  of the first viewer of the page
 * @typedef {{head: {id: string, kind: string, picture: string, [field: string]: unknown}, blob: Uint8Array}} Response
 * @typedef {{choose: {index: number, from?: Element, byHand?: boolean}, view: {hot: string}, "ask-view": null, ask: null,
 *   request: {name: "detail"|"file", value: object}, response: Response, export: Wanted, said: string,
 *   texts: {shown: string, texts: string[], recipes: (string|null)[]}}} Broadcasts  choose: a class, `from` the list it is
 *   chosen in, `byHand` just now by a person; view: what looks hot now, requested by ask-view; ask: lists and the text channel repeat what they last
 *   sent; request: what Python should make, and response: the result; texts: of the maps of one payload; export: a file of
 *   the view, or its settings; said: a message of a viewer
 */

/** Steps of the arrow keys, across and down. @type {Record<string, [number, number]>} */
export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const live = new WeakMap();

/**
 * Return a component for Streamlit: mounted at first, then shown the data of each run, which Python packed.
 * @template Head
 * @param {string} selector of the root element
 * @param {(root: HTMLElement, gone: AbortSignal) => (given: Given<Head>) => void} mount  returns what shows the data; `gone`
 *   is aborted when the component is unmounted
 * @returns {(given: Given<Uint8Array> & {parentElement: HTMLElement}) => () => void} returns what unmounts it
 */
export function component(selector, mount) {
  return (given) => {
    const root = find(given.parentElement, selector);
    let instance = live.get(root);
    if (!instance) {
      const gone = new AbortController();
      live.set(root, (instance = { gone, show: mount(root, gone.signal) }));
    }
    const { head, blobs } = unpack(given.data);
    instance.show({ ...given, data: head, blobs });
    return () => {
      instance.gone.abort();
      live.delete(root);
    };
  };
}

/**
 * Return the component of a class, which shows the data of each run.
 * @template Head @param {string} selector of the root element
 * @param {new (root: HTMLElement, gone: AbortSignal) => {show: (given: Given<Head>) => unknown}} Class
 */
export function componentOf(selector, Class) {
  return component(selector, (root, gone) => {
    const made = new Class(root, gone);
    return (/** @type {Given<Head>} */ given) => void made.show(given);
  });
}

/**
 * Return a channel: it passes on what Python sent last, and again when that is asked for.
 * @template {"texts"} Name @param {Name} name @param {"ask"} ask
 */
export function channel(name, ask) {
  /** @type {Broadcasts[Name]|null} */
  let latest = null;
  const send = () => latest && broadcast(name, latest);
  onBroadcast(ask, send);
  return (/** @type {{data: Uint8Array}} */ { data }) => {
    latest = unpack(data).head;
    send();
  };
}

/**
 * Return a channel of the page that passes requests on to Python, from the one that was drawn last.
 * @template {"request"} Name @template Head @param {Name} name
 * @param {(given: Given<Head>, request: Broadcasts[Name]) => void} send
 * @param {(given: {head: Head, blobs: Uint8Array[]}) => void} hear  what Python sent
 */
export function requestChannel(name, send, hear) {
  /** @type {(Given<Head> & {parentElement: HTMLElement})|null} */
  let open = null;
  onBroadcast(name, (request) => open && send(open, request));
  return (/** @type {Given<Head> & {data: Uint8Array, parentElement: HTMLElement}} */ given) => {
    open = given;
    hear(unpack(given.data));
    return () => {
      if (open?.parentElement === given.parentElement) open = null;
    };
  };
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

/** @template {keyof Broadcasts} Name @param {Name} name @param {Broadcasts[Name]} detail */
export function broadcast(name, detail) {
  window.dispatchEvent(new CustomEvent(`sightglass:${name}`, { detail }));
}

/**
 * @template {keyof Broadcasts} Name
 * @param {Name} name @param {(detail: Broadcasts[Name]) => void} handler @param {AbortSignal} [signal]
 */
export function onBroadcast(name, handler, signal) {
  const heard = (/** @type {Event} */ event) => handler(/** @type {CustomEvent<Broadcasts[Name]>} */ (event).detail);
  window.addEventListener(`sightglass:${name}`, heard, { signal });
}

/** Whether the page is used with fingers, who have no mouse and mostly no keys. */
export function byTouch() {
  return matchMedia("(pointer: coarse)").matches;
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

/** @param {Storage} storage @param {string} name @returns {Record<string, unknown>} empty where nothing was stored, or can be */
export function stored(storage, name) {
  try {
    return JSON.parse(storage.getItem(name) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/** Store a value for this session. @param {Storage} storage @param {string} name @param {object} value */
export function keepStored(storage, name, value) {
  try {
    storage.setItem(name, JSON.stringify(value));
  } catch {
    // Private windows may forbid storage: the value then lasts as long as the page.
  }
}

/** @param {Uint8Array} bytes of a JPEG, by default @param {string} [type] */
export function blobOf(bytes, type = "image/jpeg") {
  return new Blob([/** @type {BlobPart} */ (bytes)], { type });
}

/** @param {Blob|null} blob @param {string} name */
export function download(blob, name) {
  if (!blob) return;
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Whether the page is dark, and its font. @param {Element} root */
export function themeOf(root) {
  const style = getComputedStyle(root);
  const probe = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
  probe.fillStyle = style.getPropertyValue("--st-background-color").trim() || "#fff";
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(String(probe.fillStyle).slice(i, i + 2), 16));
  return { dark: 0.299 * r + 0.587 * g + 0.114 * b < 128, font: style.fontFamily };
}
