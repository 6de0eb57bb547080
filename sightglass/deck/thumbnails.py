"""Draw a slide small, for lists."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from sightglass.common.files import packing
from sightglass.deck import drawing
from sightglass.deck.items import (
    DARK,
    LINE,
    TAG_GROUNDS,
    Block,
    Curves,
    Drawers,
    Film,
    Key,
    Logo,
    PageRect,
    Sight,
    Text,
    break_lines,
)
from sightglass.deck.layout import WIDTH, chart, pages
from sightglass.explain.picture.image import to_jpeg

if TYPE_CHECKING:
    from sightglass.deck.scene import Scene

QUALITY = 84
_SCALE = 3
"""Pixels of a unit: a small slide is 480 x 270."""
_THEME = DARK


def of(scene: Scene) -> bytes:
    """Return the page of a scene as a JPEG of 16:9."""
    slide = Pillow.new("RGB", (int(WIDTH * _SCALE), int(WIDTH * _SCALE * 9 / 16)), _THEME.ground)
    drawers: Drawers = {Text: _text, Block: _block, Sight: _sight, Key: _key, Curves: _curves, Film: _film, Logo: _logo}
    pages(scene)[0].draw(slide, scene, drawers)
    return to_jpeg(np.asarray(slide), QUALITY)


def _rect(place: PageRect) -> tuple[int, int, int, int]:
    left, top = round(place.left * _SCALE), round(place.top * _SCALE)
    return left, top, max(left + 1, round(place.right * _SCALE)), max(top + 1, round(place.bottom * _SCALE))


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(packing.font("DejaVuSans-Bold" if bold else "DejaVuSans")), size)


def _text(on: Pillow.Image, _: Scene, item: Text) -> None:
    draw, place = ImageDraw.Draw(on), item.place
    if (ground := TAG_GROUNDS.get(item.tone)) is not None:
        draw.rectangle(_rect(place), ground)
    font = _font(max(5, round(item.size * _SCALE)), item.bold)
    for row, line in enumerate(break_lines(item.words, place.width + 0.5, item.size, bold=item.bold)):
        wide = font.getlength(line) if item.right else 0.0
        left = place.right * _SCALE - wide if item.right else place.left * _SCALE
        draw.text((left, (place.top + row * item.size * LINE) * _SCALE), line, _THEME.tone(item.tone), font)


def _block(on: Pillow.Image, _: Scene, item: Block) -> None:
    ImageDraw.Draw(on).rectangle(_rect(item.place), getattr(_THEME, item.colour))


def _paste(on: Pillow.Image, picture: Pillow.Image, place: PageRect) -> None:
    left, top, right, bottom = _rect(place)
    on.paste(picture.convert("RGB").resize((right - left, bottom - top), Pillow.Resampling.BOX), (left, top))


def _sight(on: Pillow.Image, scene: Scene, item: Sight) -> None:
    panel = scene.panels[item.panel] if item.panel < len(scene.panels) else None
    given = panel.maps[item.map] if panel is not None and item.map is not None else None
    _paste(on, drawing.under_map(drawing.picture_of(scene, item.panel), given, scene), item.place)
    place, draw = item.place, ImageDraw.Draw(on)
    for box, *_ in panel.boxes if panel is not None and item.boxes else ():
        x0, y0 = place.left + box[0] * place.width, place.top + box[1] * place.height
        size = (box[2] - box[0]) * place.width, (box[3] - box[1]) * place.height
        draw.rectangle(_rect(PageRect(x0, y0, *size)), outline=(255, 255, 255))


def _key(on: Pillow.Image, scene: Scene, item: Key) -> None:
    bar, weak, strong = drawing.key_parts(item)
    _paste(on, Pillow.fromarray(drawing.gradient(item.colours)), bar)
    _text(on, scene, weak)
    _text(on, scene, strong)


def _curves(on: Pillow.Image, scene: Scene, item: Curves) -> None:
    assert scene.proof is not None
    drawn, place = chart(scene.proof), item.place
    for line in drawn.lines:
        across = np.linspace(place.left, place.right, len(line.hidden))
        points = [
            (x * _SCALE, (place.bottom - y * place.height) * _SCALE) for x, y in zip(across, line.hidden, strict=True)
        ]
        ImageDraw.Draw(on).line(points, _THEME.accent if line.name == "map" else _THEME.ink, 2)


def _film(on: Pillow.Image, scene: Scene, item: Film) -> None:
    frame = scene.picture or (drawing.first_frame(scene.clip) if scene.clip else None)
    if frame is not None:
        _paste(on, Pillow.open(BytesIO(frame)), item.place)


def _logo(on: Pillow.Image, _: Scene, item: Logo) -> None:
    _paste(on, Pillow.open(BytesIO(item.file)), item.place)
