// Which cells of the picture are hidden at a step, and what is drawn there.

import { contextOf, hiddenContext } from "./canvas.js";

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

/** Draws a picture whose hottest, or all other, places are replaced. */
export class Composer {
  #veil = hiddenContext();

  /**
   * @param {HTMLCanvasElement} canvas @param {CanvasImageSource} picture @param {CanvasImageSource} blurred
   * @param {Uint8Array} order @param {number[]} grid rows and columns of it @param {number[]} mean colour
   */
  constructor(canvas, picture, blurred, order, grid, mean) {
    this.canvas = canvas;
    this.picture = picture;
    this.blurred = blurred;
    this.order = order;
    this.mean = mean;
    this.cells = new ImageData(grid[1], grid[0]);
    this.mask = hiddenContext(grid[1], grid[0]);
  }

  /** @param {number} percent @param {boolean} keeps @param {string} filling */
  draw(percent, keeps, filling) {
    const { width, height } = this.canvas;
    mask(this.order, percent, keeps, this.cells.data);
    this.mask.putImageData(this.cells, 0, 0);
    const over = this.#veil;
    // A new size clears it too.
    Object.assign(over.canvas, { width, height });
    over.drawImage(this.mask.canvas, 0, 0, width, height);
    over.globalCompositeOperation = "source-in";
    if (filling === "mean") {
      over.fillStyle = `rgb(${this.mean.join()})`;
      over.fillRect(0, 0, width, height);
    } else {
      over.imageSmoothingQuality = "high";
      over.drawImage(this.blurred, 0, 0, width, height);
    }
    const below = contextOf(this.canvas);
    below.imageSmoothingQuality = "high";
    below.drawImage(this.picture, 0, 0, width, height);
    below.drawImage(over.canvas, 0, 0);
  }
}
