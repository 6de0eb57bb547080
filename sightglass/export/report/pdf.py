"""PDF report on A4."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from fpdf import FPDF
from fpdf.enums import WrapMode
from PIL import Image as Pillow

from sightglass.common.files import packing
from sightglass.explain.findings.diagnosis import describe
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import pixels, shorten
from sightglass.explain.proof.proof import lines
from sightglass.explain.rendering.render import map_lut
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.export import caption, command, table
from sightglass.export.proof import files as proof_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.proof.proof import Proof
    from sightglass.explain.rendering.style import Pixels
    from sightglass.models.adapter import Prediction

MAX_SIDE = 1000
"""Pixels of a picture's longer side: 240 to the inch at its printed size."""
OTHERS = 4
"""Maximum number of other maps, shown small."""
_EDGE, _GAP, _TALL = 15.0, 6.0, 104.0  # millimetres
_WIDTH = 210 - 2 * _EDGE
_INK, _SOFT = (23, 23, 23), (102, 102, 102)


def pdf(explanation: Explanation, index: int = 0, *, colormap: str = VIEWER_STYLE.colormap) -> bytes:
    """Return the report of one map as a PDF, with the recipe on its last page.

    A map that was proved (`Explanation.prove`) has its proof too: sentence, curves and numbers. Raises
    a Problem where there is no such map or colormap.

        result = Explainer("efficientnet-lite0")("bus.jpg")
        Path("bus.pdf").write_bytes(pdf(result))
    """
    heatmap = caption.check(explanation, index)
    page = _document(explanation, index)
    said = describe(explanation, "The hottest colour", index)
    _text(page, said.headline, 15, bold=True)
    image, method = explanation.image, METHODS[heatmap.method]
    name = method.name_for(explanation.model.task)
    about = f"{image.name}, {pixels(image.width, image.height)}, by {explanation.model.id}, {name}"
    seal = explanation.known_seal(index)
    _text(page, about, 9, colour=_SOFT, after=3 if seal is None else 1)
    if seal is not None:
        _text(page, f"Seal: {seal.line}", 9, colour=_SOFT, after=3)
    _pictures(page, explanation, index, colormap)
    _bar(page, explanation, index, colormap)
    _others(page, explanation, index, colormap)
    _head(page, "What the map shows")
    _text(page, said.slide(), 9.5)
    if inside := caption.inside_boxes(explanation, index):
        _text(page, inside, 9.5)
    if seal is not None:
        for mark in seal.marks:
            _text(page, f"{mark.words}. {mark.sentence}", 9.5, after=0.6)
    if (proof := explanation.proofs.get(index)) is not None:
        _proof(page, proof)
    _head(page, "Limitations")
    for line in (*caption.caveats(explanation, index), *explanation.notes):
        _text(page, line, 9.5, after=0.6)
    _head(page, "How to reproduce it")
    _text(page, caption.caption(explanation, index), 9.5, after=1.5)
    recipe = proof_files.recipe(explanation, index)
    _code(page, command.line(recipe), 8.5)
    if again := command.replay(recipe):
        words = "Or save the recipe below as recipe.json and replay it, which checks the picture and the weights:"
        _text(page, words, 9.5)
        _code(page, again, 8.5)
    _head(page, "All numbers")
    _numbers(page, explanation, index)
    _head(page, "Recipe")
    _code(page, caption.listing(recipe), 7.5)
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


def _text(
    page: FPDF, text: str, size: float, *, bold: bool = False, colour: tuple[int, int, int] = _INK, after: float = 1
) -> None:
    page.set_font("sans", "B" if bold else "", size)
    page.set_text_color(*colour)
    # Break between letters where a single word would not fit on a line.
    wrap = WrapMode.CHAR if max(map(len, text.split()), default=0) > 60 else WrapMode.WORD
    page.multi_cell(0, size * 0.46, text, align="L", new_x="LMARGIN", new_y="NEXT", wrapmode=wrap)
    page.ln(after)


def _head(page: FPDF, text: str) -> None:
    if page.will_page_break(20):
        page.add_page()
    page.ln(2.5)
    _text(page, text, 11, bold=True)


def _code(page: FPDF, text: str, size: float) -> None:
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
    """Put the picture and the overlay side by side, or stack them where they are wide."""
    ratio = explanation.image.width / explanation.image.height
    stacked = ratio > 2.4
    wide = min(_WIDTH if stacked else (_WIDTH - _GAP) / 2, _TALL * ratio)
    high, top = wide / ratio, page.get_y()
    own = explanation.own(index)
    overlay = caption.overlay(explanation.heatmaps[index], explanation.image, MAX_SIDE, Style(colormap=colormap))
    both = (caption.reduce(explanation.image.pixels, MAX_SIDE), explanation.predictions or own), (overlay, own)
    for i, (drawn, boxes) in enumerate(both):
        left = _EDGE if stacked else _EDGE + (_WIDTH - 2 * wide - _GAP) / 2 + i * (wide + _GAP)
        down = top + (i * (high + 2) if stacked else 0)
        _image(page, drawn, left, down, wide, high)
        _boxes(page, explanation, boxes, (left, down, wide, high))
    page.set_y(top + high + (high + 2 if stacked else 0) + 3)


