// Runs in every measured page before its own scripts: clocks and counters, so that no time includes the connection.
(() => {
  const LIMIT_MS = 60000, QUIET_MS = 400, ROWS = [0.25, 0.4, 0.5, 0.6, 0.75];
  const sent = [], received = [];
  const now = () => performance.now();
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  const bytes = (data) => data.byteLength ?? data.size ?? data.length;
  window.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => received.push({ at: now(), bytes: bytes(data) }));
    }
    send(data) {
      sent.push({ at: now(), bytes: bytes(data) });
      return super.send(data);
    }
  };
  const state = () => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState;

  function all(selector, root = document) {
    const found = [...root.querySelectorAll(selector)];
    for (const node of root.querySelectorAll("*")) if (node.shadowRoot) found.push(...all(selector, node.shadowRoot));
    return found;
  }
  function visible(node) {
    return Boolean(node && node.getClientRects().length && getComputedStyle(node).visibility !== "hidden");
  }
  const one = (selector) => all(selector).find(visible);

  let known = [];
  function canvases() {
    if (!known.length || !known.every((canvas) => canvas.isConnected && canvas.offsetParent)) {
      known = all(".viewer .panel canvas.base").filter((canvas) => canvas.offsetParent);
    }
    return known;
  }
  /** A number for what a canvas shows on some of its rows; another number after every visible change. */
  function print(canvas) {
    const { width, height } = canvas, context = canvas.getContext("2d");
    let hash = (2166136261 ^ width) >>> 0;
    for (const share of ROWS) {
      const { data } = context.getImageData(0, Math.floor(share * height), width, 1);
      for (const word of new Uint32Array(data.buffer)) hash = Math.imul(hash ^ word, 16777619) >>> 0;
    }
    return hash;
  }
  const map = () => canvases().at(-1);
  const seen = () => (map() ? print(map()) : 0);

  /** Resolves with what `test` returns, tried at every frame and between frames, as soon as that is truthy. */
  function until(test) {
    const start = now();
    return new Promise((resolve, reject) => {
      let done = false;
      const look = () => {
        if (done) return;
        try {
          const found = test();
          done = Boolean(found);
          if (found) resolve(found);
          else if (now() - start > LIMIT_MS) throw new Error(`nothing was seen within ${LIMIT_MS} ms`);
        } catch (error) {
          done = true;
          reject(error);
        }
      };
      const frame = () => {
        look();
        if (!done) setTimeout(look), requestAnimationFrame(frame);
      };
      frame();
    });
  }

  /** Draws per panel and `input` events from now on, until `stop`. */
  function watch() {
    const draws = new Map(), inputs = [], last = new Map();
    let on = true;
    const onInput = () => inputs.push(now());
    window.addEventListener("input", onInput, true);
    for (const canvas of canvases()) last.set(canvas, print(canvas)), draws.set(canvas, []);
    const frame = () => {
      if (!on) return;
      for (const [canvas, shown] of last) {
        const hash = print(canvas);
        if (hash !== shown) last.set(canvas, hash), draws.get(canvas).push(now());
      }
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    return (bench.stop = () => {
      on = false;
      window.removeEventListener("input", onInput, true);
      return { draws: [...draws.values()], inputs };
    });
  }

  const TESTS = {
    canvas() {
      const canvas = map(), before = print(canvas);
      return () => (map() !== canvas || print(canvas) !== before) && { at: now() };
    },
    bars() {
      const bars = all(".rows .now i"), lengths = () => bars.map(({ style }) => style.width).join(), before = lengths();
      return () => lengths() !== before && { at: now() };
    },
    /** The map of a new picture: the viewer says that it has it, and the canvas is no longer what it was then. */
    shown() {
      let viewer = null;
      const id = () => {
        // Searching the page for it twice a frame took a sixth of the time that was measured.
        if (!viewer?.isConnected || !visible(viewer)) viewer = all(".viewer").find(visible);
        return viewer?.dataset.shown;
      };
      let before = id(), switched = 0, at = 0;
      const old = seen();
      return () => {
        const shown = id();
        if (shown && shown !== before) [before, switched, at] = [shown, now(), 0];
        if (switched && !at && seen() !== old) at = now();
        return at && state() !== "running" && now() - at > QUIET_MS && { at, switched };
      };
    },
  };
  const headline = () => all("h2").filter(visible).map((h) => h.textContent).join(" ");

  /** From the next event of a kind to what `test` waits for, with everything that crossed the socket between. */
  function arm(type, test) {
    const look = TESTS[test]();
    const armed = new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error(`no ${type} event came`)), LIMIT_MS);
      window.addEventListener(type, (event) => {
        const handled = now();
        // When it was done by hand, and not when the page had time for it.
        const start = event.isTrusted && handled - event.timeStamp < 5000 ? event.timeStamp : handled;
        resolve(start);
      }, { capture: true, once: true });
    });
    bench.armed = armed.then(async (start) => {
      const found = await until(look);
      const since = ({ at }) => at >= start;
      const uploads = performance.getEntriesByType("resource")
        .filter(({ name, startTime }) => name.includes("/upload_file/") && startTime >= start);
      const crossed = (list) => list.filter(since).map((one) => [one.at - start, one.bytes]);
      return {
        ms: found.at - start,
        switched: found.switched - start,
        uploaded: uploads.length ? Math.max(...uploads.map((entry) => entry.responseEnd)) - start : null,
        sent: crossed(sent),
        received: crossed(received),
      };
    });
    // Awaited later: until then a failure is unhandled.
    bench.armed.catch(() => {});
  }

  const PLACES = {
    upload: () => Boolean(one('.st-key-picture-bar [data-testid="stFileUploaderDropzone"] button')),
    headline: () => headline().length > 0,
    uploader: () => Boolean(one("h1") && one('[data-testid="stFileUploader"]')),
    shown: () => Boolean(one(".viewer[data-shown]") && map()),
  };
  /** Milliseconds since 1970 at which each place was first on the screen. */
  async function places(names) {
    const found = {};
    await until(() => {
      for (const name of names) if (!found[name] && PLACES[name]()) found[name] = performance.timeOrigin + now();
      return names.every((name) => found[name]);
    });
    return found;
  }

  /** Width, height and width on the page of the map's canvas, when they change no more. */
  async function size() {
    let last = "", found = [];
    for (let same = 0; same < 3; await pause(50)) {
      const canvas = map();
      found = [canvas.width, canvas.height, canvas.getBoundingClientRect().width];
      same = String(found) === last ? same + 1 : 0;
      last = String(found);
    }
    return found;
  }

  const settled = () => {
    let since = now();
    return until(() => {
      if (state() === "running") since = now();
      return now() - since > QUIET_MS;
    });
  };
  const bench = { arm, canvases, places, settled, size, watch };
  window.bench = bench;
})();
