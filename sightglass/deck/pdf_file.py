"""Export a deck as PDF."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from fpdf import FPDF
from PIL import Image as Pillow

from sightglass.common.files import packaged
from sightglass.deck import layout, pptx_file
from sightglass.deck.heat_layer import heat_layer
from sightglass.deck.layout import (
    ACCENT,
    GROUND,
    HEIGHT,
    INK,
    QUIET,
    SMALL,
    SOFT,
    WIDTH,
    Bars,
    Curves,
    Film,
    PageRect,
    Sight,
    Text,
)
from sightglass.explain.phrases import percent, shorten
from sightglass.export.proof.chart import ChartFrame, Pen, draw_chart, draw_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.deck import Scene, SceneMap

_MM = 2.0
"""Millimetres of a unit of the layout: a page of 320 x 180."""
_POINTS = 72 / 25.4
_TRACK = (58, 58, 58)
Colour = tuple[int, int, int]


def _hex(colour: Colour) -> str:
    return f"#{bytes(colour).hex()}"


_INKS = {"map": _hex(ACCENT), "random": _hex(INK)}
_PEN = Pen(_INKS, grid=_hex(_TRACK), zero=_hex(QUIET), thin=0.3, line=0.9, bold=1.4, gaps=(2, 1.6, 7, 15))


def deck_pdf(scenes: Sequence[Scene], title: str) -> bytes:
    """Return a PDF to hand out: each slide with the map that it begins with; of a clip the first frame. Raise a Problem
    for no slides.

        Path("deck.pdf").write_bytes(deck_pdf(scenes, "When does a heat map lie?"))
    """
    layout.check(scenes)
    page = _document(title)
    for scene in scenes:
        for laid in layout.pages(scene):
            page.add_page()
            page.set_fill_color(*GROUND)
            page.rect(0, 0, WIDTH * _MM, HEIGHT * _MM, style="F")
            laid.draw(page, scene, _text, _sight, _bars, _curves, _film)
    return bytes(page.output())


def _document(title: str) -> FPDF:
    page = FPDF(orientation="L", unit="mm", format=(HEIGHT * _MM, WIDTH * _MM))
    page.set_margin(0)
    page.set_auto_page_break(False)
    page.c_margin = 0
    for style, name in (("", "DejaVuSans"), ("B", "DejaVuSans-Bold")):
        page.add_font("sans", style, str(packaged.font(name)))
    page.set_title(title)
    page.set_creator("Sightglass")
    page.set_lang("en")
    return page


def _letters(page: FPDF, size: float, colour: Colour = INK, *, bold: bool = False) -> None:
    page.set_font("sans", "B" if bold else "", size * _MM * _POINTS)
    page.set_text_color(*colour)


def _text(page: FPDF, _: Scene, item: Text) -> None:
    place = item.place
    _letters(page, item.size, SOFT if item.soft else INK, bold=item.bold)
    page.set_xy(place.left * _MM, place.top * _MM)
    page.multi_cell(place.width * _MM, item.size * 1.25 * _MM, item.words, align="L")


def _sight(page: FPDF, scene: Scene, item: Sight) -> None:
    """Draw the picture, one map over it, and the boxes as lines."""
    assert scene.picture is not None
    panel = scene.panels[item.panel] if item.panel < len(scene.panels) else None
    given = panel.maps[item.map] if panel is not None and item.map is not None else None
    _image(page, over(scene.picture, given, scene), item.place)
    for box, label, score in panel.boxes if panel is not None else ():
        _box(page, item.place, box, f"{label} {percent(score)}" if given is not None and given.box == box else "")


def over(picture: bytes, given: SceneMap | None, scene: Scene) -> Pillow.Image:
    """Return the picture under a map's layer."""
    below = Pillow.open(BytesIO(picture)).convert("RGB")
    if given is None:
        return below
    layer = Pillow.fromarray(heat_layer(given, scene.view, np.asarray(below))).resize(
        below.size, Pillow.Resampling.BILINEAR
    )
    return Pillow.alpha_composite(below.convert("RGBA"), layer).convert("RGB")


def _image(page: FPDF, drawn: Pillow.Image, place: PageRect) -> None:
    out = BytesIO()
    drawn.save(out, "JPEG", quality=90, subsampling=0)
    out.seek(0)
    page.image(out, place.left * _MM, place.top * _MM, place.width * _MM, place.height * _MM)


def _box(page: FPDF, place: PageRect, box: tuple[float, float, float, float], words: str) -> None:
    left, top = (place.left + box[0] * place.width) * _MM, (place.top + box[1] * place.height) * _MM
    wide, high = (box[2] - box[0]) * place.width * _MM, (box[3] - box[1]) * place.height * _MM
    thick = 1.0 if words else 0.5
    for colour, width in ((GROUND, thick + 0.8), ((255, 255, 255), thick)):
        page.set_draw_color(*colour)
        page.set_line_width(width)
        page.rect(left, top, wide, high)
    if not words:
        return
    _letters(page, SMALL, GROUND, bold=True)
    line = SMALL * 1.4 * _MM
    above = top - line if top - line >= place.top * _MM else top
    page.set_fill_color(255, 255, 255)
    page.rect(left, above, page.get_string_width(words) + 4, line, style="F")
    page.set_xy(left + 2, above)
    page.cell(h=line, text=words)


def _bars(page: FPDF, _: Scene, item: Bars) -> None:
    place = item.place
    row = place.height / len(item.answers)
    size = min(3.0, max(SMALL, 0.5 * row))
    for i, (label, score) in enumerate(item.answers):
        left, top, wide = place.left * _MM, (place.top + i * row) * _MM, place.width * _MM
        _letters(page, size, bold=i == item.chosen)
        number = percent(score)
        room = wide - page.get_string_width(number) - 3
        page.set_xy(left, top)
        page.cell(wide, size * 1.3 * _MM, shorten(label, room, page.get_string_width))
        page.set_xy(left, top)
        page.cell(wide, size * 1.3 * _MM, number, align="R")
        below, high = top + size * 1.35 * _MM, max(1.0, (0.9 * row - 1.4 * size) * _MM)
        for colour, share in ((_TRACK, 1.0), (ACCENT if i == item.chosen else QUIET, score)):
            page.set_fill_color(*colour)
            page.rect(left, below, wide * share, high, style="F")


def _curves(page: FPDF, scene: Scene, item: Curves) -> None:
    assert scene.proof is not None
    drawn, place = layout.chart(scene.proof), item.place
    frame = ChartFrame(place.width * _MM, place.height * _MM, 26, 8, 26, 24)
    left, top = place.left * _MM, place.top * _MM
    _letters(page, SMALL, SOFT)
    draw_chart(page, drawn, frame, (left, top), _PEN)
    for i, line in enumerate(drawn.lines):
        high = top + 4 + 9 * i
        draw_line(page, line.name, [(left, high), (left + 16, high)], _PEN)
        page.text(left + 20, high + 1.6, shorten(line.title, place.width * _MM - 20, page.get_string_width))


def _film(page: FPDF, scene: Scene, item: Film) -> None:
    assert scene.clip is not None
    frame = scene.picture or pptx_file.first_frame(scene.clip)
    if frame is not None:
        _image(page, Pillow.open(BytesIO(frame)).convert("RGB"), item.place)
