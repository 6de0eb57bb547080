"""Draw the pictures of a view for files of slides: under their maps, with boxes, and as thumbnails."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.marks import draw_marks
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import VIEWER_STYLE, Style, parse_color
from sightglass.explain.tasks.wording import Mark
from sightglass.report import charts
from sightglass.report.layouts import DARK, SMALLEST, Theme, Visual, pages
from sightglass.report.view import Box, View

SHARP = 12.0
"""Pixels of a unit: a slide is 1920 x 1080."""
QUALITY = 85


@dataclass(frozen=True)
class Layer:
    """A picture on a page; one at the same place may lie over it."""

    name: str
    """In PowerPoint's selection pane."""
    about: str
    """What it shows, for screen readers."""
    file: bytes
    """JPEG; of a chart PNG or SVG."""


def draw_layers(view: View, item: Visual, theme: Theme, chart: Literal["png", "svg"] = "png") -> list[Layer]:
    """Return the files of an item, from the lowest to the topmost: a picture, then the same under its map."""
    if item.kind == "clip":
        return [Layer("Clip", view.title, view.pictures[0].jpeg)]
    if view.scores:
        about = "; ".join(f"{bar.name} {bar.text}" for bar in view.scores)
        return [Layer("Scores", about, charts.intervals(view.scores, item.rect, theme, chart))]
    if item.kind == "chart":
        curves = view.charts[item.index]
        return [Layer("Proof", curves.sentence, charts.slide(curves, item.rect, theme, chart))]
    plain, mapped = draw(view, item, theme)
    picture = view.pictures[item.index]
    layers = [Layer("Picture", f"The picture. {view.title}", to_jpeg(plain, QUALITY))]
    if mapped is not None and picture.map is not None:
        name = f"Heat map: {picture.map.label or picture.name}"
        about = f"Heat map of {picture.map.label}, {picture.name}" if picture.map.label else name
        layers.append(Layer(name, about, to_jpeg(mapped, QUALITY)))
    return layers


def draw(
    view: View, item: Visual, theme: Theme = DARK, scale: float = SHARP
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return a picture at its place, and the same under its map, uint8 (H, W, 3); `scale`: pixels of a unit."""
    picture, mapped = view.pictures[item.index], None
    size = max(1, round(item.rect.width * scale)), max(1, round(item.rect.height * scale))
    pixels = _open(picture.jpeg, size)
    map_ = picture.map if item.mapped else None
    if map_ is not None:
        style = Style() if map_.kind == "difference" else view.display
        unit = max(1.0, max(size) / 600)
        mapped = paint(pixels, map_.field(*size), style, unseen=theme.name, unit=unit)
    # Boxes would hide how a picture that stands beside its map looks.
    if picture.boxes and (map_ is not None or not any(other.map for other in view.pictures)):
        boxes = [replace(box, points=tuple((x * size[0], y * size[1]) for x, y in box.points)) for box in picture.boxes]
        pixels = mark(pixels, boxes, scale, view.display)
        mapped = None if mapped is None else mark(mapped, boxes, scale, view.display)
    return pixels, mapped


@functools.lru_cache(8)
def _open(file: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    opened = Pillow.open(BytesIO(file))
    opened.draft("RGB", size)
    return np.asarray(opened.convert("RGB").resize(size, Pillow.Resampling.BILINEAR, reducing_gap=2.0))


def mark(
    pixels: NDArray[np.uint8], boxes: Sequence[Box], scale: float, style: Style = VIEWER_STYLE
) -> NDArray[np.uint8]:
    """Draw boxes with their names, the explained one bolder; their points are in pixels."""
    explained = [i for i, box in enumerate(boxes) if box.explained]
    items = [([Mark("polygon", box.points)], box.text) for box in boxes]
    chosen = explained[0] if len(explained) == 1 else None
    return draw_marks(pixels, items, chosen=chosen, color=parse_color(style.boxes), letters=round(SMALLEST * scale))


def thumbnail(view: View) -> bytes:
    """Return a slide's largest picture as a small JPEG; empty for a slide of words."""
    items = [item for item in pages(view)[0].items if isinstance(item, Visual)]
    if not items:
        return b""
    # Where the plain picture stands beside the same one under its map, the latter.
    largest = max(items, key=lambda item: (item.rect.area, item.mapped))
    if view.scores:
        return draw_layers(view, largest, DARK)[0].file
    plain, mapped = draw(view, largest, scale=3)
    return to_jpeg(plain if mapped is None else mapped)
