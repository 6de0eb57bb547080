// Pass the viewer the sentences about its maps. Python sends them later, so that the payload with the maps is unchanged.

import { channel } from "../../browser/component.js";

// A viewer asks when it was mounted, and when it has unpacked new maps.
export default channel("texts", "ask");
