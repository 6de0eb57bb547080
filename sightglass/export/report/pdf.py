"""PDF report on A4."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from fpdf import FPDF
from fpdf.enums import WrapMode
from PIL import Image as Pillow

from sightglass.common.files import packing
from sightglass.explain.phrases import plain_text
from sightglass.explain.rendering.marks import draw_marks
from sightglass.explain.rendering.render import map_lut
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.export import caption
from sightglass.export.proof.files import figure
from sightglass.export.view import map_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.rendering.style import Pixels
    from sightglass.export.view import Section
    from sightglass.models.adapter import Prediction

MAX_SIDE = 1000
"""Pixels of a picture's longer side: 240 to the inch at its printed size."""
_EDGE, _GAP, _TALL = 15.0, 6.0, 104.0  # millimetres
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
    _pictures(page, explanation, index, colormap)
    _bar(page, explanation, index, colormap)
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


def _pictures(page: FPDF, explanation: Explanation, index: int, colormap: str) -> None:
    """Put picture and overlay side by side, wide ones stacked."""
    ratio = explanation.image.width / explanation.image.height
    stacked = ratio > 2.4
    wide = min(_WIDTH if stacked else (_WIDTH - _GAP) / 2, _TALL * ratio)
    high, top = wide / ratio, page.get_y()
    marked, style = explanation.own(index), Style(colormap=colormap)
    overlay = caption.overlay(explanation.heatmaps[index], explanation.image, MAX_SIDE, style)
    both = ((caption.reduce(explanation.image.pixels, MAX_SIDE), explanation.predictions or marked), (overlay, marked))
    for i, (drawn, boxes) in enumerate(both):
        left = _EDGE if stacked else _EDGE + (_WIDTH - 2 * wide - _GAP) / 2 + i * (wide + _GAP)
        _image(page, _marked(explanation, drawn, boxes), left, top + (i * (high + 2) if stacked else 0), wide, high)
    page.set_y(top + high + (high + 2 if stacked else 0) + 3)


def _marked(explanation: Explanation, drawn: Pixels, predictions: Sequence[Prediction]) -> Pixels:
    """Return a scaled picture with the marks of answers."""
    scale = drawn.shape[1] / explanation.image.width
    answers = explanation.task.answers(explanation, predictions)
    items = [
        ([mark.moved(0, 0, (scale, scale)) for mark in answer.marks], plain_text(answer.line)) for answer in answers
    ]
    return draw_marks(drawn, items)


def _image(page: FPDF, drawn: Pixels, left: float, top: float, wide: float, high: float) -> None:
    out = BytesIO()
    Pillow.fromarray(drawn).save(out, "JPEG", quality=90, subsampling=0)
    out.seek(0)
    page.image(out, left, top, wide, high)


def _bar(page: FPDF, explanation: Explanation, index: int, colormap: str) -> None:
    heatmap = explanation.heatmaps[index]
    ends, meaning = caption.bar(heatmap, explanation.model.unit_of(heatmap.target.label))
    colours = Pillow.fromarray(map_lut(heatmap.kind, colormap, over=True)[None])
    page.image(colours, _EDGE, top := page.get_y(), _WIDTH, 3)
    page.set_y(top + 3.4)
    page.set_font("sans", "", 8)
    page.set_text_color(*_INK)
    for text, align in zip(ends, "LCR", strict=True):
        page.set_x(_EDGE)
        page.cell(_WIDTH, 4, text, align=align)
    page.ln(4)
    page.set_text_color(*_SOFT)
    page.cell(_WIDTH, 4, f"{meaning}; {caption.describe_line(heatmap)}", align="C", new_x="LMARGIN", new_y="NEXT")
    page.ln(3)


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
