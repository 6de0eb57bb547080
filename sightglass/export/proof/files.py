"""Files of a proof: numbers, recipe, and the figure of its curves."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from sightglass.common.files import Json, to_json
from sightglass.explain.findings.reliability import of_proof
from sightglass.explain.phrases import listing, percent, plain_text, plural
from sightglass.explain.picture.image import to_png
from sightglass.explain.proof import FILLINGS
from sightglass.explain.proof.proof import CONTROLS, is_shown, lines, rows
from sightglass.explain.proof.support import SHOWN
from sightglass.explain.recipe import ProofSettings, Recipe
from sightglass.export import embedded_recipe, results
from sightglass.export.caption import check_format
from sightglass.export.embedded_recipe import sealed_recipe
from sightglass.export.figure import LOCK, save
from sightglass.export.proof.chart import (
    INKS,
    LINE,
    WAYS,
    Chart,
    ChartFrame,
    ChartLine,
    Pen,
    chart,
    dashes,
    draw_chart,
    draw_line,
    slides,
    stroke,
    write,
)
from sightglass.export.proof.chart import lines as chart_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fpdf import FPDF
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sightglass.explain.maps.statistics import Statistics
    from sightglass.explain.proof.proof import Proof
    from sightglass.explain.result import Result

    File = tuple[str, bytes]


PROOF, CURVES = "proof.json", "proof.png"
Format = Literal["png", "svg", "pdf"]
_PANELS = {"deletion": "hottest part hidden", "insertion": "only the hottest part kept"}
WIDTH = 112
"""Letters of a line of the sentence."""
_SIZE = (7.2, 3.9)  # inches


def settings(index: int, proof: Proof) -> ProofSettings:
    """Return how the map of that index was proved."""
    return ProofSettings(index=index, steps=proof.map.steps, fillings=proof.fillings)


def recipe(explanation: Result, index: int, proof: Proof | None = None) -> Recipe:
    """Return the recipe of an explanation with its seals, and with the proof of one of its maps if there is one.

    `proof`: by default the explanation's own.
    """
    proof = proof or explanation.proofs.get(index)
    made = sealed_recipe(explanation)
    return made if proof is None else made.model_copy(update={"prove": settings(index, proof)})


def summary(explanation: Result, index: int, proof: Proof) -> Json:
    """Return everything about a proof of a map, as the values of `results.ProofResult`."""
    return results.to_dict(results.ProofResult, fields(explanation, index, proof))


def fields(explanation: Result, index: int, proof: Proof) -> Json:
    """Return the fields of `results.ProofResult` for a proof of a map of an explanation."""
    heatmap, model = explanation.heatmaps[index], explanation.model
    made = recipe(explanation, index, proof)
    return describe(proof, explanation.image.name, model.task, heatmap, explanation.statistics[index], made)


def describe(proof: Proof, picture: str, task: str, item: Any, statistics: Statistics, recipe: Recipe) -> Json:
    """Return the fields of `results.ProofResult`; `item`: the map, of an explanation or a record."""
    return {
        "picture": picture,
        "model": recipe.model,
        "method": item.method,
        "layers": item.layers,
        **proof.summary(),
        "findings": [plain_text(finding.text) for finding in of_proof(task, statistics, proof)],
        "recipe": recipe,
    }


def curves(explanation: Result, index: int, proof: Proof, format: Format = "png") -> bytes:
    """Return the curves of a proof as a figure; a PNG has the recipe in its metadata."""
    drawn = figure(proof, format)
    if format != "png":
        return drawn
    return embedded_recipe.write(drawn, recipe(explanation, index, proof), embedded_recipe.view_of(explanation, index))


def files(explanation: Result, index: int, proof: Proof) -> Iterator[File]:
    """Yield the curves as a figure, with the recipe in its metadata, and then the numbers."""
    yield CURVES, curves(explanation, index, proof)
    yield PROOF, to_json(summary(explanation, index, proof)).encode()


def figure(proof: Proof, format: Format = "png") -> bytes:
    """Return the score over the share that is hidden, and that alone is kept; the same proof, the same bytes.

    A control's line is the mean over its maps, for the proof's first filling. In SVG and PDF lines and text are
    vectors. Raises a Problem for another format.
    """
    check_format("figure", format, get_args(Format))
    with LOCK:
        return save(partial(_draw_figure, proof), proof.sentence, format)


def _draw_figure(proof: Proof) -> Figure:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=_SIZE)
    for place, (way, words) in enumerate(_PANELS.items()):
        axes = drawn.add_axes((0.075 + 0.48 * place, 0.27, 0.41, 0.55))
        _curves(axes, proof, way)
        axes.set_title(words, fontsize=8.5)
        axes.set_xlabel("share of the visible picture", fontsize=7.5)
    left = drawn.axes[0]
    left.set_ylabel(f"score of {textwrap.shorten(proof.label, 40, placeholder='…')}", fontsize=7.5)
    handles, labels = left.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="lower center", ncols=3, fontsize=7, frameon=False, handlelength=4)
    drawn.text(0.01, 0.985, textwrap.fill(proof.sentence, WIDTH), va="top", fontsize=8.5)
    return drawn


def _curves(axes: Axes, proof: Proof, way: str) -> None:
    axes.plot(
        proof.map.shares * 100,
        getattr(proof.map, way).score,
        color=INKS["map"],
        linewidth=2.4,
        zorder=3,
        label="this map",
    )
    for name in proof.controls:
        curves = proof.of(name)
        mean, shares = np.mean([getattr(curve, way).score for curve in curves], axis=0), curves[0].shares * 100
        # Matplotlib takes the lengths by the line's width.
        style = (0, dashes(name, 1))
        axes.plot(shares, mean, linestyle=style, color=INKS[name], linewidth=1.1, label=CONTROLS[name])
    scores = [score for curve in proof.curves for one in _PANELS for score in getattr(curve, one).score.tolist()]
    axes.set_xlim(0, 100)
    axes.set_ylim(min(0.0, *scores), max(*scores, 0.01) * 1.05)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f} %")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


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


def describe_settings(proof: Proof) -> str:
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
        "settings": describe_settings(proof),
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
    # Imported here: Jinja2 is needed for reports only.
    from sightglass.export.offline_page import data_url

    proof, heatmap = explanation.proofs[index], explanation.heatmaps[index].measured
    left, top, right, bottom = heatmap.seen
    made = slides(explanation.image.pixels[top:bottom, left:right], heatmap.strength)
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
