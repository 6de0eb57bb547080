"""Draw a proof on PDF pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.export.proof import report as proof_report
from sightglass.export.proof.chart import INKS, WAYS, ChartFrame, Pen, chart, draw_chart, draw_line

if TYPE_CHECKING:
    from fpdf import FPDF

    from sightglass.explain.proof.proof import Proof

_TALL, _GAP, _ROW, _SAMPLE, _NAME = 46.0, 6.0, 4.6, 11.0, 54.0  # millimetres
_INK, _SOFT = (23, 23, 23), (102, 102, 102)
_PEN = Pen(INKS, grid="#dcdcdc", zero="#666666", thin=0.15, line=0.35, bold=0.7, gaps=(1, 0.9, 3.6, 7.2))
_COLUMNS = (0.15, 0.15, 0.17, 0.16, 0.18, 0.19)
"""Widths of the numbers' columns, by the room that they share."""


def charts(page: FPDF, proof: Proof) -> None:
    """Draw what hiding and keeping do, side by side below what is on the page."""
    frame = ChartFrame((page.epw - _GAP) / 2, _TALL, 11, 3, 6, 9)
    if page.will_page_break(_TALL):
        page.add_page()
    top = page.get_y()
    page.set_font("sans", "", 7)
    page.set_text_color(*_SOFT)
    for i, way in enumerate(WAYS):
        drawn, left = chart(proof, way, proof.fillings[0]), page.l_margin + i * (frame.width + _GAP)
        page.text(left, top + 2.5, drawn.title)
        draw_chart(page, drawn, frame, (left, top), _PEN)
    page.set_y(top + _TALL + 2)


def numbers(page: FPDF, proof: Proof) -> None:
    """Write a row for the map and for each control: the line's sample, its name, and its numbers."""
    listed = proof_report.rows_of(proof)
    if page.will_page_break(_ROW * (len(listed) + 1)):
        page.add_page()
    _row(page, "", proof_report.heads(proof))
    for row in listed:
        middle = page.get_y() + _ROW / 2
        sample = [(page.l_margin, middle), (page.l_margin + _SAMPLE - 2, middle)]
        draw_line(page, row.line.name, sample, _PEN)
        _row(page, row.line.title, (row.hidden, row.kept, *row.numbers))
    page.ln(1)


def _row(page: FPDF, name: str, values: tuple[str, ...]) -> None:
    page.set_font("sans", "", 7.5)
    page.set_text_color(*_INK)
    page.set_x(page.l_margin + _SAMPLE)
    page.cell(_NAME - _SAMPLE, _ROW, name)
    for value, width in zip(values, _COLUMNS, strict=True):
        page.cell((page.epw - _NAME) * width, _ROW, value, align="R")
    page.set_draw_color(220)
    page.set_line_width(0.15)
    page.ln(_ROW)
    page.line(page.l_margin, page.get_y(), page.l_margin + page.epw, page.get_y())
