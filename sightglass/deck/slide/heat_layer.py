"""A map as a transparent layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.explain.rendering import color_tables, contours
from sightglass.explain.rendering.render import fade, paint, samples
from sightglass.explain.rendering.style import Field, Style

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.deck import SceneMap, SceneView
    from sightglass.deck.slide.themes import ThemeName

_COLD = 48
"""Grey of a map alone below the threshold, as in the viewer in the dark."""


def heat_layer(
    given: SceneMap, view: SceneView, picture: NDArray[np.uint8], theme: ThemeName = "dark"
) -> NDArray[np.uint8]:
    """Return a map as uint8 (h, w, 4), RGBA, on its own grid, as the viewer draws it over the picture.

    `picture`: the pixels below it, uint8 (H, W, 3). What the model did not see of them is opaque, in grey that fades
    towards the slide's ground.
    """
    values, height, width = given.values, *given.values.shape
    if given.signed:
        return _signed_layer(given, view, picture, theme)
    style = replace(view.style, mode="overlay") if view.mode == "picture" else view.style
    colours, shares = _table(style)
    out = np.dstack([colours[values], np.rint(255 * shares[values]).astype(np.uint8)])
    x0, y0, x1, y1 = given.seen or (0.0, 0.0, 1.0, 1.0)
    seen = round(x0 * width), round(y0 * height), max(1, round(x1 * width)), max(1, round(y1 * height))
    field = Field((values / 255).astype(np.float32), (0.0, 0.0, float(width), float(height)), seen)
    planes = contours.planes(samples(field.values), field, style, (height, width), max(1.0, max(height, width) / 500))
    if planes is not None:
        _stroke(out, *planes)
    outside = np.ones((height, width), bool)
    outside[seen[1] : seen[3], seen[0] : seen[2]] = False
    if outside.any():
        below = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        out[outside] = np.dstack([fade(np.asarray(below, np.uint8), theme), np.full((height, width), 255, np.uint8)])[
            outside
        ]
    return out


def _signed_layer(given: SceneMap, view: SceneView, picture: NDArray[np.uint8], theme: ThemeName) -> NDArray[np.uint8]:
    """Return a signed map with the picture below it, opaque: that is grey there."""
    (height, width), (x0, y0, x1, y1) = given.values.shape, given.seen or (0.0, 0.0, 1.0, 1.0)
    seen = round(x0 * width), round(y0 * height), max(1, round(x1 * width)), max(1, round(y1 * height))
    values = np.clip((given.values.astype(np.float32) - 128) / 127, -1, 1).astype(np.float32)
    below = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    style = replace(view.style, mode="overlay") if view.mode == "picture" else view.style
    drawn = paint(below, Field(values, (0.0, 0.0, float(width), float(height)), seen, "signed"), style, unseen=theme)
    return np.dstack([drawn, np.full((height, width), 255, np.uint8)])


def _table(style: Style) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the colour (256, 3) and the opacity (256,) of each level, from what the viewer multiplies and adds."""
    table = color_tables.of("heat", style, _COLD)
    if table is None:
        return np.zeros((256, 3), np.uint8), np.zeros(256, np.float32)
    keep, add = (np.asarray(part, np.float32) for part in table)
    shares = 1 - keep.reshape(256)
    colours = add.reshape(256, 3) / np.maximum(shares, 1e-6)[:, None]
    return np.rint(colours.clip(0, 255)).astype(np.uint8), shares


def _stroke(out: NDArray[np.uint8], halo: NDArray[np.uint8], line: NDArray[np.uint8]) -> None:
    """Lay a dark halo and a white line over a layer, in place."""
    for plane, grey, most in ((halo, contours.DARK, 0.75), (line, contours.WHITE, 1.0)):
        over = most * plane.astype(np.float32)[..., None] / 255
        under = out[..., 3:].astype(np.float32) / 255
        alpha = over + under * (1 - over)
        mixed = (grey * over + out[..., :3] * under * (1 - over)) / np.maximum(alpha, 1e-6)
        out[..., :3] = np.rint(mixed)
        out[..., 3:] = np.rint(255 * alpha)
