"""Figure for a paper: picture, map, overlay.

It is drawn by matplotlib without its global state (no pyplot) and with its own font: the same bytes each time.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import shorten
from sightglass.explain.picture.image import PNG_LEVEL
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import VIEWER_STYLE, Pixels, Style, parse_color
from sightglass.explain.tasks.wording import describe_signs
from sightglass.models.preprocess import WAYS
from sightglass.report import charts
from sightglass.report.embedded_recipe import embed
from sightglass.report.view import STATES, Box, reduce, require_map
from sightglass.report.views import describe_bar, explained_boxes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sightglass.common.files import Json
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.result import Result

Format = Literal["png", "jpg", "svg", "pdf"]

MAX_SIDE = 1200
"""Pixels of a panel's longer side: more cannot be seen in print."""
NAMED = ("sightglass", "torch", "torchvision", "timm", "ultralytics")
"""Packages whose versions a caption names."""
MAX_NAMED = 30
"""Maximum number of boxes with names; of more only the outlines are drawn."""
PANELS = ("picture", "map", "overlay")
_SMALL, _TEXT = 7.0, 8.5
"""Sizes of letters in points."""
_DARK, _FRAME = "#141414", "#8a8a8a"
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
    look_style, picture = Style.of(settings), explanation.image
    style = Style(**look_style.overlay, boxes=look_style.boxes, outlines=look_style.outlines)
    field = explanation.heatmaps[index].field
    alone, over = (render.paint(picture.pixels, field, drawn) for drawn in (replace(style, mode="map"), style))
    panels = [reduce(panel, MAX_SIDE) for panel in (picture.pixels, alone, over)]
    caption = write_caption(explanation, index)
    data = charts.save(
        lambda: _draw_page(explanation, index, panels, caption, style), caption, format, _ENCODING.get(format)
    )
    return data if format in ("svg", "pdf") else embed(data, explanation, index, settings)


def write_caption(explanation: Result, index: int) -> str:
    """Return the whole caption in one paragraph."""
    heatmap, recipe = explanation.heatmaps[index], explanation.recipe
    sentences = [_describe_origin(explanation, index), _describe_scale(heatmap, explanation.quantity)]
    if heatmap.state != "ok":
        sentences.append(f"The map is empty: {STATES[heatmap.state]}.")
    left, top, right, bottom = heatmap.seen
    if (right - left) * (bottom - top) < explanation.image.width * explanation.image.height:
        sentences.append("The model did not see what is outside the frame.")
    if (checks := explanation.known_checks(index)) is not None:
        sentences.append(f"Checks: {checks.line}.")
    used = ", ".join(f"{name} {version}" for name, version in recipe.versions.items() if name in NAMED)
    hashes = f"weights {recipe.weights_sha256[:12]}, picture {recipe.picture_sha256[:12]} (sha256)"
    return " ".join([*sentences, f"{used}; {hashes}."])


def _describe_origin(explanation: Result, index: int) -> str:
    """Say what a map explains, and by which method, model, layers and preparation it was made."""
    heatmap, recipe, wording = explanation.heatmaps[index], explanation.recipe, explanation.task.wording
    method, layers = METHODS[heatmap.method], list(heatmap.layers)
    fit, resizing = WAYS.get(recipe.preprocessing, recipe.preprocessing), explanation.evidence.loaded.adapter.resizing
    if recipe.preprocessing == "trained" and resizing:
        fit = f"{fit} ({resizing})"
    where = f"layer{'s' if len(layers) > 1 else ''} {', '.join(layers)}" if method.at_layers else "on the input"
    return (
        f"{explanation.image.name}: {method.name_for(explanation.model.task)} ({method.paper}) of {recipe.model} for "
        f"{wording.name_map(explanation, index)}{wording.describe_part(explanation)}; {where}; "
        f"fit: {fit[0].lower()}{fit[1:]}."
    )


def _describe_scale(heatmap: Heatmap, quantity: str) -> str:
    """Say what the ends of a map's scale are; `quantity`: what a signed map raises or lowers."""
    maximum = "of all maps of this picture" if heatmap.scale == "shared" else "of this map"
    if not heatmap.signed:
        return f"1 on the scale is the maximum {maximum}."
    signs = describe_signs(heatmap, f"the {quantity}")
    return f"1 and −1 on the scale are the largest absolute value {maximum}. {signs}"


