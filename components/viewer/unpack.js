// What Python sends: [u32 length][JSON, padded to 4][blob][blob]..., little-endian.

/** @param {Uint8Array} data @returns {{head: any, blobs: Uint8Array[]}} the blobs are views, nothing is copied */
export function unpack(data) {
  const length = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length)));
  let at = 4 + length;
  const blobs = head.sizes.map((/** @type {number} */ size) => data.subarray(at, (at += size)));
  return { head, blobs };
}

/** @param {Uint8Array} blob deflated uint16 @returns {Promise<Uint16Array>} */
export async function inflate(blob) {
  const stream = new Blob([/** @type {BlobPart} */ (blob)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint16Array(await new Response(stream).arrayBuffer());
}

/**
 * The grids that lie one after another in `steps`, each row as differences: summed up in place.
 * @param {Uint16Array} steps @param {number[][]} shapes rows and columns @returns {Uint16Array[]} views
 */
export function grids(steps, shapes) {
  let at = 0;
  return shapes.map(([h, w]) => {
    const grid = steps.subarray(at, (at += h * w));
    for (let y = 0, i = 0; y < h; y++) {
      for (let x = 0, sum = 0; x < w; x++, i++) grid[i] = sum = (sum + grid[i]) & 65535;
    }
    return grid;
  });
}

/** @param {string} text base64 @returns {Uint8Array} */
export function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
