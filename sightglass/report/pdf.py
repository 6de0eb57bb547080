"""PDF of a deck's slides; text can be selected, fonts are embedded."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from io import BytesIO

from fpdf import FPDF

from sightglass.common import packaged
from sightglass.common.fonts import spell_missing, split_by_font
from sightglass.report.drawing import draw_layers
from sightglass.report.layouts import HEIGHT, LIGHT, NARROW, WIDTH, Page, Text, Theme, numbered
from sightglass.report.view import View

_POINTS = 2 * 72 / 25.4
"""Points of a unit of the layout: a slide is 320 x 180 mm."""


def deck_pdf(views: Sequence[View], title: str, theme: Theme = LIGHT) -> bytes:
    """Return a deck as PDF, a page per slide. Raises Problem for a deck without slides.

    Path("deck.pdf").write_bytes(deck_pdf(views, "When does a heat map lie?"))
    """
    document = FPDF(orientation="L", unit=_POINTS, format=(HEIGHT, WIDTH))
    document.set_margin(0)
    document.set_auto_page_break(False)
    document.c_margin = 0
    document.add_font("sans", "", str(packaged.font()))
    document.add_font("sans", "B", str(packaged.font("DejaVuSans-Bold")))
    document.set_title(title)
    document.set_creator("Sightglass")
    document.set_lang("en")
    document.set_stretching(100 * NARROW)
    document.set_page_background(theme.ground)  # type: ignore[arg-type] # it is annotated as a tuple of one number
    for view, page in numbered(views):
        document.add_page()
        _draw(document, view, page, theme)
    return bytes(document.output())


def _draw(document: FPDF, view: View, page: Page, theme: Theme) -> None:
    for item in page.items:
        if not isinstance(item, Text):
            document.image(BytesIO(draw_layers(view, item, theme)[-1].file), *astuple(item.rect))
            continue
        if item.tone == "tag":
            document.set_fill_color(*theme.shade)
            document.rect(item.rect.left, item.rect.top, item.rect.width, item.rect.height, style="F")
        document.set_font("sans", "B" if item.bold else "", item.size * _POINTS)
        document.set_text_color(*getattr(theme, item.tone))
        for line, left, baseline in item.set_lines():
            _write(document, line, left, baseline, "B" if item.bold else "")


def _write(document: FPDF, line: str, left: float, baseline: float, style: str) -> None:
    """Write a line, its other letters with a font of this machine where there is one that a PDF can hold."""
    if not _has_other(document, line):
        document.text(left, baseline, spell_missing(line))
        return
    for font, letters in split_by_font(line):
        own = font == packaged.font()
        document.set_font("sans" if own else "other", style if own else "", document.font_size_pt)
        document.text(left, baseline, letters)
        left += document.get_string_width(letters)
    document.set_font("sans", style, document.font_size_pt)


def _has_other(document: FPDF, line: str) -> bool:
    """Return whether a document has the font that some letters of a line need."""
    others = {font for font, _ in split_by_font(line)} - {packaged.font()}
    if others and "other" not in document.fonts:
        # It may be of a kind that this library does not embed.
        with suppress(Exception):
            document.add_font("other", "", str(next(iter(others))))
    return bool(others) and "other" in document.fonts
