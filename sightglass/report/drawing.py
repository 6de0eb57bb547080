"""Draw the pictures of a view for files of slides: under their maps, with boxes, and as thumbnails."""

from __future__ import annotations

import functools
from dataclasses import dataclass
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
    pixels = _open(picture.jpeg, (max(1, round(item.place.width * scale)), max(1, round(item.place.height * scale))))
    about = f"The picture that {picture.name} shows" if picture.name else view.title
    (height, width), map_ = pixels.shape[:2], picture.map if item.mapped else None
    if map_ is not None:
        style = Style() if map_.kind == "difference" else view.display.style
        unit = max(1.0, max(height, width) / 600)
        mapped = paint(pixels, map_.field(width, height), style, unseen=theme.name, unit=unit)
        about = f"Heat map of {map_.label}, {picture.name}" if map_.label else f"Heat map: {picture.name}"
    # Boxes would hide how a picture that stands beside its map looks.
    if picture.boxes and (map_ is not None or not any(other.map for other in view.pictures)):
        pixels = mark(pixels, picture.boxes, scale)
        mapped = None if mapped is None else mark(mapped, picture.boxes, scale)
    return Drawn(pixels, mapped, about)


@functools.lru_cache(8)
def _open(file: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    opened = Pillow.open(BytesIO(file))
    opened.draft("RGB", size)
    (width, height), (across, down) = opened.size, size
    # Of a picture that is higher than its place, the middle.
    cut = max(0.0, height - width * down / across) / 2
    box = (0, cut, width, height - cut) if cut > 0.01 * height else None
    return np.asarray(opened.convert("RGB").resize(size, Pillow.Resampling.BILINEAR, box=box, reducing_gap=2.0))


def mark(pixels: NDArray[np.uint8], boxes: Sequence[Box], scale: float) -> NDArray[np.uint8]:
    """Draw boxes with their names, the explained one bolder."""
    height, width = pixels.shape[:2]
    explained = [i for i, box in enumerate(boxes) if box.explained]
    items = [([Mark("polygon", tuple((x * width, y * height) for x, y in box.points))], box.text) for box in boxes]
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
