"""Export a deck as PDF."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from fpdf import FPDF
from PIL import Image as Pillow

from sightglass.common.files import packing
from sightglass.deck import drawing
from sightglass.deck.layouts import HEIGHT, LIGHT, WIDTH, Rect, Theme
from sightglass.deck.page import NARROW, Curves, Film, Picture, Sign, Text, lines, numbered

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.deck import Scene
    from sightglass.deck.layouts import Colour
    from sightglass.deck.page import Page

_MM = 2.0
"""Millimetres of a unit of the layout: a page of 320 x 180."""
_POINTS = 72 / 25.4
_FONT = "DejaVu"


def deck_pdf(scenes: Sequence[Scene], title: str, theme: Theme = LIGHT) -> bytes:
    """Return a PDF of a deck's slides. Raises Problem.

    Path("deck.pdf").write_bytes(deck_pdf(scenes, "When does a heat map lie?"))
    """
    pdf = FPDF(orientation="L", unit="mm", format=(HEIGHT * _MM, WIDTH * _MM))
    pdf.set_margin(0)
    pdf.set_auto_page_break(False)
    pdf.set_title(title)
    pdf.set_creator("Sightglass")
    pdf.set_lang("en")
    pdf.set_stretching(100 * NARROW)
    pdf.add_font(_FONT, "", str(packing.font()))
    pdf.add_font(_FONT, "B", str(packing.font("DejaVuSans-Bold")))
    for scene, page in numbered(scenes):
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
                if scene.picture is not None:
                    pdf.image(BytesIO(scene.picture), *_rect(item.place))
            case Curves():
                assert scene.proof is not None
                pdf.image(BytesIO(drawing.chart(scene.proof, item.place, theme, "png")), *_rect(item.place))


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
