/** Pack a header as Python does, without blobs. */
export function packed(head) {
  const text = new TextEncoder().encode(JSON.stringify({ ...head, sizes: [] })), data = new Uint8Array(4 + text.length);
  new DataView(data.buffer).setUint32(0, text.length, true);
  data.set(text, 4);
  return data;
}
