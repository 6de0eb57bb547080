// The component: what Streamlit calls.

import { component, find, onBroadcast, onResize } from "../../browser/component.js";
import { Bridge } from "./bridge.js";
import { Display } from "./display.js";
import { Input } from "./input.js";
import { Painter } from "./painter.js";
import { Store } from "./store.js";

/** @param {HTMLElement} root @param {AbortSignal} signal */
function mount(root, signal) {
  const store = new Store((done) => {
    painter.redraw(false);
    if (done) bridge.sendRegion();
  }, (xyxy) => bridge.ask(xyxy));
  const painter = new Painter(root, store, (rect) => bridge.requestDetail(rect));
  const display = new Display(root, store, painter);
  const bridge = new Bridge(root, signal, store, painter, display);
  const input = new Input(root, signal, store, painter, display, bridge);
  onBroadcast("ask-view", () => bridge.announce(), signal);
  onBroadcast("response", (response) => bridge.receive(response), signal);
  onBroadcast("texts", (texts) => bridge.takeTexts(texts), signal);
  onBroadcast("export", (wanted) => input.answer(wanted), signal);
  let room = 0;
  onResize(root, () => {
    const now = find(root, ".panels").clientWidth;
    if (now === room || !store.head.id) return;
    room = now;
    display.arrange();
  }, signal);
  signal.addEventListener("abort", () => {
    painter.stop();
    store.picture?.close();
    for (const filled of [".panels", ".colormap"]) find(root, filled).replaceChildren();
  });

  /** @param {import("../../browser/component.js").Given<import("./store.js").Head>} given */
  return ({ data, blobs, setStateValue, setTriggerValue }) => {
    store.send = { setStateValue, setTriggerValue };
    bridge.show(data, blobs);
  };
}

export default component(".viewer", mount);
