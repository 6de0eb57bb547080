"""Write a deck as a PDF: a page of 16:9 for each slide, and one more for each proof, with letters as letters."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow

from common import packaged
from explain.export import deck_layout as layout
from explain.export.deck_layout import (
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
    Place,
    Sight,
    Text,
)
from explain.export.deck_pptx import first_frame
from explain.export.heat_layer import heat_layer
from explain.export.proof_chart import AXES, Frame
from explain.phrases import percent, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fpdf import FPDF

    from explain.deck import Scene, SceneMap

_MM = 2.0
"""Millimetres of a unit of the layout: a page of 320 x 180."""
_POINTS = 72 / 25.4
_TRACK = (58, 58, 58)
Colour = tuple[int, int, int]


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
            for item in laid.items:
                match item:
                    case Text():
                        _text(page, item)
                    case Sight():
                        _sight(page, scene, item)
                    case Bars():
                        _bars(page, item)
                    case Curves():
                        _curves(page, scene, item)
                    case Film():
                        _film(page, scene, item)
    return bytes(page.output())


def _document(title: str) -> FPDF:
    from fpdf import FPDF

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


def _text(page: FPDF, item: Text) -> None:
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


def _image(page: FPDF, drawn: Pillow.Image, place: Place) -> None:
    out = BytesIO()
    drawn.save(out, "JPEG", quality=90, subsampling=0)
    out.seek(0)
    page.image(out, place.left * _MM, place.top * _MM, place.width * _MM, place.height * _MM)


def _box(page: FPDF, place: Place, box: tuple[float, float, float, float], words: str) -> None:
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


def _bars(page: FPDF, item: Bars) -> None:
    place = item.place
    row = place.height / len(item.answers)
    size = min(3.0, max(SMALL, 0.5 * row))
    for i, (label, score) in enumerate(item.answers):
        left, top, wide = place.left * _MM, (place.top + i * row) * _MM, place.width * _MM
        _letters(page, size, bold=i == item.chosen)
        number = percent(score)
        room = wide - page.get_string_width(number) - 3
        page.set_xy(left, top)
        page.cell(wide, size * 1.3 * _MM, shortened(label, room, page.get_string_width))
        page.set_xy(left, top)
        page.cell(wide, size * 1.3 * _MM, number, align="R")
        below, high = top + size * 1.35 * _MM, max(1.0, (0.9 * row - 1.4 * size) * _MM)
        for colour, share in ((_TRACK, 1.0), (ACCENT if i == item.chosen else QUIET, score)):
            page.set_fill_color(*colour)
            page.rect(left, below, wide * share, high, style="F")


def _curves(page: FPDF, scene: Scene, item: Curves) -> None:
    proof, place = scene.proof, item.place
    assert proof is not None
    frame = Frame(place.width * _MM, place.height * _MM, 26, 8, 26, 24)
    left, top = place.left * _MM, place.top * _MM
    own = f"{proof.label}, hottest places hidden first"
    lines: list[tuple[str, Sequence[float], Colour, float, tuple[float, ...]]] = [(own, proof.hide, ACCENT, 1.4, ())]
    if proof.control_hide:
        lines.append((f"{proof.label}, random places hidden", proof.control_hide, INK, 0.9, (3.0, 2.0)))
    _letters(page, SMALL, SOFT)
    for share in np.linspace(0, 1, 5):
        x, y, words = left + frame.across(float(share)), top + frame.down(float(share)), percent(float(share))
        page.set_draw_color(*(_TRACK if share else QUIET))
        page.set_line_width(0.3)
        page.line(left + frame.left, y, left + frame.width - frame.right, y)
        page.text(left + frame.left - 2 - page.get_string_width(words), y + 1.6, words)
        page.text(x - page.get_string_width(words) / 2, top + frame.down(0) + 7, words)
    axis = AXES["hidden"]
    page.text(left + frame.across(0.5) - page.get_string_width(axis) / 2, top + frame.down(0) + 15, axis)
    for i, (name, scores, colour, width, dashes) in enumerate(lines):
        points = [
            (left + frame.across(share), top + frame.down(score))
            for share, score in zip(proof.shares, scores, strict=True)
        ]
        high = top + 4 + 9 * i
        _line(page, [(left, high), (left + 16, high)], colour, width, dashes)
        _line(page, points, colour, width, dashes)
        page.text(left + 20, high + 1.6, shortened(name, place.width * _MM - 20, page.get_string_width))


def _line(
    page: FPDF,
    points: Sequence[tuple[float, float]],
    colour: Colour,
    width: float,
    dashes: tuple[float, ...],
) -> None:
    (x, y), *rest = points
    with page.new_path(x, y) as drawn:
        drawn.style.auto_close, drawn.style.fill_color = False, None
        drawn.style.stroke_color = f"#{bytes(colour).hex()}"
        drawn.style.stroke_width, drawn.style.stroke_dash_pattern = width, list(dashes) or None
        for x, y in rest:
            drawn.line_to(x, y)


def _film(page: FPDF, scene: Scene, item: Film) -> None:
    assert scene.clip is not None
    frame = scene.picture or first_frame(scene.clip)
    if frame is not None:
        _image(page, Pillow.open(BytesIO(frame)).convert("RGB"), item.place)
