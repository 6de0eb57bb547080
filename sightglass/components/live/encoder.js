// Encode frames as JPEG in a worker: on the page's own thread a browser waits with that until it has nothing else to do.

const WORK = `
const canvas = new OffscreenCanvas(1, 1), context = canvas.getContext("2d", { willReadFrequently: true });
onmessage = async ({ data: { number, width, height, pixels, quality } }) => {
  let jpeg = null;
  try {
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.putImageData(new ImageData(new Uint8ClampedArray(pixels), width, height), 0, 0);
    jpeg = await (await canvas.convertToBlob({ type: "image/jpeg", quality })).arrayBuffer();
  } catch {}
  postMessage({ number, jpeg }, jpeg ? [jpeg] : []);
};`;

export class Encoder {
  #address = URL.createObjectURL(new Blob([WORK], { type: "text/javascript" }));
  #worker = new Worker(this.#address);

  /** @param {(number: number, jpeg: ArrayBuffer|null) => void} done */
  constructor(done) {
    this.#worker.addEventListener("message", ({ data: { number, jpeg } }) => done(number, jpeg));
  }

  /** @param {number} number @param {ImageData} frame @param {number} quality 0..1 */
  encode(number, { width, height, data }, quality) {
    const pixels = data.slice().buffer;
    this.#worker.postMessage({ number, width, height, pixels, quality }, [pixels]);
  }

  stop() {
    this.#worker.terminate();
    URL.revokeObjectURL(this.#address);
  }
}