def _image(page: FPDF, drawn: Pixels, left: float, top: float, wide: float, high: float) -> None:
    out = BytesIO()
    Pillow.fromarray(drawn).save(out, "JPEG", quality=90, subsampling=0)
    out.seek(0)
    page.image(out, left, top, wide, high)


def _boxes(
    page: FPDF, explanation: Explanation, boxes: Sequence[Prediction], frame: tuple[float, float, float, float]
) -> None:
    answers = explanation.task.answers(explanation, boxes)
    left, top, wide, high = frame
    scale = wide / explanation.image.width
    # A box may reach over the picture's edge.
    with page.local_context(), page.rect_clip(left, top, wide, high):
        page.set_font("sans", "", 6)

        def room(words: str) -> float:
            return float(page.get_string_width(words)) + 1.6

        for mark, text, x, y in caption.place_labels(answers, (left, top), scale, 2.8, room):
            points = [(left + x * scale, top + y * scale) for x, y in mark.points]
            for grey, width in ((20, 0.75), (255, 0.35)):
                page.set_draw_color(grey)
                page.set_line_width(width)
                page.polygon(points, style="D")
            page.set_fill_color(20)
            page.rect(x, y, room(text), 2.8, style="F")
            page.set_text_color(255)
            page.text(x + 0.8, y + 2.1, text)


def _bar(page: FPDF, explanation: Explanation, index: int, colormap: str) -> None:
    heatmap = explanation.heatmaps[index]
    ends, meaning = caption.bar(heatmap, explanation.model.unit_of(heatmap.target.label))
    top = page.get_y()
    out = BytesIO()
    Pillow.fromarray(map_lut(heatmap.kind, colormap)[None]).save(out, "PNG")
    out.seek(0)
    page.image(out, _EDGE, top, _WIDTH, 3)
    page.set_y(top + 3.4)
    page.set_font("sans", "", 8)
    page.set_text_color(*_INK)
    for text, align in zip((*ends, ""), ("L", "C", "R", ""), strict=True):
        if text:
            page.set_x(_EDGE)
            page.cell(_WIDTH, 4, text, align=align)
    page.ln(4)
    page.set_text_color(*_SOFT)
    page.cell(_WIDTH, 4, f"{meaning}; {caption.describe_line(heatmap)}", align="C", new_x="LMARGIN", new_y="NEXT")
    page.ln(3)


def _others(page: FPDF, explanation: Explanation, index: int, colormap: str) -> None:
    others = [i for i in range(len(explanation.heatmaps)) if i != index][:OTHERS]
    if not others:
        return
    wide = (_WIDTH - (OTHERS - 1) * _GAP) / OTHERS
    high = min(wide / (explanation.image.width / explanation.image.height), 48.0)
    wide = high * explanation.image.width / explanation.image.height
    if page.will_page_break(high + 8):
        page.add_page()
    top = page.get_y()
    for place, i in enumerate(others):
        left = _EDGE + place * (_WIDTH + _GAP) / OTHERS
        small = caption.overlay(explanation.heatmaps[i], explanation.image, 360, Style(colormap=colormap))
        _image(page, small, left, top, wide, high)
        page.set_xy(left, top + high + 0.6)
        page.set_font("sans", "", 8)
        page.set_text_color(*_INK)
        room = (_WIDTH + _GAP) / OTHERS - 2
        page.cell(room, 4, shorten(caption.title(explanation, i), room, page.get_string_width))
    page.set_xy(_EDGE, top + high + 6)


def _proof(page: FPDF, proof: Proof) -> None:
    """Write what a proof found: its sentences, both charts as vectors, and a row of numbers for each curve."""
    _head(page, "Is this map true?")
    for line in (proof.sentence, *lines(proof)):
        _text(page, line, 9.5, after=0.6)
    _text(page, proof_files.describe_settings(proof), 8, colour=_SOFT)
    proof_files.charts(page, proof)
    proof_files.numbers(page, proof)
    _text(page, proof_files.ABOUT, 8, colour=_SOFT)


def _numbers(page: FPDF, explanation: Explanation, index: int) -> None:
    page.set_font("sans", "", 8)
    page.set_text_color(*_INK)
    page.set_draw_color(220)
    page.set_fill_color(255)
    page.set_line_width(0.2)
    with page.table(
        col_widths=(32, 32, 116),
        borders_layout="HORIZONTAL_LINES",
        line_height=3.8,
        padding=(0.4, 2, 0.4, 0),
        text_align="LEFT",
        first_row_as_headings=False,
    ) as rows:
        for name, value, meaning in table.list_numbers(explanation.statistics[index]):
            row = rows.row()
            row.cell(name)
            row.cell(value, align="RIGHT")
            row.cell(meaning)
