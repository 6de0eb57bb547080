"""Draw a proof on paper: its charts as vectors, and the numbers of each curve beside a sample of its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explain.export import proof_report
from explain.export.proof_chart import Chart, Frame, Path, chart

if TYPE_CHECKING:
    from fpdf import FPDF

    from explain.faithfulness.proof import Proof

_TALL, _GAP, _ROW, _SAMPLE, _NAME = 46.0, 6.0, 4.6, 11.0, 54.0  # millimetres
_INK, _SOFT = (23, 23, 23), (102, 102, 102)
_COLUMNS = (0.15, 0.15, 0.17, 0.16, 0.18, 0.19)
"""Widths of the numbers' columns, by the room that they share."""


def charts(page: FPDF, proof: Proof) -> None:
    """Draw what hiding and keeping do, side by side below what is on the page."""
    frame = Frame((page.epw - _GAP) / 2, _TALL, 11, 3, 6, 9)
    if page.will_page_break(_TALL):
        page.add_page()
    top = page.get_y()
    for i, drawn in enumerate((chart(proof, "hidden", frame), chart(proof, "kept", frame))):
        _chart(page, drawn, proof.fillings[0], page.l_margin + i * (frame.width + _GAP), top)
    page.set_y(top + _TALL + 2)


def numbers(page: FPDF, proof: Proof) -> None:
    """Write a row for the map and for each control: the line's sample, its name, and its numbers."""
    listed = proof_report.rows_of(proof)
    if page.will_page_break(_ROW * (len(listed) + 1)):
        page.add_page()
    _row(page, "", proof_report.heads(proof))
    for row in listed:
        middle = page.get_y() + _ROW / 2
        sample = Path(row.line.name, "", ((0.0, middle), (_SAMPLE - 2, middle)))
        _line(page, sample, page.l_margin, 0)
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


def _chart(page: FPDF, drawn: Chart, filling: str, left: float, top: float) -> None:
    frame = drawn.frame
    page.set_font("sans", "", 7)
    page.set_text_color(*_SOFT)
    page.set_line_width(0.15)
    page.text(left, top + 2.5, drawn.title)
    for i, (y, score) in enumerate(drawn.rows):
        page.set_draw_color(220 if i else 102)
        page.line(left + frame.left, top + y, left + frame.width - frame.right, top + y)
        page.text(left + frame.left - 1 - page.get_string_width(score), top + y + 0.9, score)
    for x, share in drawn.columns:
        page.text(left + x - page.get_string_width(share) / 2, top + frame.down(0) + 3.6, share)
    middle = left + frame.across(0.5)
    page.text(middle - page.get_string_width(drawn.axis) / 2, top + frame.down(0) + 7.2, drawn.axis)
    for path in drawn.paths:
        if path.filling == filling:
            _line(page, path, left, top)


def _line(page: FPDF, path: Path, left: float, top: float) -> None:
    """Draw a curve, or a sample of one, with its dashes."""
    width = 0.7 if path.name == "map" else 0.35
    (x, y), *rest = path.points
    with page.new_path(left + x, top + y) as drawn:
        drawn.style.auto_close, drawn.style.fill_color, drawn.style.stroke_color = False, None, path.colour
        drawn.style.stroke_width, drawn.style.stroke_cap_style = width, "butt"
        drawn.style.stroke_dash_pattern = [dash * width for dash in path.dashes] or None
        for x, y in rest:
            drawn.line_to(left + x, top + y)
