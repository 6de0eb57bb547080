// Canvases: their context, their size on dense screens, lines drawn by hand; a part of the picture at a size, once for all panels.

/** @param {HTMLCanvasElement} canvas @param {boolean} [reads] whether its pixels are read again and again */
export function contextOf(canvas, reads) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: reads }));
}

/** Return the context of a new canvas of one pixel, which is not on the page. @param {boolean} [reads] */
export function hiddenContext(reads) {
  return contextOf(Object.assign(document.createElement("canvas"), { width: 1, height: 1 }), reads);
}

/** Return canvas pixels in one of CSS. @param {number} [most] */
export function density(most = 2) {
  return Math.min(most, devicePixelRatio || 1);
}

/** Return whether the size changed, which clears the canvas. @param {HTMLCanvasElement} canvas @param {number} width @param {number} height canvas pixels */
export function resize(canvas, width, height) {
  const [w, h] = [width, height].map((side) => Math.max(1, Math.round(side)));
  if (canvas.width === w && canvas.height === h) return false;
  Object.assign(canvas, { width: w, height: h });
  return true;
}

/**
 * Draw a path over a wider one around it, so that it is seen on any picture.
 * @param {CanvasRenderingContext2D} context @param {Path2D} path @param {number} thick in pixels of the screen @param {string} [ink]
 * @param {number} [unit] the context's pixels in one of the screen @param {number} [more] by which the one around it is wider
 */
export function haloed(context, path, thick, ink = "#fff", unit = 1, more = 1.75) {
  for (const [strokeStyle, wide] of /** @type {[string, number][]} */ ([["rgba(20, 20, 20, 0.75)", thick + more], [ink, thick]])) {
    Object.assign(context, { strokeStyle, lineWidth: wide * unit });
    context.stroke(path);
  }
}

/**
 * Draw a line by hand, or the dot where a hand went down.
 * @param {CanvasRenderingContext2D} context @param {number[]} points x, y, x, y, ... in shares of the canvas @param {number} thick in its pixels
 */
export function drawStroke(context, points, thick) {
  const { width, height } = context.canvas;
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = Math.max(1, thick);
  context.beginPath();
  if (points.length === 2) {
    // A line of no length would not be drawn.
    context.arc(points[0] * width, points[1] * height, context.lineWidth / 2, 0, 2 * Math.PI);
    return context.fill();
  }
  for (let i = 0; i < points.length; i += 2) context.lineTo(points[i] * width, points[i + 1] * height);
  context.stroke();
}

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
