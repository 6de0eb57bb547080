// Pass the panel its curves. They come one by one, while the picture and the map's order are sent once.

import { channel } from "../../browser/component.js";

export default channel("proof", "ask-proof");
