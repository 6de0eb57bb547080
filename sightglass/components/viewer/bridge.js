// Between Python and the viewer: payloads and files come in; regions, clicks and requests go out.

import { blobOf, broadcast, download, find, themeOf } from "../../browser/component.js";
import { createMap, peakOf } from "../../browser/draw.js";
import { around, WHOLE } from "../../browser/geometry.js";
import { Picture } from "../../browser/picture.js";
import { grids, inflate } from "../../browser/unpack.js";
import { FIRST_MS } from "./painter.js";
import { onPhone, reserve } from "./store.js";
import { hotPhrase, isNews, recalled, viewportOf } from "./settings.js";
import { regionMessage } from "./region.js";

/** @typedef {{file: File, bytes: Promise<Uint8Array>, bitmap: Promise<ImageBitmap>}} Pending */

/** Bytes: larger pictures come back smaller. */
const MAX_BYTES = 1.5e6;

/** @param {Uint8Array} a @param {Uint8Array} b of the same length */
function equalBytes(a, b) {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** @param {Pending|null} pending */
function close(pending) {
  pending?.bitmap.then((bitmap) => bitmap.close(), () => {});
}

/** @param {AbortSignal} signal */
export function createPrefetch(signal) {
  /** @type {Pending|null} */
  let coming = null;

  // Every picture goes through an uploader, also what is dropped or pasted.
  window.addEventListener("change", ({ target }) => {
    if (!(target instanceof HTMLInputElement) || target.type !== "file") return;
    // Of several files the last is shown.
    const file = [...(target.files ?? [])].at(-1);
    close(coming);
    coming = null;
    if (file?.type !== "image/jpeg" || file.size > MAX_BYTES) return;
    const bytes = file.arrayBuffer().then((buffer) => new Uint8Array(buffer)), bitmap = createImageBitmap(file);
    coming = { file, bytes, bitmap };
    // A failure matters only once the picture is needed.
    for (const part of [bytes, bitmap]) part.catch(() => {});
  }, { signal, capture: true });
  signal.addEventListener("abort", () => close(coming));

  /**
   * Return the picture decoded from these bytes, if it was: the caller then owns it.
   * @param {Uint8Array} wanted @returns {Promise<ImageBitmap|null>}
   */
  return async function prefetched(wanted) {
    const pending = coming;
    // From here on this call owns it.
    coming = null;
    try {
      if (pending?.file.size === wanted.length && equalBytes(await pending.bytes, wanted)) return await pending.bitmap;
    } catch {
      // The caller decodes it instead.
    }
    // Another picture came: this one resized or rotated, or an unrelated one.
    close(pending);
    return null;
  };
}

/** @typedef {import("./store.js").Head} Head @typedef {import("../../browser/component.js").Broadcasts} Broadcasts */

/** Return a unique id, so that equal responses differ. */
function nonce() {
  return `${performance.now()}-${Math.random()}`;
}

export class Bridge {
  #coming = "";
  #requested = "";

  /**
   * @param {HTMLElement} root @param {AbortSignal} signal @param {import("./store.js").Store} store
   * @param {import("./painter.js").Painter} painter @param {import("./display.js").Display} display
   */
  constructor(root, signal, store, painter, display) {
    this.root = root;
    this.signal = signal;
    this.store = store;
    this.painter = painter;
    this.display = display;
    this.prefetched = createPrefetch(signal);
  }

  /** Show what Python sent. @param {Head} head @param {Uint8Array[]} blobs */
  async show(head, blobs) {
    const { store, root, painter, display } = this;
    Object.assign(store, themeOf(root));
    this.#coming = head.id;
    if (store.head.id === head.id) {
      display.showControls();
      return painter.redraw();
    }
    if (!store.head.id) this.#reserve(head);
    // The page around it describes the coming maps already.
    root.classList.toggle("stale", Boolean(store.head.id));
    const same = store.head.picture === head.picture ? store.picture : null;
    const count = head.grids.reduce((sum, [h, w]) => sum + h * w, 0);
    const decoded = same ? same.bitmap : this.#decode(blobs[0]);
    const [bitmap, steps] = await Promise.all([decoded, inflate(blobs[1], count)]);
    if (this.#coming !== head.id || this.signal.aborted) return same ? undefined : bitmap.close();
    if (!same) this.#replacePicture(bitmap, head.size);
    this.#replaceMaps(head, steps);
    const begun = Boolean(store.head.id);
    store.head = head;
    if (!begun) this.#begin(head);
    else if (store.passing && !head.initial?.passing) this.#recall(head);
    display.build();
    display.showControls();
    // The next frame may be late: the page first renders whatever arrived after the maps.
    painter.draw(FIRST_MS, !same);
    if (!same) painter.redraw();
    root.classList.remove("stale");
    this.announce();
    // A list that was mounted first has already announced its choice: ask for it again.
    broadcast("ask", null);
    root.setAttribute("data-shown", head.id);
  }

  /** @param {Head} head */
  #reserve({ panels, beside, size, height, columns }) {
    const plain = beside && size[1] >= size[0] && !onPhone() && panels.length > 0 && panels.every(({ maps }) => maps.length);
    reserve(find(this.root, ".panels"), panels.length + Number(plain), { size, height, columns });
  }

  /** @param {Uint8Array} jpeg */
  async #decode(jpeg) {
    return (await this.prefetched(jpeg)) ?? createImageBitmap(blobOf(jpeg));
  }

  /** @param {ImageBitmap} bitmap @param {number[]} size */
  #replacePicture(bitmap, size) {
    const { store } = this;
    store.picture?.close();
    store.picture = new Picture(bitmap, size);
    store.choice = store.point = null;
    this.display.view(WHOLE, false);
    this.#requested = "";
    if (!store.marker.region) return;
    store.marker.clear();
    store.send.setStateValue("region", null);
  }

  /** @param {Head} head @param {Uint16Array} steps */
  #replaceMaps(head, steps) {
    const { store } = this, values = grids(steps, head.grids);
    if (head.choice !== store.head.choice || store.choice === null) store.choice = head.choice ?? store.choice;
    store.listed = head.panels.map((panel) => ({
      ...panel,
      maps: panel.maps.map((map) => createMap(map, values[map.own], map.shared === null ? null : values[map.shared])),
    }));
    if (store.choice === null && store.listed.some(({ maps }) => maps.length > 1)) store.choice = 0;
  }

  /** Take the first payload: its colormaps, and the settings of a link or of before. @param {Head} head */
  #begin(head) {
    const { display } = this;
    display.listColormaps();
    const fresh = isNews(sessionStorage, head.initial);
    this.#recall(head);
    const viewport = fresh ? viewportOf(head.initial?.zoom) : null;
    if (viewport) display.view(viewport, false);
  }

  /** @param {Head} head */
  #recall({ initial }) {
    const { store } = this, names = [...store.colormaps.keys()];
    store.settings = recalled(sessionStorage, initial, names);
    store.passing = Boolean(initial?.passing);
    if (!store.colormaps.has(store.settings.colormap)) store.settings.colormap = names[0];
  }

  /** Show what Python made on request: a finer part of the picture, a file, or why there is none. @param {Broadcasts["response"]} response */
  async receive({ head, blob }) {
    const { store, display } = this;
    if (head.picture !== store.head.picture) return;
    if (head.kind === "sorry") return display.say(String(head.words));
    if (head.kind === "file") {
      download(blobOf(blob, String(head.mime)), String(head.name));
      return display.say(`Downloaded ${head.name}.`);
    }
    const bitmap = await createImageBitmap(blobOf(blob));
    if (head.picture !== store.head.picture || this.signal.aborted) return bitmap.close();
    store.picture?.refine({ bitmap, rect: /** @type {number[]} */ (head.rect) });
    this.painter.redraw();
  }

  /** Take the sentences of the maps, which Python sends after them. @param {Broadcasts["texts"]} texts */
  takeTexts(texts) {
    const { store } = this, news = texts.shown === store.head.id && texts.shown !== store.texts?.shown;
    store.texts = texts;
    if (news) this.display.caption();
  }

  /** Ask for finer pixels of what is visible, where there are some: a large picture came as a small copy. @param {number[]} rect */
  requestDetail(rect) {
    const { head, picture, panels } = this.store;
    const density = Math.min(1, Math.max(...panels.map((panel) => (panel.width * panel.fine) / (rect[2] - rect[0]))));
    if (!picture || density <= 1.15 * picture.density(rect)) return;
    const within = around(rect, head.size), key = [head.picture, ...within].join();
    if (key === this.#requested) return;
    this.#requested = key;
    const longest = Math.ceil(Math.max(within[2] - within[0], within[3] - within[1]) * density);
    broadcast("request", { name: "detail", value: { picture: head.picture, rect: within, longest, id: nonce() } });
  }

  /** @param {string} format */
  requestFile(format) {
    const { store, display } = this, { choice, dark } = store, { settings } = store.style();
    const value = { id: nonce(), format, choice, dark, columns: display.columns(), settings };
    broadcast("request", { name: "file", value });
  }

  /** Ask Python what is missing at a place. @param {number[]} xyxy in original pixels */
  ask(xyxy) {
    const { store } = this;
    this.display.showControls();
    store.send.setTriggerValue("question", { picture: store.head.picture, xyxy });
  }

  async sendRegion() {
    const { store } = this, { marker } = store, { version } = marker;
    this.display.showControls();
    this.painter.redraw(false);
    const region = await regionMessage(marker.region, store.head.picture);
    // Packing takes a moment: by now another area may be marked, or none.
    if (version === marker.version) store.send.setStateValue("region", region);
  }

  /** Tell the page what looks hot now. */
  announce() {
    const { store } = this;
    if (!store.head.id) return;
    const { settings } = store.style(), map = store.panels.map((panel) => store.mapOf(panel)).find(Boolean);
    const peak = map ? peakOf(map, store.style()) : 1;
    const hidden = peak < 0.5 || (settings.mode === "overlay" && settings.alpha === 0);
    const hot = hidden ? "" : hotPhrase(settings, store.colormaps.get(settings.colormap)?.hot ?? "");
    broadcast("view", { hot });
  }
}
