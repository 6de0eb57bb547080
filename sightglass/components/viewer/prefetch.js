// Decode a picture while it is being uploaded: it usually comes back as the same bytes.

/** @typedef {{file: File, bytes: Promise<Uint8Array>, bitmap: Promise<ImageBitmap>}} Pending */

/** Bytes: larger pictures come back smaller. */
const MAX_BYTES = 1.5e6;

/** @param {Uint8Array} a @param {Uint8Array} b of the same length */
function same(a, b) {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** @param {Pending|null} pending */
function close(pending) {
  pending?.bitmap.then((bitmap) => bitmap.close(), () => {});
}

/** @param {AbortSignal} signal */
export function createPrefetch(signal) {
  /** @type {Pending|null} */
  let coming = null;

  // Every picture goes through an uploader, also what is dropped or pasted.
  window.addEventListener("change", ({ target }) => {
    if (!(target instanceof HTMLInputElement) || target.type !== "file") return;
    // Of several files the last is shown.
    const file = [...(target.files ?? [])].at(-1);
    close(coming);
    coming = null;
    if (file?.type !== "image/jpeg" || file.size > MAX_BYTES) return;
    const bytes = file.arrayBuffer().then((buffer) => new Uint8Array(buffer)), bitmap = createImageBitmap(file);
    coming = { file, bytes, bitmap };
    // A failure matters only once the picture is needed.
    for (const part of [bytes, bitmap]) part.catch(() => {});
  }, { signal, capture: true });
  signal.addEventListener("abort", () => close(coming));

  /**
   * Return the picture decoded from these bytes, if it was: the caller then owns it.
   * @param {Uint8Array} wanted @returns {Promise<ImageBitmap|null>}
   */
  return async function prefetched(wanted) {
    const pending = coming;
    // From here on this call owns it.
    coming = null;
    try {
      if (pending?.file.size === wanted.length && same(await pending.bytes, wanted)) return await pending.bitmap;
    } catch {
      // The caller decodes it instead.
    }
    // Another picture came: this one resized or rotated, or an unrelated one.
    close(pending);
    return null;
  };
}
