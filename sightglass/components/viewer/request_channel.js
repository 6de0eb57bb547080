// Pass the viewer's requests to Python, and the responses back. It is in a fragment of its own: nothing else reruns.

import { broadcast, requestChannel } from "../../browser/component.js";

let last = "";

/** @param {{head: import("../../browser/component.js").Response["head"], blobs: Uint8Array[]}} given */
function hear({ head, blobs }) {
  // The same file is not saved again because a theme changed.
  if (!head.id || head.id === last) return;
  last = head.id;
  broadcast("response", { head, blob: blobs[0] });
}

export default requestChannel("request", ({ setStateValue, setTriggerValue }, { name, value }) =>
  (name === "file" ? setTriggerValue : setStateValue)(name, value), hear);
