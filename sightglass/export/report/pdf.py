"""PDF report on A4."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from fpdf import FPDF
from fpdf.enums import WrapMode

from sightglass.common.files import packing
from sightglass.explain.rendering.style import VIEWER_STYLE
from sightglass.export import caption
from sightglass.export.figure import figure as draw_figure
from sightglass.export.proof.files import figure
from sightglass.export.view import map_view

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from sightglass.export.view import Section

_EDGE = 15.0  # millimetres
_WIDTH = 210 - 2 * _EDGE
_INK, _SOFT = (23, 23, 23), (102, 102, 102)


def pdf(explanation: Explanation, index: int = 0, *, colormap: str = VIEWER_STYLE.colormap) -> bytes:
    """Return one map's report as a PDF, with the recipe last.

    A map that was proved (`Explanation.prove`) has its proof too: sentence, curves and numbers. Raises
    a Problem where there is no such map or colormap.

        result = Explainer("efficientnet-lite0")("bus.jpg")
        Path("bus.pdf").write_bytes(pdf(result))
    """
    caption.check(explanation, index)
    page, view = _document(explanation, index), map_view(explanation, index)
    _text(page, view.title, 15, bold=True)
    _text(page, view.about, 9, colour=_SOFT, after=1 if view.checks else 3)
    if view.checks:
        _text(page, " · ".join(words for _, words, _ in view.checks), 9, colour=_SOFT, after=3)
    page.image(BytesIO(draw_figure(explanation, index, format="jpg", colormap=colormap)), w=_WIDTH)
    page.ln(3)
    for section in view.sections:
        _section(page, section)
    return bytes(page.output())


def _document(explanation: Explanation, index: int) -> FPDF:
    page = FPDF(format="A4")
    page.set_margin(_EDGE)
    page.set_auto_page_break(True, _EDGE)
    page.c_margin = 0
    for family, style, name in (("", "", "DejaVuSans"), ("", "B", "DejaVuSans-Bold"), ("mono", "", "DejaVuSansMono")):
        page.add_font(family or "sans", style, str(packing.font(name)))
    page.set_title(f"{explanation.image.name}: {caption.title(explanation, index)}")
    page.set_creator("Sightglass")
    page.set_lang("en")
    page.add_page()
    return page


def _section(page: FPDF, section: Section) -> None:
    if page.will_page_break(20):
        page.add_page()
    page.ln(2.5)
    _text(page, section.title, 11, bold=True)
    for line in section.lines:
        _text(page, line, 9.5)
    if section.chart is not None:
        page.image(BytesIO(figure(section.chart)), w=_WIDTH)
        page.ln(2)
    if section.rows:
        _table(page, section)
    for code in section.code:
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


def _code(page: FPDF, text: str, size: float = 8) -> None:
    page.set_font("mono", "", size)
    page.set_text_color(*_INK)
    page.set_fill_color(245, 245, 245)
    # multi_cell also breaks a word that is longer than a line.
    about: Json = {"align": "L", "fill": True, "padding": 2, "new_x": "LMARGIN", "new_y": "NEXT"}
    tall: Any = page.multi_cell(0, size * 0.48, text, **about, dry_run=True, output="HEIGHT")
    if text.count("\n") == 0 and page.will_page_break(tall):
        page.add_page()
    page.multi_cell(0, size * 0.48, text, **about)
    page.ln(1.5)


def _table(page: FPDF, section: Section) -> None:
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
