"""PDF of a view as a report on A4, and of several as slides; text can be selected, fonts are embedded."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from fpdf import FPDF
from fpdf.enums import WrapMode

from sightglass.common.files import packing
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.report import caption, charts, figure
from sightglass.report.drawing import draw_layers
from sightglass.report.layouts import HEIGHT, LIGHT, WIDTH, Rect, Theme
from sightglass.report.page import NARROW, Text, lines, numbered
from sightglass.report.views import map_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain.result import Result
    from sightglass.report.layouts import Colour
    from sightglass.report.page import Page
    from sightglass.report.view import Table, View

_EDGE = 15.0  # millimetres
_WIDTH = 210 - 2 * _EDGE
_INK, _SOFT = (23, 23, 23), (102, 102, 102)
_MM = 2.0
"""Millimetres of a unit of the layout: a slide of 320 x 180."""
_POINTS = 72 / 25.4


def _open(title: str, size: str | tuple[float, float], edge: float = 0.0) -> FPDF:
    """Return a document with its fonts; `size`: of a page, in millimetres."""
    document = FPDF(orientation="P" if isinstance(size, str) else "L", unit="mm", format=size)
    document.set_margin(edge)
    document.set_auto_page_break(edge > 0, edge)
    document.c_margin = 0
    document.add_font("sans", "", str(packing.font()))
    document.add_font("sans", "B", str(packing.font("DejaVuSans-Bold")))
    document.set_title(title)
    document.set_creator("Sightglass")
    document.set_lang("en")
    return document


# ---- reports


def pdf(explanation: Result, index: int = 0, *, colormap: str = VIEWER_STYLE.colormap) -> bytes:
    """Return one map's report as a PDF, with the recipe last.

    A map that was proved (`Explanation.prove`) has its proof too: sentence, curves and numbers. Raises
    a Problem where there is no such map or colormap.

        result = Explainer("efficientnet-lite0")("bus.jpg")
        Path("bus.pdf").write_bytes(pdf(result))
    """
    caption.check(explanation, index)
    return report_pdf(map_view(explanation, index), Style(colormap=colormap))


def report_pdf(view: View, style: Style = VIEWER_STYLE) -> bytes:
    """Return the report of a view."""
    page = _open(f"{view.pictures[0].image.name}: {view.title}", "A4", _EDGE)
    page.add_font("mono", "", str(packing.font("DejaVuSansMono")))
    page.add_page()
    _text(page, view.headline, 15, bold=True)
    _text(page, view.about, 9, colour=_SOFT, after=1 if view.checks else 3)
    if view.checks:
        _text(page, " · ".join(words for _, words, _ in view.checks), 9, colour=_SOFT, after=3)
    page.image(BytesIO(figure.draw(view, "jpg", style)), w=_WIDTH)
    page.ln(3)
    for table in view.tables:
        _section(page, view, table)
    return bytes(page.output())


def _section(page: FPDF, view: View, table: Table) -> None:
    if page.will_page_break(20):
        page.add_page()
    page.ln(2.5)
    _text(page, table.title, 11, bold=True)
    for line in table.lines:
        _text(page, line, 9.5)
    if table.chart is not None:
        page.image(BytesIO(charts.figure(view.charts[table.chart])), w=_WIDTH)
        page.ln(2)
    if table.rows:
        _rows(page, table)
    for code in table.code:
        _code(page, code)


def _text(
    page: FPDF, text: str, size: float, *, bold: bool = False, colour: tuple[int, int, int] = _INK, after: float = 1
) -> None:
    page.set_font("sans", "B" if bold else "", size)
    page.set_text_color(*colour)
    # Break between letters where a single word would not fit on a line.
    wrap = WrapMode.CHAR if max(map(len, text.split()), default=0) > 60 else WrapMode.WORD
    page.multi_cell(0, size * 0.46, text, align="L", new_x="LMARGIN", new_y="NEXT", wrapmode=wrap)
    page.ln(after)


def _code(page: FPDF, text: str) -> None:
    page.set_font("mono", "", 8)
    page.set_text_color(*_INK)
    page.set_fill_color(245, 245, 245)
    # multi_cell also breaks a word that is longer than a line.
    about: Json = {"align": "L", "fill": True, "padding": 2, "new_x": "LMARGIN", "new_y": "NEXT"}
    tall: Any = page.multi_cell(0, 3.84, text, **about, dry_run=True, output="HEIGHT")
    if text.count("\n") == 0 and page.will_page_break(tall):
        page.add_page()
    page.multi_cell(0, 3.84, text, **about)
    page.ln(1.5)


def _rows(page: FPDF, section: Table) -> None:
    page.set_font("sans", "", 8)
    page.set_text_color(*_INK)
    page.set_draw_color(220)
    page.set_fill_color(255)
    page.set_line_width(0.2)
    with page.table(
        col_widths=(54, *[21] * (len(section.head) - 1)) if section.head else (32, 32, 116),
        borders_layout="HORIZONTAL_LINES",
        line_height=3.8,
        padding=(0.4, 2, 0.4, 0),
        text_align="LEFT",
        first_row_as_headings=False,
    ) as table:
        for values in (section.head, *section.rows) if section.head else section.rows:
            row = table.row()
            for value in values:
                row.cell(value)
    page.ln(1.5)


# ---- slides


def deck_pdf(views: Sequence[View], title: str, theme: Theme = LIGHT) -> bytes:
    """Return a PDF of a deck's slides. Raises Problem.

    Path("deck.pdf").write_bytes(deck_pdf(views, "When does a heat map lie?"))
    """
    document = _open(title, (HEIGHT * _MM, WIDTH * _MM))
    document.set_stretching(100 * NARROW)
    for view, page in numbered(views):
        document.add_page()
        _fill(document, Rect(0, 0, WIDTH, HEIGHT), theme.ground)
        _draw(document, view, page, theme)
    return bytes(document.output())


def _draw(document: FPDF, view: View, page: Page, theme: Theme) -> None:
    for item in page.items:
        if not isinstance(item, Text):
            document.image(BytesIO(draw_layers(view, item, theme)[-1].file), *_rect(item.place))
            continue
        if item.tone == "tag":
            _fill(document, item.place, theme.shade)
        document.set_font("sans", "B" if item.bold else "", item.size * _MM * _POINTS)
        document.set_text_color(*getattr(theme, item.tone))
        for line, left, top in lines(item):
            document.text(left * _MM, (top + 0.93 * item.size) * _MM, line)


def _rect(place: Rect) -> tuple[float, float, float, float]:
    return place.left * _MM, place.top * _MM, place.width * _MM, place.height * _MM


def _fill(document: FPDF, place: Rect, colour: Colour) -> None:
    document.set_fill_color(*colour)
    document.rect(*_rect(place), style="F")
