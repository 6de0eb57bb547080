"""Interactive HTML report.

The page holds its pictures, maps and script, and its Content-Security-Policy forbids everything else by hashes: it
makes no request. Names of files and classes are escaped, whatever they contain.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import escape

from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital, listing, pixels, plain_text, plural, quantity, without_emphasis
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering.render import map_lut, paint
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.explain.result import Result
from sightglass.explain.tasks.detect import box_sentence
from sightglass.explain.trust import FILLINGS
from sightglass.explain.trust.diagnosis import describe, diagnose
from sightglass.explain.trust.proof import COLUMNS, Proof, lines, rows
from sightglass.report import charts, table
from sightglass.report.drawing import mark
from sightglass.report.embedded_recipe import proved_recipe, python_call
from sightglass.report.figure import write_caption
from sightglass.report.html_page import data_url, fill, read
from sightglass.report.layouts import WIDTH
from sightglass.report.view import reduce, require_map
from sightglass.report.views import describe_bar, explained_boxes

MAX_SIDE = 1000
"""Pixels of a picture's longer side on the page."""


@dataclass(frozen=True)
class Table:
    """A part of a report: a heading with what stands below it."""

    title: str
    lines: tuple[str, ...] = ()
    chart: str = ""
    """Address of a picture below the lines."""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    code: tuple[str, ...] = ()
    folded: bool = False
    """Whether a page shows it once it is opened."""


def html(explanations: Sequence[Result], *, index: int = 0, style: Style = VIEWER_STYLE) -> str:
    """Return a page with one section per map of each explanation, that at `index` first.

    Each section has the picture under the map, drawn by `style` with its opacity to choose, the predictions, the
    limitations and numbers of the map, the recipe and the call that reproduces it; and the map's proof
    (`Explanation.prove`), if it has one. Raises Problem for no explanation, and for one without a map.

        result = Explainer("efficientnet-lite0")("bus.jpg", top_k=3)
        Path("bus.html").write_text(html([result]), "utf-8")
    """
    if not explanations:
        raise Problem("There is nothing to report: give at least one explanation.")
    for result in explanations:
        require_map(result, 0)
    style = replace(style, mode="overlay") if style.mode == "picture" else style
    return fill(
        "report.html",
        read("report.css"),
        read("report.js"),
        title=f"{explanations[0].model.id}: {explanations[0].image.name}",
        about=f"{plural(len(explanations), 'explanation')}.",
        alpha=1.0 if style.mode in ("map", "contour") else style.alpha,
        maps=[
            _describe_map(result, i, style)
            for result in explanations
            for i in sorted(range(len(result.heatmaps)), key=lambda i: i != index)
        ],
    )


def frame(explanations: Sequence[Result]) -> str:
    """Return the page of `html` as a sandboxed frame for notebooks, 760 pixels high."""
    document = escape(html(explanations))
    return (
        f'<iframe srcdoc="{document}" sandbox="allow-scripts" title="Explanation" '
        'style="width:100%;height:760px;border:0"></iframe>'
    )


def _describe_map(result: Result, index: int, style: Style) -> Json:
    """Return the template values of one map over its picture."""
    heatmap, image, method = result.heatmaps[index], result.image, METHODS[result.heatmaps[index].method]
    ends, meaning = describe_bar(heatmap, result.model.unit_of(heatmap.target.label))
    description, small = describe(result, "The highlighted part", index), reduce(image.pixels, MAX_SIDE)
    size = small.shape[1], small.shape[0]
    field = heatmap.field.scaled((image.width, image.height), size)
    boxes = [box for box in explained_boxes(result, index) if box.explained]

    def draw(style: Style) -> str:
        return data_url(to_jpeg(mark(paint(small, field, style), boxes, size[0] / WIDTH, style), 80), "jpeg")

    return {
        "headline": description.headline,
        "about": f"{image.name}, {pixels(image.width, image.height)}, by {result.model.id}, "
        f"{method.name_for(result.model.task)}",
        "name": image.name,
        "target": heatmap.target.label,
        "answers": [plain_text(answer.line) for answer in result.task.wording.answers(result, result.predictions)],
        # Dimmed where the model saw nothing, and with the map's line, which an opacity of 0 has not.
        "picture": draw(replace(style, mode="overlay", alpha=1 / 256)),
        "layer": draw(replace(style, alpha=1.0)),
        "size": size,
        "bar": data_url(to_png(map_lut(heatmap.kind, style.colormap, over=style.mode != "blend")[None]), "png"),
        "ends": ends,
        "meaning": f"{capital(meaning)}. Raw values: {' to '.join(map(quantity, heatmap.raw_range))}.",
        "tables": _list_tables(result, index, description.slide()),
    }


def _list_tables(result: Result, index: int, sentence: str) -> tuple[Table, ...]:
    """Return the tables below a map; `sentence`: the map's description."""
    checks, recipe, proof = result.known_checks(index), proved_recipe(result, index), result.proofs.get(index)
    boxes = box_sentence(result, index, result.heatmaps[index].target.label) or ""
    meaning = filter(None, (sentence, without_emphasis(boxes)))
    outcomes = [f"{check.words}. {check.sentence}" for check in (checks.checks if checks is not None else ())]
    limits = [f"{capital(finding.level)}: {finding.text}" for finding in diagnose(result, index)]
    return (
        Table("What the map shows", (*meaning, *outcomes)),
        *([_proof_table(proof)] if proof is not None else ()),
        Table("Limitations", tuple(limits) or ("No limitations found.",)),
        Table("Make it again", (write_caption(result, index),), code=(python_call(recipe),), folded=True),
        Table("All numbers", rows=tuple(table.list_numbers(result.statistics[index])), folded=True),
        Table("Recipe", code=(json.dumps(recipe.model_dump(mode="json"), ensure_ascii=False),), folded=True),
    )


def _proof_table(proof: Proof) -> Table:
    """Return a proof's sentences, curves and numbers."""
    first, *others = (FILLINGS[filling] for filling in proof.fillings)
    also = f"; computed again with {listing(others)}" if others else ""
    setup = f"Hidden pixels become {first}{also}. {plural(proof.map.steps, 'step')}, drawn for the first filling."
    chart = data_url(charts.figure(charts.describe_proof(proof), "svg"), "svg+xml")
    return Table("Is this map true?", (proof.sentence, *lines(proof), setup), chart, COLUMNS, tuple(rows(proof)))
