// Draw a part of the picture at a size, once for all panels.

import { hiddenContext, resize } from "./canvas.js";

/** @typedef {{width: number, height: number, rect: number[]}} Frame  canvas pixels, and what they show in original pixels */

/** Return pixels as RGB and, in the place of alpha, their lightness with OpenCV's weights and rounding. @param {ImageData} image */
export function withLightness({ data }) {
  const pixels = new Int32Array(data.buffer), out = new Int32Array(pixels.length);
  for (let i = 0; i < out.length; i++) {
    const pixel = pixels[i], r = pixel & 255, g = (pixel >> 8) & 255, b = (pixel >> 16) & 255;
    out[i] = (pixel & 0xffffff) | (((4899 * r + 9617 * g + 1868 * b + 8192) >> 14) << 24);
  }
  return out;
}

export class Picture {
  #context = hiddenContext(true);
  #key = "";
  #pixels = /** @type {Int32Array|null} */ (null);

  /** @param {ImageBitmap} bitmap @param {number[]} size of the original, which the bitmap may be a smaller copy of */
  constructor(bitmap, size) {
    this.bitmap = bitmap;
    this.size = size;
  }

  close() {
    this.bitmap.close();
  }

  /** Return a canvas of the frame's size. @param {Frame} frame @param {boolean} [quick] while it moves */
  at(frame, quick = false) {
    const { width, height, rect } = frame, key = [width, height, quick, ...rect].join(), context = this.#context;
    if (key === this.#key) return context.canvas;
    [this.#key, this.#pixels] = [key, null];
    resize(context.canvas, width, height);
    context.imageSmoothingQuality = quick ? "low" : "high";
    const { bitmap, size } = this, across = rect[2] - rect[0], down = rect[3] - rect[1];
    const sx = bitmap.width / size[0], sy = bitmap.height / size[1];
    context.imageSmoothingEnabled = width < 3 * across * sx;
    context.drawImage(bitmap, rect[0] * sx, rect[1] * sy, across * sx, down * sy, 0, 0, width, height);
    return context.canvas;
  }

  /** Return the pixels of that canvas, with their lightness. @param {Frame} frame @param {boolean} [quick] */
  pixels(frame, quick) {
    const { width, height } = this.at(frame, quick);
    return (this.#pixels ??= withLightness(this.#context.getImageData(0, 0, width, height)));
  }
}
