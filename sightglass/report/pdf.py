"""PDF of a view as a report on A4, and of several as slides; text can be selected, fonts are embedded."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from fpdf import FPDF

from sightglass.common.files import packing
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.report import charts, figure
from sightglass.report.drawing import draw_layers
from sightglass.report.layouts import HEIGHT, LIGHT, LINE, NARROW, PAD, WIDTH, Rect, Text, Theme, break_lines, numbered
from sightglass.report.view import require_map
from sightglass.report.views import map_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.result import Result
    from sightglass.report.layouts import Colour, Page
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


def pdf(explanation: Result, index: int = 0, *, style: Style = VIEWER_STYLE) -> bytes:
    """Return one map's report as a PDF, with the recipe last.

    A map that was proved (`Explanation.prove`) has its proof too: sentence, curves and numbers. Raises
    a Problem where there is no such map.

        result = Explainer("efficientnet-lite0")("bus.jpg")
        Path("bus.pdf").write_bytes(pdf(result))
    """
    require_map(explanation, index)
    view = map_view(explanation, index)
    page = _open(f"{view.pictures[0].image.name}: {view.title}", "A4", _EDGE)
    page.add_font("mono", "", str(packing.font("DejaVuSansMono")))
    page.add_page()
    _text(page, view.headline, 15, bold=True)
    _text(page, view.about, 9, colour=_SOFT, after=3)
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
        page.set_font("sans", "", 8)
        page.set_text_color(*_INK)
        page.set_draw_color(220)
        page.set_fill_color(255)
        page.set_line_width(0.2)
        with page.table(
            (table.head, *table.rows) if table.head else table.rows,
            col_widths=(54, *[21] * (len(table.head) - 1)) if table.head else (32, 32, 116),
            borders_layout="HORIZONTAL_LINES",
            line_height=3.8,
            padding=(0.4, 2, 0.4, 0),
            text_align="LEFT",
            first_row_as_headings=False,
        ):
            pass
        page.ln(1.5)
    for code in table.code:
        page.set_fill_color(245)
        _text(page, code, 8, family="mono", height=3.84, after=1.5, fill=True, padding=2)


def _text(
    page: FPDF,
    text: str,
    size: float,
    *,
    family: str = "sans",
    bold: bool = False,
    colour: tuple[int, int, int] = _INK,
    height: float = 0,
    after: float = 1,
    **more: Any,
) -> None:
    page.set_font(family, "B" if bold else "", size)
    page.set_text_color(*colour)
    page.multi_cell(0, height or size * 0.46, text, align="L", new_x="LMARGIN", new_y="NEXT", **more)
    page.ln(after)


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
        pad = PAD if item.tone == "tag" else 0.0
        lines = break_lines(item.words, item.place.width - 2 * pad, item.size, bold=item.bold)
        free = item.place.height - len(lines) * item.size * LINE
        top = item.place.top + {"top": 0.0, "middle": free / 2, "bottom": free}[item.anchor] + 0.93 * item.size
        for row, line in enumerate(lines):
            document.text((item.place.left + pad) * _MM, (top + row * item.size * LINE) * _MM, line)


def _rect(place: Rect) -> tuple[float, float, float, float]:
    return place.left * _MM, place.top * _MM, place.width * _MM, place.height * _MM


def _fill(document: FPDF, place: Rect, colour: Colour) -> None:
    document.set_fill_color(*colour)
    document.rect(*_rect(place), style="F")
