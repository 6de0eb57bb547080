// Draw contour lines: how far each pixel is covered follows from its distance to the nearest segment.
// The same arithmetic as explain/rendering/contours.py, so that a file from the server has the very same lines.

const HALO_RGB = 20;
const HALO_ALPHA = 0.75;
const HALO_MORE = 1.75;

/** @typedef {{halo: Uint8Array, line: Uint8Array, box: [number, number, number, number]}} Planes */

/** Create empty planes. @param {number} width @param {number} height @param {Planes|null} [used] to reuse @returns {Planes} */
export function planes(width, height, used) {
  if (used?.halo.length === width * height) {
    used.halo.fill(0);
    used.line.fill(0);
    return { ...used, box: [width, height, 0, 0] };
  }
  return { halo: new Uint8Array(width * height), line: new Uint8Array(width * height), box: [width, height, 0, 0] };
}

/**
 * Add segments x0, y0, x1, y1, ... in pixels, their line `thick` pixels wide and its halo somewhat more.
 * @param {Planes} into @param {number} width @param {number} height @param {ArrayLike<number>} segments
 * @param {number} thick @param {number} unit pixels in one of the screen, for the halo
 */
export function cover({ halo, line, box }, width, height, segments, thick, unit) {
  const half = thick / 2, wide = half + (HALO_MORE * unit) / 2, reach = wide + 0.5;
  for (let s = 0; s < segments.length; s += 4) {
    const ax = segments[s], ay = segments[s + 1], dx = segments[s + 2] - ax, dy = segments[s + 3] - ay;
    const left = Math.max(0, Math.ceil(Math.min(ax, ax + dx) - reach - 0.5));
    const right = Math.min(width - 1, Math.floor(Math.max(ax, ax + dx) + reach - 0.5));
    const top = Math.max(0, Math.ceil(Math.min(ay, ay + dy) - reach - 0.5));
    const bottom = Math.min(height - 1, Math.floor(Math.max(ay, ay + dy) + reach - 0.5));
    if (left > right || top > bottom) continue;
    box[0] = Math.min(box[0], left);
    box[1] = Math.min(box[1], top);
    box[2] = Math.max(box[2], right + 1);
    box[3] = Math.max(box[3], bottom + 1);
    const long = dx * dx + dy * dy;
    for (let y = top; y <= bottom; y++) {
      const py = y + 0.5 - ay;
      for (let x = left, i = y * width + left; x <= right; x++, i++) {
        const px = x + 0.5 - ax;
        const t = long > 0 ? Math.min(1, Math.max(0, (px * dx + py * dy) / long)) : 0;
        const ex = px - t * dx, ey = py - t * dy, away = Math.sqrt(ex * ex + ey * ey);
        if (away >= reach) continue;
        const c = Math.floor(255 * Math.min(1, wide + 0.5 - away) + 0.5);
        if (c > halo[i]) halo[i] = c;
        const d = Math.floor(255 * Math.min(1, Math.max(0, half + 0.5 - away)) + 0.5);
        if (d > line[i]) line[i] = d;
      }
    }
  }
}

/**
 * Draw what is covered into `out` (RGBA), within the rectangle: dark halo first, white line over it.
 * @param {Uint8ClampedArray} out @param {number} width @param {Planes} drawn @param {number[]} within
 */
export function stroke(out, width, { halo, line, box }, [x0, y0, x1, y1]) {
  const left = Math.max(x0, box[0]), right = Math.min(x1, box[2]), bottom = Math.min(y1, box[3]);
  for (let y = Math.max(y0, box[1]); y < bottom; y++) {
    for (let i = y * width + left, end = y * width + right; i < end; i++) {
      if (!halo[i]) continue;
      const a = (HALO_ALPHA * halo[i]) / 255, b = line[i] / 255;
      for (let p = 4 * i; p < 4 * i + 3; p++) out[p] = (out[p] * (1 - a) + HALO_RGB * a) * (1 - b) + 255 * b;
    }
  }
}
