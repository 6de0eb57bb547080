// How a map is drawn: names, defaults, choices and bounds. JSON after each "=": `style.py` reads it for Python.

/**
 * @typedef {"overlay"|"map"|"contour"|"spotlight"|"picture"} Mode
 * @typedef {"auto"|"single"|"beside"|"swipe"} Layout  where the plain picture is: auto: beside a portrait, where there is room
 * @typedef {"own"|"shared"|"fixed"} Scale  1 is each map's own maximum, that of all the maps, or the raw value `top`
 * @typedef {{mode: Mode, layout: Layout, split: number, alpha: number, colormap: string, threshold: number, scale: Scale,
 *   top: number, even: boolean, invert: boolean, cells: boolean, boxes: boolean}} Style
 */

/** @type {Style} alpha: opacity where the map is highest */
export const DEFAULTS = {
  "mode": "overlay",
  "layout": "auto",
  "split": 0.5,
  "alpha": 0.9,
  "colormap": "inferno",
  "threshold": 0.0,
  "scale": "own",
  "top": 1,
  "even": false,
  "invert": false,
  "cells": false,
  "boxes": true
};

/** Opacity where it is meant to differ: the same everywhere (overlays in files), and of two compared pictures. */
export const OPACITY = { "even": 0.5, "pair": 0.85 };

/** @type {{mode: Mode[], layout: Layout[], scale: Scale[]}} */
export const CHOICES = {
  "mode": ["overlay", "map", "contour", "spotlight", "picture"],
  "layout": ["auto", "single", "beside", "swipe"],
  "scale": ["own", "shared", "fixed"]
};

/** @type {Record<string, number>} the highest number of each name; of all others 1 */
export const LIMITS = { "top": 1e9, "zoom": 16 };
