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

/** @param {string} text base64 @returns {Uint8Array} */
export function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
