"""Set out a proof for reports, and draw it on PDF pages."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sightglass.explain.phrases import listing, percent, plural
from sightglass.explain.picture.image import to_png
from sightglass.explain.proof import FILLINGS
from sightglass.explain.proof.measures import is_shown, lines, rows
from sightglass.explain.proof.support import SHOWN
from sightglass.export.offline_page import data_url
from sightglass.export.proof import view as proof_view
from sightglass.export.proof.chart import (
    INKS,
    LINE,
    WAYS,
    Chart,
    ChartFrame,
    ChartLine,
    Pen,
    chart,
    draw_chart,
    draw_line,
    stroke,
)
from sightglass.export.proof.chart import lines as chart_lines
from sightglass.export.proof.view import write

if TYPE_CHECKING:
    from fpdf import FPDF

    from sightglass.common.files import Json
    from sightglass.explain.proof.proof import Proof
    from sightglass.explain.result import Result

ABOUT = (
    "Hidden and kept: the mean score over all shares, for the first filling. A good map has little left when its "
    "hottest part is hidden, and much when only that is kept. Better: kept less hidden, the map's less the control's, "
    "over all seeds and fillings. Where the interval is above 0, it is no accident. A score with \u2248 was not "
    "measured but lies between two that were."
)
_FRAME = ChartFrame(460, 250, 58, 14, 10, 44)
_WIDTHS = {True: 3.2, False: LINE}
"""Of the map's line and of a control's, in the chart's pixels."""
_TALL, _GAP, _ROW, _SAMPLE, _NAME = 46.0, 6.0, 4.6, 11.0, 54.0  # millimetres
_INK, _SOFT = (23, 23, 23), (102, 102, 102)
_PEN = Pen(INKS, grid="#dcdcdc", zero="#666666", thin=0.15, line=0.35, bold=0.7, gaps=(1, 0.9, 3.6, 7.2))
_COLUMNS = (0.15, 0.15, 0.17, 0.16, 0.18, 0.19)
"""Widths of the numbers' columns, by the room that they share."""


@dataclass(frozen=True)
class CurveRow:
    """What is said of a curve in numbers."""

    line: ChartLine
    hidden: str
    """The score with a small share hidden, that of `first_step`."""
    kept: str
    numbers: tuple[str, ...]
    """As `measures.rows`, without the name."""


def settings(proof: Proof) -> str:
    """Say how the proof was made: what hidden pixels become, and in how many steps."""
    first, *rest = (FILLINGS[one] for one in proof.fillings)
    also = f"; computed again with {listing(rest)}" if rest else ""
    shown = " In the pictures, colours that are interpolated are shown as a blur." if "linear" in proof.fillings else ""
    return f"Hidden pixels become {first}{also}. {plural(proof.map.steps, 'step')}, drawn for the first filling.{shown}"


def first_step(proof: Proof) -> int:
    """Return the step whose scores are shown before anybody moves a slider."""
    return max(1, round(SHOWN * proof.map.steps))


def heads(proof: Proof) -> tuple[str, ...]:
    """Return the headings of a row's numbers."""
    share = percent(first_step(proof) / proof.map.steps)
    return f"{share} hidden", f"{share} kept", "mean hidden", "mean kept", "better by", "95 % interval"


def rows_of(proof: Proof) -> list[CurveRow]:
    """Return a row for the map and for each control, for the first filling.

    A difference that does not agree with known causes (`measures.SHOWN`) is left out; the row names its curve.
    """
    share = first_step(proof) / proof.map.steps
    own = [line for line in chart_lines(proof) if line.filling == proof.fillings[0]]
    return [
        CurveRow(
            line,
            write(line.hidden, share),
            write(line.kept, share),
            tuple(numbers if line.name == "map" or is_shown(line.name) else (*numbers[:2], "", "")),
        )
        for line, (_, *numbers) in zip(own, rows(proof, every=True), strict=True)
    ]


def view(proof: Proof) -> Json:
    """Return what the HTML report's template says of a proof."""
    listed, many, start = rows_of(proof), proof.map.steps, first_step(proof)
    own = [row.line for row in listed]
    charts = [chart(proof, way) for way in WAYS]
    return {
        "label": proof.label,
        "sentence": proof.sentence,
        "lines": lines(proof),
        "settings": settings(proof),
        "fillings": [(one, FILLINGS[one]) for one in proof.fillings],
        "steps": many,
        "start": start,
        "share": percent(start / many),
        "frame": _FRAME,
        "charts": [(one, [(line, _path(one, line)) for line in reversed(one.lines)]) for one in charts],
        "heads": heads(proof)[2:],
        "rows": [(row, _stroke(row.line)) for row in listed],
        "about": ABOUT,
        "titles": [line.title for line in own],
        "scores": [
            (percent(i / many), [(write(line.hidden, i / many), write(line.kept, i / many)) for line in own])
            for i in range(many + 1)
        ],
    }


def data(explanation: Result, index: int) -> Json:
    """Return what the HTML report's script draws of the proof of a map."""
    proof, heatmap = explanation.proofs[index], explanation.heatmaps[index].measured
    left, top, right, bottom = heatmap.seen
    made = proof_view.slides(explanation.image.pixels[top:bottom, left:right], heatmap.strength)
    return {
        "steps": proof.map.steps,
        "size": made.size,
        "grid": made.order.shape[::-1],
        "picture": data_url(made.picture, "jpeg"),
        "blurred": data_url(made.blurred, "jpeg"),
        "mean": made.mean,
        "order": data_url(to_png(made.order), "png"),
        "lines": [
            {"name": line.name, "filling": line.filling, "hidden": line.hidden, "kept": line.kept}
            for line in chart_lines(proof)
        ],
        "frame": asdict(_FRAME),
        "top": chart(proof, "hidden").top,
    }


def _path(drawn: Chart, line: ChartLine) -> dict[str, str]:
    return {"d": f"M{'L'.join(f'{x:.1f} {y:.1f}' for x, y in drawn.points(line, _FRAME))}", **_stroke(line)}


def _stroke(line: ChartLine) -> dict[str, str]:
    return stroke(line.name, _WIDTHS[line.name == "map"])


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
    listed = rows_of(proof)
    if page.will_page_break(_ROW * (len(listed) + 1)):
        page.add_page()
    _row(page, "", heads(proof))
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
