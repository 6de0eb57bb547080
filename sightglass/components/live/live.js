// Live: frames of a camera or a clip go to the model one by one, and each is shown with its own map.

import { blobOf, componentOf, find, themeOf } from "../../browser/component.js";
import { bytes } from "../../browser/unpack.js";
import { listColormaps } from "../viewer/controls.js";
import { defaults, keep, recalled } from "../viewer/settings.js";
import { Answers, Following } from "./answers.js";
import { showButtons, wireButtons, handOver, Recorder } from "./buttons.js";
import { Loop } from "./loop.js";
import { Screen } from "./screen.js";
import { Notice, Sources } from "./source.js";

/**
 * @typedef {{choice: {model: string, method: string, options: object}, stills: string,
 *   colormaps: import("../viewer/controls.js").Colormap[], height: number}} Head  stills: names
 *   the clip's pictures
 */

export class Live {
  settings = defaults();
  /** @type {Map<string, Uint8Array>} */
  luts = new Map();
  /** @type {Head|null} */
  head = null;
  frozen = false;
  /** Whether the plain frame is shown for as long as a button is held. */
  held = false;
  #theme = { dark: false, font: "sans-serif" };
  send = /** @type {import("../../browser/component.js").Send} */ (() => {});

  /** @param {HTMLElement} root @param {AbortSignal} signal */
  constructor(root, signal) {
    this.root = root;
    this.signal = signal;
    this.canvas = /** @type {HTMLCanvasElement} */ (root.querySelector("canvas"));
    this.screen = new Screen(this.canvas);
    this.notice = new Notice(root);
    this.recorder = new Recorder(
      (size) => (root.dataset.recorded = String(size)),
      () => this.notice.say("Nothing was recorded yet: record for a second or two."),
    );
    this.following = new Following(this);
    this.answers = new Answers(this);
    const video = /** @type {HTMLVideoElement} */ (root.querySelector("video"));
    this.sources = new Sources(video, this.notice, () => {
      showButtons(this);
      this.loop.restart();
    }, signal);
    this.loop = new Loop(this);
    wireButtons(this);
    signal.addEventListener("abort", () => this.recorder.stop());
  }

  /** Take what Python sent. @param {import("../../browser/component.js").Given<Head>} given */
  async show({ data: head, blobs, setTriggerValue }) {
    const before = this.head;
    this.head = head;
    this.send = setTriggerValue;
    this.#theme = themeOf(this.root);
    if (!before) this.#begin(head);
    if (JSON.stringify(head.choice) !== JSON.stringify(before?.choice)) {
      this.following.reset();
      this.loop.pace.reset();
      this.loop.link.choose(head.choice);
    }
    if (!before) this.loop.link.start();
    if (head.stills !== before?.stills) {
      const stills = await Promise.all(blobs.map((blob) => createImageBitmap(blobOf(blob))));
      if (this.head?.stills !== head.stills) return;
      this.sources.play(stills);
    }
    showButtons(this);
    this.redraw();
  }

  /** @param {Head} head */
  #begin(head) {
    for (const { name, lut } of listColormaps(find(this.root, ".colormap"), head.colormaps)) this.luts.set(name, bytes(lut));
    this.settings = recalled(sessionStorage, null, [...this.luts.keys()]);
    this.canvas.style.setProperty("--height", `${head.height}px`);
    find(this.root, ".record").hidden = !Recorder.possible();
    this.sources.recall();
  }

  redraw() {
    const { held, screen } = this, { dark, font } = this.#theme;
    const settings = held ? { ...this.settings, mode: /** @type {const} */ ("picture") } : this.settings;
    const lut = this.luts.get(settings.colormap) ?? [...this.luts.values()][0];
    screen.draw({ settings, lut, dark, range: null }, font);
    for (const name of [".open", ".snapshot", ".record"]) find(this.root, name).disabled = !screen.shown;
  }

  /** @param {Partial<import("../../common/style.js").Style>} changes @param {boolean} [done] the hand let go */
  set(changes, done = true) {
    Object.assign(this.settings, changes);
    if (done) keep(sessionStorage, this.settings);
    showButtons(this);
    this.redraw();
  }

  /** @param {boolean} frozen @param {boolean} tell whether Python is to test the map of the frame */
  freeze(frozen, tell = true) {
    const before = this.frozen;
    this.frozen = frozen && Boolean(this.screen.shown);
    showButtons(this);
    if (tell && this.frozen && !before) void handOver(this, "freeze");
    else if (before && !this.frozen) this.send("frame", { act: "go on", at: Date.now() });
    this.loop.restart();
    this.answers.write();
  }

  /** @param {boolean} held */
  hold(held) {
    if (this.held === held) return;
    this.held = held;
    this.redraw();
  }

  record() {
    if (this.recorder.on) this.recorder.stop();
    else this.recorder.start(this.canvas);
    showButtons(this);
  }
}

export default componentOf(".live", Live);
