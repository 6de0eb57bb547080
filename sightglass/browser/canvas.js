// Canvases: their context, their size on dense screens, lines drawn by hand.

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