def _draw_page(result: Result, index: int, pictures: list[Pixels], caption: str, style: Style) -> Figure:
    """Draw the panels side by side, with the answers and the colour bar below them, and the caption at the foot."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    # All in inches.
    aspect = result.image.width / result.image.height
    panel_width = min(3.2, 5.2 * aspect)
    panel_height, page_width = panel_width / aspect, max(3 * panel_width + 0.5, 6.8)
    foot = textwrap.wrap(caption, int(page_width * 19))
    page_size = page_width, panel_height + 1.2 + 0.14 * len(foot)
    sheet = Figure(page_size, layout=ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.06))
    axes = sheet.subplot_mosaic([[*PANELS], ["answers", "bar", "bar"]], height_ratios=(panel_height, 0.12))
    _draw_panels([axes[name] for name in PANELS], result, index, pictures, panel_width, style)
    _list_answers(axes["answers"], result, panel_width)
    _draw_bar(axes["bar"], result, index, style)
    sheet.supxlabel("\n".join(foot), x=0.01, ha="left", fontsize=_SMALL, linespacing=1.25)
    return sheet


def _draw_panels(
    panels: Sequence[Axes], result: Result, index: int, pictures: Sequence[Pixels], width: float, style: Style
) -> None:
    """Draw picture, map and overlay with their titles and boxes; `width`: of a panel in inches."""
    heatmap, boxes = result.heatmaps[index], explained_boxes(result, index)
    explained = [box for box in boxes if box.explained]
    method, size = METHODS[heatmap.method].name_for(result.model.task), (result.image.width, result.image.height)
    empty = "" if heatmap.state == "ok" else f" (empty: {STATES[heatmap.state]})"
    titles = [result.image.name, f"{method}: {heatmap.target.label}{empty}", "Overlay"]
    boxes_of: list[Sequence[Box]] = [boxes, (), explained]
    for panel, pixels, title, drawn in zip(panels, pictures, titles, boxes_of, strict=True):
        # In the original's pixels, whatever the panel was reduced to.
        panel.imshow(pixels, extent=(0, size[0], size[1], 0), interpolation="nearest")
        panel.set(xticks=[], yticks=[], anchor="S")
        panel.spines[:].set(linewidth=0.5, color=_FRAME)
        panel.set_title(_cut(title, width), fontsize=_TEXT, loc="left", pad=4)
        _draw_boxes(panel, drawn, size, size[0] / width, style, chosen=drawn is explained)


def _list_answers(axes: Axes, result: Result, width: float) -> None:
    """Write the best three answers, and how many more there are of an unranked task."""
    best = result.task.decoder.list_compared(result.predictions) or result.predictions
    lines = [answer.line for answer in result.task.wording.answers(result, best[:3])]
    more = 0 if result.task.ranked else len(result.predictions) - len(lines)
    texts = [_cut(line, width, f", and {more} more" if more and line is lines[-1] else "") for line in lines]
    axes.set_axis_off()
    axes.text(0, 1, "\n".join(texts) or "nothing found", fontsize=_SMALL, va="top", linespacing=1.25)


def _draw_bar(axes: Axes, result: Result, index: int, style: Style) -> None:
    """Draw the map's colour bar with its ends and their meaning."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap

    heatmap = result.heatmaps[index]
    ends, meaning = describe_bar(heatmap, result.model.unit_of(heatmap.target.label))
    colors = ScalarMappable(cmap=ListedColormap(render.map_lut(heatmap.kind, style.colormap) / 255))
    bar = axes.figure.colorbar(colors, cax=axes, orientation="horizontal", ticks=(0, 0.5, 1))
    bar.outline.set(linewidth=0.5, color=_FRAME)
    bar.ax.set_xticklabels(ends, fontsize=_SMALL)
    bar.ax.set_xlabel(meaning, fontsize=_SMALL, labelpad=1)


def _draw_boxes(
    panel: Axes, boxes: Sequence[Box], size: tuple[int, int], inch: float, style: Style, *, chosen: bool
) -> None:
    """Draw outlines and names, each name below those that it would overlap.

    `size`: width and height of the picture in pixels. `inch`: pixels of an inch. `chosen`: boldly.
    """
    from matplotlib.patches import Polygon

    if not style.outlines:
        return
    ink, ground = (_DARK, "white") if chosen else ("white", _DARK)
    line, outline = 1.4 if chosen else 0.9, np.divide(parse_color(style.boxes), 255)
    background: Json = {"facecolor": ground, "edgecolor": "none", "pad": 1.2}
    names: list[tuple[float, float, float]] = []
    for box in boxes:
        points = [(x * size[0], y * size[1]) for x, y in box.points]
        for color, width in ((_DARK, line + 1.2), (outline, line)):
            panel.add_patch(Polygon(points, fill=False, edgecolor=color, linewidth=width, joinstyle="miter"))
        left, top = np.maximum(0.0, np.min(points, 0)).tolist()
        right, height = left + 0.056 * inch * len(box.text), 0.12 * inch
        while any(left < end and start < right and abs(top - other) < height for start, end, other in names):
            top += height
        names.append((left, right, top))
        if len(boxes) <= MAX_NAMED:
            panel.text(left, top, box.text, fontsize=6, va="top", color=ink, bbox=background, clip_on=True, zorder=5)


def _cut(text: str, inches: float, after: str = "") -> str:
    """Shorten a text with an ellipsis to a width, with `after`."""
    return shorten(text, int(inches * 13.5) - len(after), len) + after
