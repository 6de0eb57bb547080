// Colours for hidden pixels from those around them, as the server computes them, fast enough to follow a brush.

/** Rounds in which each hidden pixel becomes the mean of its neighbours, at each level from coarse to fine. */
const ROUNDS = 6;

/**
 * Fill the hidden pixels in place.
 * @param {Uint8ClampedArray} rgba @param {Uint8Array} hidden 1 where hidden @param {number} width @param {number} height
 */
export function infill(rgba, hidden, width, height) {
  const total = new Float32Array(3 * width * height), weight = new Float32Array(width * height);
  let anything = false;
  for (let i = 0; i < weight.length; i++) {
    weight[i] = hidden[i] ? 0 : 1;
    anything ||= weight[i] > 0;
    for (let c = 0; c < 3; c++) total[3 * i + c] = hidden[i] ? 0 : rgba[4 * i + c];
  }
  const out = anything ? filled(total, weight, width, height) : meanOf(rgba, weight.length);
  for (let i = 0; i < weight.length; i++) if (hidden[i]) for (let c = 0; c < 3; c++) rgba[4 * i + c] = out[3 * i + c];
}

/** @param {Uint8ClampedArray} rgba @param {number} count */
function meanOf(rgba, count) {
  const out = new Float32Array(3 * count), sum = [0, 0, 0];
  for (let i = 0; i < count; i++) for (let c = 0; c < 3; c++) sum[c] += rgba[4 * i + c] / count;
  return out.map((_, i) => sum[i % 3]);
}

/**
 * Return colours without holes: each hole from the level below, which has half the pixels a side, and then smoothed.
 * @param {Float32Array} total @param {Float32Array} weight @param {number} width @param {number} height
 */
function filled(total, weight, width, height) {
  const out = new Float32Array(total.length), holes = [];
  for (let i = 0; i < weight.length; i++) {
    if (weight[i] > 0) for (let c = 0; c < 3; c++) out[3 * i + c] = total[3 * i + c] / weight[i];
    else holes.push(i);
  }
  if (!holes.length || weight.length === 1) return out;
  const w = Math.ceil(width / 2), h = Math.ceil(height / 2);
  const sums = new Float32Array(3 * w * h), weights = new Float32Array(w * h);
  for (let i = 0; i < weight.length; i++) {
    const at = (Math.floor(i / width) >> 1) * w + ((i % width) >> 1);
    weights[at] += weight[i];
    for (let c = 0; c < 3; c++) sums[3 * at + c] += total[3 * i + c];
  }
  const below = filled(sums, weights, w, h);
  for (const i of holes) {
    const at = (Math.floor(i / width) >> 1) * w + ((i % width) >> 1);
    for (let c = 0; c < 3; c++) out[3 * i + c] = below[3 * at + c];
  }
  for (let round = 0; round < ROUNDS; round++) for (const i of holes) relax(out, i, width, height);
  return out;
}

/** @param {Float32Array} out @param {number} i @param {number} width @param {number} height */
function relax(out, i, width, height) {
  const x = i % width, y = Math.floor(i / width), near = [];
  if (x > 0) near.push(i - 1);
  if (x < width - 1) near.push(i + 1);
  if (y > 0) near.push(i - width);
  if (y < height - 1) near.push(i + width);
  for (let c = 0; c < 3; c++) {
    let sum = 0;
    for (const j of near) sum += out[3 * j + c];
    out[3 * i + c] = sum / near.length;
  }
}
