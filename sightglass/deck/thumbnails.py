"""Draw a slide small, for lists."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from sightglass.common.files import packing
from sightglass.deck.drawing import Painter
from sightglass.deck.items import DARK, LINE, TAG_GROUNDS, WIDTH, PageRect, break_lines
from sightglass.deck.layout import chart, pages
from sightglass.explain.picture.image import to_jpeg

if TYPE_CHECKING:
    from sightglass.deck.items import Colour, Curves, Logo, Text, Theme
    from sightglass.deck.scene import Scene

QUALITY = 84
_SCALE = 3
"""Pixels of a unit: a small slide is 480 x 270."""


def of(scene: Scene) -> bytes:
    """Return the page of a scene as a JPEG of 16:9."""
    painter = _Painter(DARK)
    painter.draw(scene, pages(scene)[0])
    return to_jpeg(np.asarray(painter.on), QUALITY)


def _rect(place: PageRect) -> tuple[int, int, int, int]:
    left, top = round(place.left * _SCALE), round(place.top * _SCALE)
    return left, top, max(left + 1, round(place.right * _SCALE)), max(top + 1, round(place.bottom * _SCALE))


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(packing.font("DejaVuSans-Bold" if bold else "DejaVuSans")), size)


class _Painter(Painter):
    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.on = Pillow.new("RGB", (int(WIDTH * _SCALE), int(WIDTH * _SCALE * 9 / 16)), theme.ground)
        self.pen = ImageDraw.Draw(self.on)

    def text(self, _: Scene, item: Text) -> None:
        place = item.place
        if (ground := TAG_GROUNDS.get(item.tone)) is not None:
            self.fill(place, ground)
        font = _font(max(5, round(item.size * _SCALE)), item.bold)
        for row, line in enumerate(break_lines(item.words, place.width + 0.5, item.size, bold=item.bold)):
            wide = font.getlength(line) if item.right else 0.0
            left = place.right * _SCALE - wide if item.right else place.left * _SCALE
            self.pen.text((left, (place.top + row * item.size * LINE) * _SCALE), line, self.theme.tone(item.tone), font)

    def fill(self, place: PageRect, colour: Colour) -> None:
        self.pen.rectangle(_rect(place), colour)

    def image(self, drawn: Pillow.Image, place: PageRect, about: str = "") -> None:
        left, top, right, bottom = _rect(place)
        self.on.paste(drawn.convert("RGB").resize((right - left, bottom - top), Pillow.Resampling.BOX), (left, top))

    def box(self, place: PageRect, words: str, *, chosen: bool) -> None:
        self.pen.rectangle(_rect(place), outline=(255, 255, 255))

    def curves(self, scene: Scene, item: Curves) -> None:
        assert scene.proof is not None
        drawn, place = chart(scene.proof), item.place
        for line in drawn.lines:
            across = np.linspace(place.left, place.right, len(line.hidden)) * _SCALE
            down = (place.bottom - np.array(line.hidden) * place.height) * _SCALE
            colour = self.theme.accent if line.name == "map" else self.theme.ink
            self.pen.line(list(zip(across, down, strict=True)), colour, 2)

    def logo(self, _: Scene, item: Logo) -> None:
        self.image(Pillow.open(BytesIO(item.file)), item.place)
