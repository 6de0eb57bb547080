"""Figure for a paper: picture, map, overlay.

It is drawn by matplotlib without its global state (no pyplot) and with its own font; the same explanation gives the
same bytes.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.explain.phrases import shorten
from sightglass.explain.picture.image import PNG_LEVEL
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import VIEWER_STYLE, Style, parse_color
from sightglass.report import charts
from sightglass.report.embedded_recipe import embed
from sightglass.report.view import reduce, require_map
from sightglass.report.views import map_view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sightglass.common.files import Json
    from sightglass.explain.rendering.style import Pixels
    from sightglass.explain.result import Result
    from sightglass.report.view import Box, Map, View

Format = Literal["png", "jpg", "svg", "pdf"]

MAX_SIDE = 1200
"""Pixels of a panel's longer side: more cannot be seen in print."""
MAX_NAMED = 30
"""Maximum number of boxes with names; of more only the outlines are drawn."""
_MARGIN, _GAP, _HEAD, _BAR, _LINE = 0.12, 0.14, 0.26, 0.62, 0.135  # inches
_SMALL, _TEXT = 7.0, 8.5  # points
_ENCODING: dict[str, Json] = {"png": {"compress_level": PNG_LEVEL}, "jpg": {"quality": 92, "subsampling": 0}}


def figure(
    explanation: Result, index: int = 0, *, format: Format = "png", look: Mapping[str, bool | float | str] | None = None
) -> bytes:
    """Return picture, heatmap and overlay as a figure with the recipe.

    `look`: settings of the viewer by name, of which it takes `colormap`, `alpha` (0..1), a blend and the boxes' colour;
    the file opens again with all of them. PNG and JPG carry the picture too (`embedded_recipe.encode`). Raises a
    Problem where there is no such map.

        result = Explainer("efficientnet-lite0")("bus.jpg")
        Path("bus.svg").write_bytes(figure(result, format="svg", look={"colormap": "viridis"}))
    """
    require_map(explanation, index)
    settings: dict[str, bool | float | str] = {"mode": "overlay", "colormap": VIEWER_STYLE.colormap}
    settings |= {"alpha": VIEWER_STYLE.alpha, **(look or {})}
    view, look_style = map_view(explanation, index), Style.of(settings)
    style = Style(**look_style.overlay, boxes=look_style.boxes)
    picture, item = explanation.image, view.pictures[0].map
    assert item is not None
    field = item.field(picture.width, picture.height)
    alone, over = (render.paint(picture.pixels, field, drawn) for drawn in (replace(style, mode="map"), style))
    panels = [reduce(panel, MAX_SIDE) for panel in (picture.pixels, alone, over)]
    data = charts.save(lambda: _draw_page(view, panels, style), view.caption, format, _ENCODING.get(format))
    return data if format in ("svg", "pdf") else embed(data, explanation, index, settings)


