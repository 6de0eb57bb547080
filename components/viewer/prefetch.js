// A picture that is just being given, decoded while it is on its way to the server: it comes back as the same bytes.

/** @typedef {{file: File, bytes: Promise<Uint8Array>, bitmap: Promise<ImageBitmap>}} Coming */

/** Bytes: what is larger comes back smaller than it went. */
const MOST = 1.5e6;

/** @param {Uint8Array} a @param {Uint8Array} b of the same length */
function same(a, b) {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** @param {Coming|null} foreseen */
function close(foreseen) {
  foreseen?.bitmap.then((bitmap) => bitmap.close(), () => {});
}

/** @param {AbortSignal} signal */
export function createAhead(signal) {
  /** @type {Coming|null} */
  let coming = null;

  // Every way in ends at an uploader: what is dropped or pasted is handed to one.
  window.addEventListener("change", ({ target }) => {
    if (!(target instanceof HTMLInputElement) || target.type !== "file") return;
    // Of several the last is chosen.
    const file = [...(target.files ?? [])].at(-1);
    close(coming);
    coming = null;
    if (file?.type !== "image/jpeg" || file.size > MOST) return;
    const bytes = file.arrayBuffer().then((buffer) => new Uint8Array(buffer)), bitmap = createImageBitmap(file);
    coming = { file, bytes, bitmap };
    // Whether it fails is of no interest before it is asked for.
    for (const part of [bytes, bitmap]) part.catch(() => {});
  }, { signal, capture: true });
  signal.addEventListener("abort", () => close(coming));

  /**
   * The picture that these bytes are, where it was foreseen: it is the caller's then.
   * @param {Uint8Array} wanted @returns {Promise<ImageBitmap|null>}
   */
  return async function taken(wanted) {
    const foreseen = coming;
    // Its one owner from here on, whoever asks meanwhile.
    coming = null;
    try {
      if (foreseen?.file.size === wanted.length && same(await foreseen.bytes, wanted)) return await foreseen.bitmap;
    } catch {
      // What cannot be read here may be read there.
    }
    // Another picture came: this one made smaller or turned, or one that was not waited for.
    close(foreseen);
    return null;
  };
}
