// The player in a file of its own: the page holds the scenes.

import { find } from "../../browser/component.js";
import { bytes, unpack } from "../../browser/unpack.js";
import { Stage } from "./stage.js";

const root = find(document, ".stage"), { head, blobs } = unpack(bytes(/** @type {string} */ (find(document, "#deck").textContent)));
root.classList.add("alone", "filling");
new Stage(root, new AbortController().signal).show({ data: head, blobs, setStateValue: () => {}, setTriggerValue: () => {} });
root.focus();
