// Pass Python the disc that hides a part of the picture, and the viewer what was answered. It is in a fragment of its own.

import { broadcast, requestChannel } from "../../browser/component.js";

/** @type {(given: {head: import("../../browser/component.js").Hidden, blobs: Uint8Array[]}) => void} */
const hear = ({ head, blobs }) => broadcast("hidden", { ...head, blob: blobs[0] });

export default requestChannel("hide", ({ setTriggerValue }, disc) => setTriggerValue("disc", disc), hear);
