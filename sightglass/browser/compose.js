// Which cells of the picture are hidden at a step, and what is drawn there.

/** Levels of the order's bytes for each share of one percent. */
const PER_PERCENT = 2;

/**
 * Write the opacity of the filling over each cell: opaque where it is hidden.
 * @param {Uint8Array} order 0 the hottest @param {number} percent of the picture, the hottest first @param {boolean} keeps
 * only those are shown, instead of only those hidden @param {Uint8ClampedArray} pixels RGBA, whose alpha is written
 */
export function mask(order, percent, keeps, pixels) {
  const end = PER_PERCENT * percent;
  for (let i = 0; i < order.length; i++) pixels[4 * i + 3] = order[i] < end !== keeps ? 255 : 0;
}

/** The largest size of that shape in a room. @param {number[]} size @param {number} width @param {number} height */
export function fitted([w, h], width, height) {
  const scale = Math.min(width / w, height / h);
  return [Math.max(1, Math.round(w * scale)), Math.max(1, Math.round(h * scale))];
}

/** Draws a picture whose hottest, or all other, places are replaced. */
export class Composer {
  #veil = document.createElement("canvas");
  #mask = document.createElement("canvas");

  /**
   * @param {HTMLCanvasElement} canvas @param {ImageBitmap} picture @param {ImageBitmap} blurred
   * @param {Uint8Array} order @param {number[]} grid rows and columns of it @param {number[]} mean colour
   */
  constructor(canvas, picture, blurred, order, grid, mean) {
    this.canvas = canvas;
    this.picture = picture;
    this.blurred = blurred;
    this.order = order;
    this.mean = mean;
    [this.#mask.height, this.#mask.width] = grid;
    this.cells = new ImageData(grid[1], grid[0]);
  }

  /** @param {number} percent @param {boolean} keeps @param {string} filling */
  draw(percent, keeps, filling) {
    const { width, height } = this.canvas;
    mask(this.order, percent, keeps, this.cells.data);
    context(this.#mask).putImageData(this.cells, 0, 0);
    const veil = this.#veil, over = context(veil);
    // A new size clears it too.
    [veil.width, veil.height] = [width, height];
    over.drawImage(this.#mask, 0, 0, width, height);
    over.globalCompositeOperation = "source-in";
    if (filling === "mean") {
      over.fillStyle = `rgb(${this.mean.join()})`;
      over.fillRect(0, 0, width, height);
    } else {
      over.imageSmoothingQuality = "high";
      over.drawImage(this.blurred, 0, 0, width, height);
    }
    const below = context(this.canvas);
    below.imageSmoothingQuality = "high";
    below.drawImage(this.picture, 0, 0, width, height);
    below.drawImage(veil, 0, 0);
  }
}

/** @param {HTMLCanvasElement} canvas */
function context(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}
