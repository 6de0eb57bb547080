"""Draw the pictures of a view for files of slides: under their maps, with boxes, and as thumbnails."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.marks import draw_marks
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Style, parse_color
from sightglass.explain.tasks.wording import Mark
from sightglass.report import charts
from sightglass.report.layouts import DARK, SMALLEST, Theme, Visual, pages
from sightglass.report.view import Box, View

SHARP = 12.0
"""Pixels of a unit: a slide is 1920 x 1080."""
QUALITY = 85
"""Quality of a JPEG on a slide."""


@dataclass(frozen=True)
class Layer:
    """A picture on a page; one at the same place may lie over it."""

    name: str
    """In PowerPoint's selection pane."""
    about: str
    """What it shows, for screen readers."""
    file: bytes
    """JPEG; of a chart PNG or SVG."""


def draw_layers(
    view: View, item: Visual, theme: Theme, chart: Literal["png", "svg"] = "png", scale: float = SHARP
) -> list[Layer]:
    """Return the files of an item, from the lowest to the topmost: a picture, then the same under its map.

    `scale`: pixels of a unit in a picture.
    """
    if item.kind == "clip":
        return [Layer("Clip", view.title, view.pictures[0].jpeg)]
    if view.scores:
        about = "; ".join(f"{bar.name} {bar.text}" for bar in view.scores)
        return [Layer("Scores", about, charts.intervals(view.scores, item.rect, theme, chart))]
    if item.kind == "chart":
        curves = view.charts[item.index]
        return [Layer("Proof", curves.sentence, charts.slide(curves, item.rect, theme, chart))]
    return _draw_picture(view, item, theme, scale)


def _draw_picture(view: View, item: Visual, theme: Theme, scale: float) -> list[Layer]:
    """Return a picture, and the same under its map where that is shown."""
    picture = view.pictures[item.index]
    size = max(1, round(item.rect.width * scale)), max(1, round(item.rect.height * scale))
    drawings, titles = [_open(picture.jpeg, size)], [("Picture", f"The picture. {view.title}")]
    if item.mapped and picture.map is not None:
        label, field = picture.map.label, picture.map.field.scaled(picture.size, size)
        style = Style() if field.kind == "difference" else view.display
        drawings.append(paint(drawings[0], field, style, unseen=theme.name, unit=max(1.0, max(size) / 600)))
        name = f"Heat map: {label or picture.name}"
        titles.append((name, f"Heat map of {label}, {picture.name}" if label else name))
    # Boxes would hide how a picture that stands beside its map looks.
    if len(drawings) == 2 or not any(other.map for other in view.pictures):
        drawings = [mark(pixels, picture.boxes, scale, view.display) for pixels in drawings]
    return [Layer(*title, to_jpeg(pixels, QUALITY)) for title, pixels in zip(titles, drawings, strict=True)]


@functools.lru_cache(8)
def _open(file: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    opened = Pillow.open(BytesIO(file))
    opened.draft("RGB", size)
    return np.asarray(opened.convert("RGB").resize(size, Pillow.Resampling.BILINEAR, reducing_gap=2.0))


def mark(pixels: NDArray[np.uint8], boxes: Sequence[Box], scale: float, style: Style) -> NDArray[np.uint8]:
    """Draw boxes with their names, the explained one bolder; `scale`: pixels of a unit."""
    if not style.outlines:
        return pixels
    explained = [i for i, box in enumerate(boxes) if box.explained]
    height, width = pixels.shape[:2]
    items = [([Mark("polygon", tuple((x * width, y * height) for x, y in box.points))], box.text) for box in boxes]
    chosen = explained[0] if len(explained) == 1 else None
    return draw_marks(pixels, items, chosen=chosen, color=parse_color(style.boxes), letters=round(SMALLEST * scale))


def thumbnail(view: View) -> bytes:
    """Return a slide's largest picture as a small JPEG; empty for a slide of words."""
    items = [item for item in pages(view)[0].items if isinstance(item, Visual)]
    if not items:
        return b""
    # Where the plain picture stands beside the same one under its map, the latter.
    largest = max(items, key=lambda item: (item.rect.area, item.mapped))
    # A chart is a PNG, and a clip's picture as large as it came.
    drawn = Pillow.open(BytesIO(draw_layers(view, largest, DARK, scale=3)[-1].file)).convert("RGB")
    drawn.thumbnail((round(3 * largest.rect.width), round(3 * largest.rect.height)))
    return to_jpeg(np.asarray(drawn), QUALITY)
