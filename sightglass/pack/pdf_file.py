"""Write an evidence pack as PDF on A4."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from fpdf import FPDF
from PIL import Image as Pillow

from sightglass.common.files import packaged
from sightglass.pack.document import describe_contribution, format_cell, share_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.pack.document import Pack, PackChart, PackFigure, PackTable

_EDGE, _GAP = 15.0, 5.0  # millimetres
_INK, _SOFT, _BAR = (28, 28, 28), (90, 90, 90), (11, 111, 120)
COLUMNS = 3
"""Pictures in a row."""


def write_pdf(pack: Pack) -> bytes:
    """Return the pack as PDF, with bookmarks for its sections."""
    page = FPDF(format="A4")
    page.set_margin(_EDGE)
    page.set_auto_page_break(True, _EDGE)
    for style, name in (("", "DejaVuSans"), ("B", "DejaVuSans-Bold")):
        page.add_font("sans", style, str(packaged.font(name)))
    page.set_title(pack.title)
    page.set_creator("Sightglass")
    page.set_lang("en")
    page.add_page()
    _write(page, pack.title, 18, bold=True)
    _write(page, pack.headline, 11)
    for section in pack.sections:
        if page.will_page_break(40):
            page.add_page()
        page.start_section(section.title)
        page.ln(3)
        _write(page, section.title, 13, bold=True)
        if words := describe_contribution(section):
            _write(page, words, 8, colour=_SOFT)
        for sentence in section.sentences:
            _write(page, sentence, 10)
        if section.numbers:
            _draw_table(page, ("Measured", "Value"), [(one.name, one.words) for one in section.numbers])
        for chart in section.charts:
            _draw_bars(page, chart)
        for table in section.tables:
            _draw_named_table(page, table)
        _draw_figures(page, section.figures)
    return bytes(page.output())


def _write(page: FPDF, words: str, size: float, *, bold: bool = False, colour: tuple[int, int, int] = _INK) -> None:
    page.set_font("sans", "B" if bold else "", size)
    page.set_text_color(*colour)
    page.multi_cell(0, size * 0.47, words, align="L", new_x="LMARGIN", new_y="NEXT")
    page.ln(1)


def _draw_named_table(page: FPDF, table: PackTable) -> None:
    if page.will_page_break(24):
        page.add_page()
    _write(page, table.title, 10.5, bold=True)
    if table.about:
        _write(page, table.about, 8.5, colour=_SOFT)
    _draw_table(page, table.head, [tuple(map(format_cell, row)) for row in table.rows])


def _draw_table(page: FPDF, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    page.set_font("sans", "", 8.5)
    page.set_text_color(*_INK)
    page.set_draw_color(215)
    page.set_fill_color(255)
    page.set_line_width(0.2)
    about: dict[str, Any] = {"borders_layout": "HORIZONTAL_LINES", "line_height": 4.2, "text_align": "LEFT"}
    with page.table(col_widths=tuple(share_width(head, rows)), padding=(0.6, 1.5, 0.6, 0), **about) as drawn:
        for cells in (head, *rows):
            row = drawn.row()
            for words in cells:
                row.cell(words)
    page.ln(3)


def _draw_bars(page: FPDF, chart: PackChart) -> None:
    """Draw horizontal bars as vectors, each with its name and value."""
    row, names, most = 5.4, 58.0, max((abs(value) for _, value in chart.bars), default=0.0) or 1.0
    if page.will_page_break(row * (len(chart.bars) + 2)):
        page.add_page()
    _write(page, f"{chart.title} ({chart.unit})" if chart.unit else chart.title, 10.5, bold=True)
    page.set_font("sans", "", 8.5)
    room = page.epw - names - 22
    for name, value in chart.bars:
        top = page.get_y()
        page.set_text_color(*_INK)
        page.cell(names, row, name)
        page.set_fill_color(*_BAR)
        page.rect(page.l_margin + names, top + 0.8, max(0.2, room * abs(value) / most), row - 1.6, style="F")
        page.set_x(page.l_margin + names + room * abs(value) / most + 2)
        page.cell(20, row, format_cell(value), new_x="LMARGIN", new_y="NEXT")
    page.ln(3)


def _draw_figures(page: FPDF, figures: Sequence[PackFigure]) -> None:
    wide = (page.epw - _GAP * (COLUMNS - 1)) / COLUMNS
    for i in range(0, len(figures), COLUMNS):
        row = figures[i : i + COLUMNS]
        sizes = [Pillow.open(BytesIO(one.jpeg)).size for one in row]
        high = max(wide * y / x for x, y in sizes)
        if page.will_page_break(high + 16):
            page.add_page()
        top = page.get_y()
        lowest = top
        for place, (one, (x, y)) in enumerate(zip(row, sizes, strict=True)):
            left = page.l_margin + place * (wide + _GAP)
            page.image(BytesIO(one.jpeg), left, top, wide, wide * y / x, alt_text=one.caption)
            page.set_xy(left, top + high + 1)
            page.set_font("sans", "", 7.5)
            page.set_text_color(*_SOFT)
            page.multi_cell(wide, 3.4, one.caption, align="L", new_x="LMARGIN", new_y="NEXT")
            lowest = max(lowest, page.get_y())
        page.set_y(lowest + 3)
