"""Draw the pictures of a view for files of slides: under their maps, with boxes, and as thumbnails."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow

from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.mark import Mark
from sightglass.explain.rendering.marks import draw_marks
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Style
from sightglass.report.layouts import DARK, SMALLEST
from sightglass.report.page import Photo, pages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.report.layouts import Theme
    from sightglass.report.view import Box, View

SHARP = 12.0
"""Pixels of a unit: a slide is 1920 x 1080."""
QUALITY = 85


@dataclass(frozen=True)
class Drawn:
    """A picture at the size of its place, and the same with its map over it."""

    plain: NDArray[np.uint8]
    mapped: NDArray[np.uint8] | None
    about: str

    @property
    def shown(self) -> NDArray[np.uint8]:
        return self.plain if self.mapped is None else self.mapped


def draw(view: View, item: Photo, theme: Theme = DARK, scale: float = SHARP) -> Drawn:
    """Return the picture of an item, uint8 (H, W, 3). `scale`: pixels of a unit."""
    picture, mapped = view.pictures[item.index], None
    across, down = (max(1, round(side * scale)) for side in (item.place.width, item.place.height))
    size = _cover(picture.size, across, down)
    left, top = (size[0] - across) // 2, (size[1] - down) // 2
    pixels = _open(picture.jpeg, size)
    about = f"The picture that {picture.name} shows" if picture.name else view.title
    map_ = picture.map if item.mapped else None
    if map_ is not None:
        style = Style() if map_.kind == "difference" else view.display.style
        unit = max(1.0, max(size) / 600)
        mapped = paint(pixels, map_.field(*size), style, unseen=theme.name, unit=unit)
        mapped = mapped[top : top + down, left : left + across]
        about = f"Heat map of {map_.label}, {picture.name}" if map_.label else f"Heat map: {picture.name}"
    pixels = pixels[top : top + down, left : left + across]
    # Boxes would hide how a picture that stands beside its map looks.
    if picture.boxes and (map_ is not None or not any(other.map for other in view.pictures)):
        boxes = [
            replace(box, points=tuple((x * size[0] - left, y * size[1] - top) for x, y in box.points))
            for box in picture.boxes
        ]
        pixels = mark(pixels, boxes, scale)
        mapped = None if mapped is None else mark(mapped, boxes, scale)
    return Drawn(pixels, mapped, about)


def _cover(picture: tuple[int, int], across: int, down: int) -> tuple[int, int]:
    """Return the size at which a picture covers its place; within 1 % it is stretched."""
    zoom = max(across / max(picture[0], 1), down / max(picture[1], 1))
    sides = zip((across, down), picture, strict=True)
    return tuple(side if zoom * own < 1.01 * side else round(zoom * own) for side, own in sides)  # type: ignore[return-value]


@functools.lru_cache(8)
def _open(file: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    opened = Pillow.open(BytesIO(file))
    opened.draft("RGB", size)
    return np.asarray(opened.convert("RGB").resize(size, Pillow.Resampling.BILINEAR, reducing_gap=2.0))


def mark(pixels: NDArray[np.uint8], boxes: Sequence[Box], scale: float) -> NDArray[np.uint8]:
    """Draw boxes with their names, the explained one bolder; their points are in pixels."""
    explained = [i for i, box in enumerate(boxes) if box.explained]
    items = [([Mark("polygon", box.points)], box.text) for box in boxes]
    chosen = explained[0] if len(explained) == 1 else None
    return draw_marks(pixels, items, chosen=chosen, letters=round(SMALLEST * scale))


_SCALE = 3
"""Pixels of a unit in a thumbnail."""


def thumbnail(view: View) -> bytes:
    """Return a slide's largest picture as a small JPEG; empty for a slide of words."""
    items = [item for item in pages(view)[0].items if isinstance(item, Photo)]
    if items:
        # Of a picture beside itself under its map, the map.
        largest = max(items, key=lambda item: (item.place.area, item.mapped))
        return to_jpeg(draw(view, largest, scale=_SCALE).shown)
    return to_jpeg(_open(view.pictures[0].jpeg, (480, 270))) if view.pictures else b""
