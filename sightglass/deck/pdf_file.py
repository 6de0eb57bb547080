"""Export a deck as PDF."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from fpdf import FPDF
from PIL import Image as Pillow

from sightglass.common.files import packing
from sightglass.deck import drawing
from sightglass.deck.layouts import HEIGHT, LIGHT, SMALLEST, WIDTH, Rect, Theme
from sightglass.deck.page import NARROW, Curves, Film, Picture, Sign, Text, chart, lines, numbered
from sightglass.explain.phrases import shorten
from sightglass.export.proof.chart import ChartFrame, Pen, draw_chart, draw_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.deck import Scene
    from sightglass.deck.layouts import Colour
    from sightglass.deck.page import Footer, Page

_MM = 2.0
"""Millimetres of a unit of the layout: a page of 320 x 180."""
_POINTS = 72 / 25.4
_FONT = "DejaVu"


def deck_pdf(scenes: Sequence[Scene], title: str, theme: Theme = LIGHT, footer: Footer | None = None) -> bytes:
    """Return a PDF of a deck's slides. Raises Problem.

    Path("deck.pdf").write_bytes(deck_pdf(scenes, "When does a heat map lie?"))
    """
    pages = list(numbered(scenes, footer))
    pdf = FPDF(orientation="L", unit="mm", format=(HEIGHT * _MM, WIDTH * _MM))
    pdf.set_margin(0)
    pdf.set_auto_page_break(False)
    pdf.set_title(title)
    pdf.set_creator("Sightglass")
    pdf.set_lang("en")
    pdf.set_stretching(100 * NARROW)
    pdf.add_font(_FONT, "", str(packing.font()))
    pdf.add_font(_FONT, "B", str(packing.font("DejaVuSans-Bold")))
    for scene, page in pages:
        pdf.add_page()
        _fill(pdf, Rect(0, 0, WIDTH, HEIGHT), theme.ground)
        _draw(pdf, scene, page, theme)
    return bytes(pdf.output())


def _draw(pdf: FPDF, scene: Scene, page: Page, theme: Theme) -> None:
    for item in page.items:
        match item:
            case Text():
                if item.tone == "tag":
                    _fill(pdf, item.place, theme.shade)
                _letters(pdf, item.size, getattr(theme, item.tone), bold=item.bold)
                for line, left, top in lines(item):
                    pdf.text(left * _MM, (top + 0.93 * item.size) * _MM, line)
            case Picture():
                _image(pdf, drawing.draw(scene, item, theme).shown, item.place)
            case Sign():
                pdf.image(BytesIO(item.file), *_rect(item.place))
            case Film():
                if (frame := drawing.poster(scene)) is not None:
                    pdf.image(BytesIO(frame), *_rect(item.place))
            case Curves():
                _chart(pdf, scene, item, theme)


def _rect(place: Rect) -> tuple[float, float, float, float]:
    return place.left * _MM, place.top * _MM, place.width * _MM, place.height * _MM


def _letters(pdf: FPDF, size: float, colour: Colour, *, bold: bool = False) -> None:
    pdf.set_font(_FONT, "B" if bold else "", size * _MM * _POINTS)
    pdf.set_text_color(*colour)


def _fill(pdf: FPDF, place: Rect, colour: Colour) -> None:
    pdf.set_fill_color(*colour)
    pdf.rect(*_rect(place), style="F")


def _image(pdf: FPDF, pixels: NDArray[np.uint8], place: Rect) -> None:
    out = BytesIO()
    Pillow.fromarray(pixels).save(out, "JPEG", quality=drawing.QUALITY, subsampling=0)
    out.seek(0)
    pdf.image(out, *_rect(place))


def _chart(pdf: FPDF, scene: Scene, item: Curves, theme: Theme) -> None:
    assert scene.proof is not None
    left, top, wide, high = _rect(item.place)
    drawn = chart(scene.proof)
    inks = {"map": _hex(theme.accent), "random": _hex(theme.ink)}
    grid, zero = _hex(theme.track), _hex(theme.quiet)
    pen = Pen(inks, grid=grid, zero=zero, thin=0.3, line=0.9, bold=1.4, gaps=(2, 1.8, 8, 17))
    _letters(pdf, SMALLEST, theme.soft)
    draw_chart(pdf, drawn, ChartFrame(wide, high, 19, 8, 9 * len(drawn.lines) + 4, 22), (left, top), pen)
    for i, line in enumerate(drawn.lines):
        middle = top + 3 + 8.5 * i
        draw_line(pdf, line.name, [(left, middle), (left + 12, middle)], pen)
        pdf.text(left + 15, middle + 1.8, shorten(line.title, wide - 15, pdf.get_string_width))


def _hex(colour: Colour) -> str:
    return f"#{bytes(colour).hex()}"
