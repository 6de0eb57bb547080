"""Figure for a paper: picture, map, overlay.

It is drawn by matplotlib without its global state (no pyplot) and with its own font; the same explanation gives the
same bytes.
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
    from sightglass.explain.result import Result

Format = Literal["png", "jpg", "svg", "pdf"]

MAX_SIDE = 1200
"""Pixels of a panel's longer side: more cannot be seen in print."""
NAMED = ("sightglass", "torch", "torchvision", "timm", "ultralytics")
"""Packages whose versions a caption names."""
MAX_NAMED = 30
"""Maximum number of boxes with names; of more only the outlines are drawn."""
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
    look_style, picture = Style.of(settings), explanation.image
    style = Style(**look_style.overlay, boxes=look_style.boxes)
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
    heatmap, recipe, task = explanation.heatmaps[index], explanation.recipe, explanation.task
    method, layers = METHODS[heatmap.method], list(heatmap.layers)
    name = method.name_for(explanation.model.task)
    fit = WAYS.get(recipe.preprocessing, recipe.preprocessing)
    adapter = explanation.evidence.loaded.adapter
    if recipe.preprocessing == "trained" and adapter.resizing:
        fit = f"{fit} ({adapter.resizing})"
    where = f"layer{'s' if len(layers) > 1 else ''} {', '.join(layers)}" if method.at_layers else "on the input"
    maximum = "of all maps of this picture" if heatmap.scale == "shared" else "of this map"
    sentences = [
        f"{explanation.image.name}: {name} ({method.paper}) of {recipe.model} for "
        f"{task.wording.name_map(explanation, index)}{task.wording.describe_part(explanation)}; {where}; "
        f"fit: {fit[0].lower()}{fit[1:]}.",
        f"1 on the scale is the maximum {maximum}.",
    ]
    if heatmap.signed:
        sentences[-1] = f"1 and −1 on the scale are the largest absolute value {maximum}. " + describe_signs(
            heatmap, f"the {explanation.quantity}"
        )
    if heatmap.state != "ok":
        sentences.append(f"The map is empty: {STATES[heatmap.state]}.")
    left, top, right, bottom = heatmap.seen
    if (right - left) * (bottom - top) < explanation.image.width * explanation.image.height:
        sentences.append("The model did not see what is outside the frame.")
    if (found := explanation.known_checks(index)) is not None:
        sentences.append(f"Checks: {found.line}.")
    used = ", ".join(f"{name} {version}" for name, version in recipe.versions.items() if name in NAMED)
    hashes = f"weights {recipe.weights_sha256[:12]}, picture {recipe.picture_sha256[:12]} (sha256)"
    return " ".join([*sentences, f"{used}; {hashes}."])


def _draw_page(result: Result, index: int, pictures: list[Pixels], caption: str, style: Style) -> Figure:
    """Draw the panels side by side, with the answers and the colour bar below them, and the caption at the foot."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    heatmap, every = result.heatmaps[index], explained_boxes(result, index)
    method, label = METHODS[heatmap.method].name_for(result.model.task), heatmap.target.label
    ends, meaning = describe_bar(heatmap, result.model.unit_of(label))
    size = result.image.width, result.image.height
    wide = min(3.2, 5.2 * size[0] / size[1])
    page = max(3 * wide + 0.5, 6.8)
    foot = textwrap.wrap(caption, int(page * 19))
    high = wide * size[1] / size[0]
    sheet = Figure((page, high + 1.2 + 0.14 * len(foot)), layout=ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.06))
    axes = sheet.subplot_mosaic([["picture", "map", "overlay"], ["answers", "bar", "bar"]], height_ratios=(high, 0.12))
    explained = [box for box in every if box.explained]
    boxes: list[Sequence[Box]] = [every, (), explained]
    empty = "" if heatmap.state == "ok" else f" (empty: {STATES[heatmap.state]})"
    heads = [result.image.name, f"{method}: {label}{empty}", "Overlay"]
    for name, pixels, head, listed in zip(("picture", "map", "overlay"), pictures, heads, boxes, strict=True):
        panel = axes[name]
        # In the original's pixels, whatever the panel was reduced to.
        panel.imshow(pixels, extent=(0, size[0], size[1], 0), interpolation="nearest")
        panel.set(xticks=[], yticks=[], anchor="S")
        panel.spines[:].set(linewidth=0.5, color="#8a8a8a")
        panel.set_title(_cut(head, wide), fontsize=_TEXT, loc="left", pad=4)
        _boxes(panel, listed, size, size[0] / wide, style, chosen=bool(explained) and name == "overlay")
    best = [answer.line for answer in result.task.wording.answers(result, result.predictions[:3])]
    more = 0 if result.task.ranked else len(result.predictions) - len(best)
    answers = [_cut(line, wide, f", and {more} more" if more and line is best[-1] else "") for line in best]
    axes["answers"].set_axis_off()
    axes["answers"].text(0, 1, "\n".join(answers) or "nothing found", fontsize=_SMALL, va="top", linespacing=1.25)
    colours = ScalarMappable(cmap=ListedColormap(render.map_lut(heatmap.kind, style.colormap) / 255))
    bar = sheet.colorbar(colours, cax=axes["bar"], orientation="horizontal", ticks=(0, 0.5, 1))
    bar.outline.set(linewidth=0.5, color="#8a8a8a")
    bar.ax.set_xticklabels(ends, fontsize=_SMALL)
    bar.ax.set_xlabel(meaning, fontsize=_SMALL, labelpad=1)
    sheet.supxlabel("\n".join(foot), x=0.01, ha="left", fontsize=_SMALL, linespacing=1.25)
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


def _cut(text: str, inches: float, after: str = "") -> str:
    """Shorten a text with an ellipsis to a width, with `after`."""
    return shorten(text, int(inches * 13.5) - len(after), len) + after
