import assert from "node:assert/strict";
import test from "node:test";

import { createPrefetch } from "../../sightglass/components/viewer/bridge.js";

class Input extends EventTarget {
  type = "file";

  /** @param {File[]} files */
  constructor(files) {
    super();
    this.files = files;
  }
}

/** @param {(taken: ReturnType<typeof createPrefetch>, give: (...files: File[]) => void, closed: string[], end: () => void) => Promise<void>} act */
async function inPage(act) {
  const page = new EventTarget(), gone = new AbortController(), closed = /** @type {string[]} */ ([]);
  const decode = async (/** @type {File} */ file) => ({ name: file.name, close: () => closed.push(file.name) });
  Object.assign(globalThis, { window: page, HTMLInputElement: Input, createImageBitmap: decode });
  const give = (/** @type {File[]} */ ...files) => {
    page.dispatchEvent(Object.defineProperty(new Event("change"), "target", { value: new Input(files) }));
  };
  await act(createPrefetch(gone.signal), give, closed, () => gone.abort());
}

const bytes = (/** @type {number[]} */ ...values) => Uint8Array.from(values);
const jpeg = (/** @type {string} */ called, /** @type {number[]} */ ...values) =>
  new File([bytes(...values)], called, { type: "image/jpeg" });

test("what comes back as other bytes is not taken for it, and nothing stays in memory", () =>
  inPage(async (taken, give, closed, end) => {
    give(jpeg("other", 1, 2, 3));
    assert.equal(await taken(bytes(1, 2, 4)), null);
    give(jpeg("replaced", 1));
    give(jpeg("kept", 2));
    end();
    await new Promise((done) => {
      setTimeout(done);
    });
    assert.deepEqual(closed, ["other", "replaced", "kept"]);
  }));
