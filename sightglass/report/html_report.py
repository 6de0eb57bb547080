"""Interactive HTML report.

The page holds its pictures, maps and script, and its Content-Security-Policy forbids everything else by hashes: it
makes no request. Names of files and classes are escaped, whatever they contain.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from sightglass.common.errors import Problem
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital, listing, pixels, plain_text, plural, quantity, without_emphasis
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering.render import map_lut, paint
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.explain.tasks.detect import box_sentence
from sightglass.explain.trust import FILLINGS
from sightglass.explain.trust.diagnosis import describe, diagnose
from sightglass.explain.trust.proof import COLUMNS, lines, rows
from sightglass.report import charts, table
from sightglass.report.drawing import mark
from sightglass.report.embedded_recipe import proved_recipe, python_call
from sightglass.report.figure import write_caption
from sightglass.report.layouts import WIDTH
from sightglass.report.view import reduce, require_map
from sightglass.report.views import describe_bar, explained_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain.result import Result

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
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
    """Headings of the columns of `rows`."""
    rows: tuple[tuple[str, ...], ...] = ()
    code: tuple[str, ...] = ()
    folded: bool = False
    """Whether a page shows it once it is opened."""


def html(explanations: Sequence[Result], *, index: int = 0, style: Style = VIEWER_STYLE) -> str:
    """Return a page with one section per map of each explanation, that at `index` first.

    Each shows the picture under the map, drawn by `style` with its opacity to choose, the predictions, the limitations
    and numbers of the map, the recipe and the call that reproduces it. A map that was proved (`Explanation.prove`)
    has its proof too: sentence, curves and numbers. Raises a Problem for no explanation, and for one without a map.

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
            _describe_map(result, place, style)
            for result in explanations
            for place in sorted(range(len(result.heatmaps)), key=lambda place: place != index)
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
    description, plain = describe(result, "The highlighted part", index), reduce(image.pixels, MAX_SIDE)
    size = plain.shape[1], plain.shape[0]
    field = heatmap.field.scaled((image.width, image.height), size)
    boxes = [box for box in explained_boxes(result, index) if box.explained]

    def draw(style: Style) -> str:
        pixels = mark(paint(plain, field, style), boxes, size[0] / WIDTH, style)
        return data_url(to_jpeg(pixels, 80), "jpeg")

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
    found, recipe, proof = result.known_checks(index), proved_recipe(result, index), result.proofs.get(index)
    boxes = box_sentence(result, index, result.heatmaps[index].target.label) or ""
    meaning = filter(None, (sentence, without_emphasis(boxes)))
    checks = () if found is None else [f"{check.words}. {check.sentence}" for check in found.checks]
    limits = [f"{capital(finding.level)}: {finding.text}" for finding in diagnose(result, index)]
    proved = []
    if proof is not None:
        first, *others = (FILLINGS[filling] for filling in proof.fillings)
        also = f"; computed again with {listing(others)}" if others else ""
        steps = plural(proof.map.steps, "step")
        setup = f"Hidden pixels become {first}{also}. {steps}, drawn for the first filling."
        about = (proof.sentence, *lines(proof), setup)
        chart = data_url(charts.figure(charts.describe_proof(proof), "svg"), "svg+xml")
        proved.append(Table("Is this map true?", about, chart, COLUMNS, tuple(rows(proof))))
    return (
        Table("What the map shows", (*meaning, *checks)),
        *proved,
        Table("Limitations", (*(limits or ["No limitations found."]), *result.notes)),
        Table("Make it again", (write_caption(result, index),), code=(python_call(recipe),), folded=True),
        Table("All numbers", rows=tuple(table.list_numbers(result.statistics[index])), folded=True),
        Table("Recipe", code=(json.dumps(recipe.model_dump(mode="json"), ensure_ascii=False),), folded=True),
    )


def fill(template: str, css: str, js: str = "", *, inline: bool = False, **values: Any) -> str:
    """Return a template's page with its `policy`, `style`, `script` and values; `inline`: elements have styles."""
    style = "'unsafe-inline'" if inline else f"'{source_hash(css)}'"
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src {style}; base-uri 'none'; form-action 'none'"
    )
    policy += f"; script-src '{source_hash(js)}'" if js else ""
    return PAGES.get_template(template).render(policy=Markup(policy), style=Markup(css), script=Markup(js), **values)


def read(name: str) -> str:
    """Return a file of this folder."""
    return (Path(__file__).parent / name).read_text("utf-8")


def data_url(data: bytes, kind: str) -> str:
    """Return a picture's bytes as an address; `kind`: `jpeg`, `png` or `svg+xml`."""
    return f"data:image/{kind};base64,{base64_text(data)}"


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def source_hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy allows a style or script."""
    return f"sha256-{base64_text(hashlib.sha256(text.encode()).digest())}"