def _draw_page(view: View, pictures: list[Pixels], style: Style) -> Figure:
    """Lay out the page in inches, top down."""
    from matplotlib.figure import Figure

    picture, item = view.pictures[0], view.pictures[0].map
    assert item is not None
    size = picture.image.width, picture.image.height
    ratio = size[0] / size[1]
    wide = min((10 - 2 * _MARGIN - 2 * _GAP) / 3, 5.2 * ratio)
    high, room = wide / ratio, 3 * wide + 2 * _GAP
    page = max(room, 6.6) + 2 * _MARGIN
    lines = textwrap.wrap(view.caption, int((page - 2 * _MARGIN) * 19.5))
    tall = _MARGIN + _HEAD + high + _BAR + len(lines) * _LINE + _MARGIN
    sheet = Figure(figsize=(page, tall))

    def axes(left: float, top: float, width: float, height: float) -> Axes:
        return sheet.add_axes((left / page, 1 - (top + height) / tall, width / page, height / tall))

    first, explained = (page - room) / 2, [box for box in picture.boxes if box.explained]
    boxes: list[Sequence[Box]] = [picture.boxes, (), explained]
    empty = f" (empty: {item.empty})" if item.empty else ""
    heads = [picture.image.name, f"{item.method}: {item.target}{empty}", "Overlay"]
    for i, (pixels, head, listed) in enumerate(zip(pictures, heads, boxes, strict=True)):
        panel = axes(first + i * (wide + _GAP), _MARGIN + _HEAD, wide, high)
        # In the original's pixels, whatever the panel was reduced to.
        panel.imshow(pixels, extent=(0, size[0], size[1], 0), aspect="auto", interpolation="nearest")
        panel.set(xlim=(0, size[0]), ylim=(size[1], 0), xticks=[], yticks=[])
        panel.spines[:].set(linewidth=0.5, color="#8a8a8a")
        panel.set_title(_cut(head, wide), fontsize=_TEXT, loc="left", pad=4)
        _boxes(panel, listed, size, size[0] / wide, style, chosen=bool(explained) and i == 2)
    top = _MARGIN + _HEAD + high + 0.12
    _colour_bar(axes(first + wide + _GAP, top, room - wide - _GAP, 0.12), item, style.colormap)
    answers = [_cut(line, wide, picture.rest if line is picture.best[-1] else "") for line in picture.best]
    words = "\n".join(answers) or "nothing found"
    sheet.text(first / page, 1 - top / tall, words, fontsize=_SMALL, va="top", linespacing=1.25)
    foot = 1 - (top + _BAR - 0.1) / tall
    sheet.text(_MARGIN / page, foot, "\n".join(lines), fontsize=_SMALL, va="top", linespacing=1.25)
    return sheet


def _boxes(
    panel: Axes, boxes: Sequence[Box], size: tuple[int, int], inch: float, style: Style, *, chosen: bool
) -> None:
    """Draw outlines and names, without overlaps."""
    from matplotlib.patches import Polygon

    colour, ground = ("#141414", "white") if chosen else ("white", "#141414")
    line, ink = 1.4 if chosen else 0.9, np.divide(parse_color(style.boxes), 255)
    about: Json = {"facecolor": ground, "edgecolor": "none", "pad": 1.2}
    taken: list[tuple[float, float, float]] = []
    for box in boxes:
        points, text = [(x * size[0], y * size[1]) for x, y in box.points], box.text
        for edge, width in (("#141414", line + 1.2), (ink, line)):
            panel.add_patch(Polygon(points, fill=False, edgecolor=edge, linewidth=width, joinstyle="miter"))
        left, top = np.maximum(0.0, np.min(points, 0)).tolist()
        right, high = left + 0.056 * inch * len(text), 0.12 * inch
        while any(left < b and a < right and abs(top - y) < high for a, b, y in taken):
            top += high
        taken.append((left, right, top))
        if len(boxes) <= MAX_NAMED:
            panel.text(left, top, text, fontsize=6, va="top", color=colour, bbox=about, clip_on=True, zorder=5)


def _colour_bar(bar: Axes, item: Map, colormap: str) -> None:
    bar.imshow(render.map_lut(item.kind, colormap)[None], extent=(0, 1, 0, 1), aspect="auto", interpolation="nearest")
    bar.set(xlim=(0, 1), ylim=(0, 1), yticks=[], xticks=[0, 0.5, 1])
    first, _, last = bar.set_xticklabels(item.ends, fontsize=_SMALL)
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    bar.tick_params(length=2, width=0.5, pad=2)
    bar.set_xlabel(item.meaning, fontsize=_SMALL, labelpad=1)
    bar.spines[:].set(linewidth=0.5, color="#8a8a8a")


def _cut(text: str, inches: float, after: str = "") -> str:
    """Shorten a text with an ellipsis to a width, with `after`."""
    return shorten(text, int(inches * 13.5) - len(after), len) + after
