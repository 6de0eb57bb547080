"""Draw the pictures of a view for files of slides: under their maps, with boxes, and as thumbnails."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import cv2
import numpy as np
from PIL import Image as Pillow

from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.marks import draw_marks
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Pixels, Style, parse_color
from sightglass.explain.tasks.wording import Mark
from sightglass.report import charts
from sightglass.report.focus import WHOLE, Inset, Place, coarsen, crop, find_inset, nearest_corners
from sightglass.report.layouts import DARK, SMALLEST, Theme, Visual, pages
from sightglass.report.view import Box, Picture, View

SHARP = 12.0
"""Pixels of a unit: a slide is 1920 x 1080."""
QUALITY = 85
"""Quality of a JPEG on a slide."""
FRAME = 0.3
"""Units of the frame around an enlarged part of a picture, and around its place."""
_DARK, _WHITE = (20, 20, 20), (255, 255, 255)


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
        return [Layer("Scores", about, charts.intervals(view, item.rect, theme, chart))]
    if item.kind == "chart":
        curves = view.charts[item.index]
        return [Layer("Proof", curves.sentence, charts.slide(curves, item.rect, theme, chart))]
    return _draw_picture(view, item, theme, scale)


def _draw_picture(view: View, item: Visual, theme: Theme, scale: float) -> list[Layer]:
    """Return a picture, and the same under its map where that is shown."""
    picture = view.pictures[item.index]
    size = max(1, round(item.rect.width * scale)), max(1, round(item.rect.height * scale))
    drawings, titles = _paint(view, item, theme, size, _unit(size)), [("Picture", f"The picture. {view.title}")]
    mapped = item.mapped and picture.map is not None
    if mapped:
        titles.append(_name_map(picture))
    # Boxes would hide how a picture that stands beside its map looks.
    if mapped or not any(other.map for other in view.pictures):
        drawings = [mark(pixels, picture.boxes, scale, view.display) for pixels in drawings]
    if mapped:
        drawings = _enlarge(view, item, theme, scale, drawings)
    return [Layer(*title, to_jpeg(pixels, QUALITY)) for title, pixels in zip(titles, drawings, strict=True)]


def _name_map(picture: Picture) -> tuple[str, str]:
    """Return the name of a layer with a map, and what it shows."""
    label = picture.map.label if picture.map is not None else ""
    name = f"Heat map: {label or picture.name}"
    return name, f"Heat map of {label}, {picture.name}" if label else name


def _unit(size: tuple[int, int]) -> float:
    """Return the pixels of a line that is one pixel wide on the screen."""
    return max(1.0, max(size) / 600)


def _enlarge(view: View, item: Visual, theme: Theme, scale: float, drawings: list[Pixels]) -> list[Pixels]:
    """Return a picture and the same under its map, each with an inset.

    The inset shows small evidence enlarged. Without such evidence `drawings` are returned as they are.
    """
    picture = view.pictures[item.index]
    size = drawings[0].shape[1], drawings[0].shape[0]
    inset = picture.map and find_inset(picture.map.field.scaled(picture.size, size), _open(picture.jpeg, size, WHOLE))
    if not inset:
        return drawings
    parts = _paint(view, item, theme, inset.size_in(size), _unit(size), inset.place)
    return [_add_inset(pixels, part, inset, scale) for pixels, part in zip(drawings, parts, strict=True)]


def _paint(
    view: View, item: Visual, theme: Theme, size: tuple[int, int], unit: float, place: Place = WHOLE
) -> list[Pixels]:
    """Return a part of a picture, and the same under its map.

    The latter only where the map is shown. `size`: at which the part is drawn; `unit`: see `_unit`.
    """
    picture = view.pictures[item.index]
    plain = _open(picture.jpeg, size, place)
    if not item.mapped or picture.map is None:
        return [plain]
    field = crop(coarsen(picture.map.field), picture.size, place, size)
    style = Style() if field.kind == "difference" else view.display
    return [plain, paint(plain, field, style, unseen=theme.name, unit=unit)]


@functools.lru_cache(8)
def _open(file: bytes, size: tuple[int, int], place: Place) -> Pixels:
    opened = Pillow.open(BytesIO(file))
    if place == WHOLE:
        opened.draft("RGB", size)
    width, height = opened.size
    left, top, right, bottom = place
    box = left * width, top * height, right * width, bottom * height
    drawn = opened.convert("RGB").resize(size, Pillow.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    return np.asarray(drawn)


def _add_inset(pixels: Pixels, part: Pixels, inset: Inset, scale: float) -> Pixels:
    """Return a picture with an enlarged part of it in a corner.

    A line joins it to its place; both are framed. `part`: its pixels; `scale`: pixels of a unit.
    """
    size = (pixels.shape[1], pixels.shape[0]) * 2
    left, top, *_ = corner = [round(share * side) for share, side in zip(inset.corner, size, strict=True)]
    place = [round(share * side) for share, side in zip(inset.place, size, strict=True)]
    drawn = pixels.copy()
    joined = nearest_corners(place, corner)
    height, width = part.shape[:2]
    frames = place, [left, top, left + width - 1, top + height - 1]
    line = max(1, round(FRAME * scale))
    for color, thickness in ((_DARK, line + 2), (_WHITE, line)):
        cv2.line(drawn, *joined, color, thickness, cv2.LINE_AA)
    drawn[top : top + height, left : left + width] = part
    for color, thickness in ((_DARK, line + 2), (_WHITE, line)):
        for x0, y0, x1, y1 in frames:
            cv2.rectangle(drawn, (x0, y0), (x1, y1), color, thickness, cv2.LINE_AA)
    return drawn


def mark(pixels: Pixels, boxes: Sequence[Box], scale: float, style: Style) -> Pixels:
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
