// What Python sends: [u32 length][JSON, padded to 4][blob][blob]..., little-endian.

/**
 * Split what Python packed; the blobs are views, nothing is copied.
 * @template Head @param {Uint8Array} data @returns {{head: Head, blobs: Uint8Array[]}}
 */
export function unpack(data) {
  const length = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length)));
  let at = 4 + length;
  const blobs = head.sizes.map((/** @type {number} */ size) => data.subarray(at, (at += size)));
  return { head, blobs };
}

/**
 * Inflate without a Blob and a Response in between: on a busy page those are delayed.
 * @param {Uint8Array} blob deflated uint16 @param {number} count of them @returns {Promise<Uint16Array>}
 */
export async function inflate(blob, count) {
  const out = new Uint8Array(2 * count), { readable, writable } = new DecompressionStream("deflate");
  const writer = writable.getWriter(), reader = readable.getReader();
  // Errors in the bytes are reported by the reader.
  for (const written of [writer.write(/** @type {BufferSource} */ (blob)), writer.close()]) written.catch(() => {});
  let at = 0;
  /** @type {(step: ReadableStreamReadResult<Uint8Array>) => Promise<Uint16Array>} */
  const fill = async ({ done, value }) => {
    if (done) return new Uint16Array(out.buffer);
    out.set(value, at);
    at += value.length;
    return fill(await reader.read());
  };
  return fill(await reader.read());
}

/**
 * Return the grids that follow each other in `steps`, each row as differences. They are summed in place when first read:
 * of many maps only one is shown.
 * @param {Uint16Array} steps @param {number[][]} shapes rows and columns @returns {(() => Uint16Array)[]} views
 */
export function grids(steps, shapes) {
  let at = 0;
  return shapes.map(([h, w]) => {
    const grid = steps.subarray(at, (at += h * w));
    let summed = false;
    return () => {
      if (summed) return grid;
      for (let y = 0, i = 0; y < h; y++) {
        for (let x = 0, sum = 0; x < w; x++, i++) grid[i] = sum = (sum + grid[i]) & 65535;
      }
      summed = true;
      return grid;
    };
  });
}

/** @param {string} text base64 @returns {Uint8Array} */
export function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
