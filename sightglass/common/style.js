// How a map is drawn: names, defaults, choices and bounds. JSON after each "=": `style.py` reads it for Python.

/**
 * @typedef {"overlay"|"blend"|"map"|"contour"|"spotlight"|"picture"} Mode  blend: the whole picture coloured, as evenly as `alpha`
 * @typedef {"auto"|"single"|"beside"} Layout  where the plain picture is: auto: beside a portrait, where there is room
 * @typedef {"auto"|"own"|"shared"} Scale  1 is each map's own maximum, or that of all the maps; auto: as the page has it
 * @typedef {{mode: Mode, layout: Layout, alpha: number, colormap: string, threshold: number, scale: Scale,
 *   cells: boolean, boxes: string, outlines: boolean}} Style
 */

/** @type {Style} alpha: opacity where the map is highest, of a blend everywhere; boxes: #rrggbb of the outlines, which are boxes, joints and lines */
export const DEFAULTS = {
  "mode": "overlay",
  "layout": "auto",
  "alpha": 0.8,
  "colormap": "inferno",
  "threshold": 0.0,
  "scale": "auto",
  "cells": false,
  "boxes": "#ffffff",
  "outlines": true
};

/**
 * An overlay has no colour below `clear` of the scale and all of its opacity from `full` on; the share of the colormap is the
 * level ** `rise`. At an opacity of 1 the picture loses its own colours where their hue is within `near` degrees of the map's, and
 * keeps them from `far` on; of the map's colours those count whose channels differ by `chroma`, of 255. Where there is no map it
 * keeps `bright` of its brightness, and `unseen` of that outside what the model saw.
 * A line leaves out regions below `region` of the map's area. Sentences name the colour of the level `named`, in all modes.
 */
export const OVERLAY = { "clear": 0.2, "full": 0.55, "rise": 1.5, "near": 15, "far": 45, "chroma": 40, "bright": 0.9, "unseen": 0.85, "region": 0.01, "named": 0.95 };

/**
 * Of an overlay's colour c, 0..1, black in the picture becomes `dark` c ** `deepen` and white 1 - (1 - c) ** `lighten`, so that the
 * picture's detail remains, and the weakest colours are seen on black. Each is given at the level 0 and at 1, and is even between.
 */
export const TINT = { "dark": [1, 0.5], "deepen": [0.4, 3], "lighten": [1, 2.7] };

/**
 * Shares of a colormap at which the colours of an overlay begin, so that the weakest are not dark, and end, so that the
 * strongest are not pale; of `others` they end with the colormap.
 * @type {Record<string, number[]>}
 */
export const ENDS = { "inferno": [0.3, 0.83], "others": [0.25, 1] };

/**
 * Colours of a signed map or a difference, from 0 to what raises, or lowers, most, over a light and over a dark ground: points of straight
 * lines in CIELAB to ends of lightness 46 and chroma 66, so that equal steps of the map look equal, whichever way.
 * @type {Record<"light"|"dark", Record<"raises"|"lowers", number[][]>>}
 */
export const SIGNED = {
  "light": {
    "raises": [[228, 228, 228], [229, 208, 203], [228, 188, 178], [225, 168, 153], [221, 148, 130], [216, 128, 106], [210, 108, 84], [202, 87, 62], [194, 64, 40]],
    "lowers": [[228, 228, 228], [210, 212, 227], [191, 195, 226], [171, 179, 225], [150, 164, 224], [128, 149, 222], [103, 134, 220], [72, 119, 218], [10, 106, 216]]
  },
  "dark": {
    "raises": [[48, 48, 48], [67, 52, 48], [86, 55, 47], [103, 58, 46], [121, 60, 45], [139, 62, 44], [157, 63, 43], [175, 64, 41], [194, 64, 40]],
    "lowers": [[48, 48, 48], [53, 55, 67], [56, 61, 86], [57, 68, 107], [57, 75, 128], [54, 83, 149], [49, 90, 171], [38, 98, 193], [10, 106, 216]]
  }
};

/** What a sentence calls the strongest place of a map by its mode, where that is no colour. @type {Record<string, string>} */
export const COLOURLESS = { "contour": "the inside of the lines", "spotlight": "the bright part", "picture": "the map" };

/** Names of hues, and the degrees from which each is called so. */
export const HUE_NAMES = {
  "from": [0, 15, 45, 70, 165, 200, 250, 290, 330],
  "names": ["red", "orange", "yellow", "green", "turquoise", "blue", "violet", "magenta", "red"]
};

/** @type {{mode: Mode[], layout: Layout[], scale: Scale[]}} */
export const CHOICES = {
  "mode": ["overlay", "blend", "map", "contour", "spotlight", "picture"],
  "layout": ["auto", "single", "beside"],
  "scale": ["auto", "own", "shared"]
};
