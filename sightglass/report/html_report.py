"""Interactive HTML report.

The page holds its pictures, maps and script, and its Content-Security-Policy forbids everything else by hashes: it
makes no request. Names of files and classes are escaped, whatever they contain.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image as Pillow

from sightglass.common.errors import Problem
from sightglass.common.style import OVERLAY
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital, listing, pixels, plural, quantity, without_emphasis
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering import contours, render
from sightglass.explain.rendering.render import GROUNDS, in_grey, map_lut, paint, samples
from sightglass.explain.rendering.style import VIEWER_STYLE, Pixels, Style, lut
from sightglass.explain.tasks import describe_score
from sightglass.explain.tasks.detect import box_sentence
from sightglass.explain.trust import FILLINGS
from sightglass.explain.trust.diagnosis import describe, diagnose
from sightglass.explain.trust.proof import COLUMNS, lines, rows
from sightglass.report import charts, table
from sightglass.report.embedded_recipe import proved_recipe, python_call
from sightglass.report.figure import write_caption
from sightglass.report.view import Box, Map, reduce, require_map
from sightglass.report.views import describe_bar, explained_picture, make_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain.result import Result
    from sightglass.models.adapter import Prediction

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
    chart: bool = False
    """Whether the proof's curves are below the lines."""
    head: tuple[str, ...] = ()
    """Headings of the columns of `rows`."""
    rows: tuple[tuple[str, ...], ...] = ()
    code: tuple[str, ...] = ()
    folded: bool = False
    """Whether a page shows it once it is opened."""


def html(explanations: Sequence[Result], *, index: int = 0, style: Style = VIEWER_STYLE) -> str:
    """Return a page with one section per explanation, opened at `index`.

    Each shows the picture under the selected map with opacity and threshold to choose, the predictions, the limitations
    and numbers of the map, the recipe and the call that reproduces it. A map that was proved (`Explanation.prove`)
    has its proof too: sentence, curves and numbers. Raises a Problem for no explanation, and for one without a map.

        result = Explainer("efficientnet-lite0")("bus.jpg", top_k=3)
        Path("bus.html").write_text(html([result]), "utf-8")
    """
    if not explanations:
        raise Problem("There is nothing to report: give at least one explanation.")
    for result in explanations:
        require_map(result, 0)
    # Opacity of each of 256 strengths. In a blend they begin at a half: a browser drops the colour of clear pixels.
    floor = 0.5 if style.mode == "blend" else 0.0
    heat = [float(level >= 128) for level in range(256)] if floor else render.opacity(1.0).tolist()
    opacities = {"heat": heat, "signed": [level / 255 for level in range(256)]}
    return fill(
        "report.html",
        read("report.css"),
        read("report.js"),
        title=f"{explanations[0].model.id}: {explanations[0].image.name}",
        about=f"{plural(len(explanations), 'explanation')}.",
        alpha=style.alpha,
        floor=floor,
        grey=0.0 if floor else OVERLAY["grey"],
        ink=style.boxes,
        curves={kind: " ".join(f"{opacity:.3g}" for opacity in table) for kind, table in opacities.items()},
        groups=[_describe_result(result, index, style) for result in explanations],
    )


def frame(explanations: Sequence[Result]) -> str:
    """Return the page of `html` as a sandboxed frame for notebooks, 760 pixels high."""
    document = escape(html(explanations))
    return (
        f'<iframe srcdoc="{document}" sandbox="allow-scripts" title="Explanation" '
        'style="width:100%;height:760px;border:0"></iframe>'
    )


def _describe_result(result: Result, index: int, style: Style) -> Json:
    """Return the template values of a section: the maps of one picture, opened at `index`."""
    image, maps = result.image, range(len(result.heatmaps))
    plain = reduce(image.pixels, MAX_SIDE)
    height, width = plain.shape[:2]
    described = [_describe_map(result, i, plain, style) for i in maps]
    # Dimmed where the model saw nothing.
    dimmed = paint(plain, make_map(result, 0).field(width, height), Style(alpha=0.0))
    return {
        "name": image.name,
        "width": width,
        "height": height,
        "picture": data_url(to_jpeg(dimmed), "jpeg"),
        "maps": described,
        "first": index if index in maps else 0,
        "others": [(p.label, describe_score(p.score, result.model, p.label)) for p in _list_unmapped(result)],
    }


def _list_unmapped(result: Result) -> list[Prediction]:
    """Return the answers that no map explains."""
    mapped = {(p.index, p.anchor) for i in range(len(result.heatmaps)) for p in result.own(i)}
    classes = {heatmap.target.index for heatmap in result.heatmaps}
    return [
        p
        for p in result.predictions
        if (p.index, p.anchor) not in mapped and (p.box is not None or p.index not in classes)
    ]


def _describe_map(result: Result, index: int, plain: Pixels, style: Style) -> Json:
    """Return the template values of one map over a picture."""
    heatmap, picture, proof = result.heatmaps[index], explained_picture(result, index), result.proofs.get(index)
    target, share, method = heatmap.target.label, result.task.scorer.score(result, index), METHODS[heatmap.method]
    ends, meaning = describe_bar(heatmap, result.model.unit_of(target))
    image = f"{result.image.name}, {pixels(result.image.width, result.image.height)}"
    description = describe(result, "The highlighted part", index)
    return {
        "headline": description.headline,
        "about": f"{image}, by {result.model.id}, {method.name_for(result.model.task)}",
        "target": target,
        "text": "" if share is None else describe_score(share, result.model, target),
        "bar_length": None if share is None else result.task.wording.bar(share),
        "kind": heatmap.kind,
        "layer": data_url(_draw_layer(make_map(result, index), plain, style), "webp"),
        "bar": data_url(to_png(map_lut(heatmap.kind, style.colormap, over=style.mode != "blend")[None]), "png"),
        "ends": ends,
        "meaning": capital(meaning),
        "raw": [quantity(end) for end in heatmap.raw_range],
        "boxes": [_place_box(box, plain.shape[1::-1]) for box in picture.boxes if box.explained],
        "tables": _list_tables(result, index, description.slide()),
        "chart": data_url(charts.figure(charts.describe_proof(proof), "svg"), "svg+xml") if proof else "",
        "proof": proof,
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
        proved.append(Table("Is this map true?", about, True, COLUMNS, tuple(rows(proof))))
    return (
        Table("What the map shows", (*meaning, *checks)),
        *proved,
        Table("Limitations", (*(limits or ["No limitations found."]), *result.notes)),
        Table("Make it again", (write_caption(result, index),), code=(python_call(recipe),), folded=True),
        Table("All numbers", rows=tuple(table.list_numbers(result.statistics[index])), folded=True),
        Table("Recipe", code=(json.dumps(recipe.model_dump(mode="json"), ensure_ascii=False),), folded=True),
    )


def _draw_layer(item: Map, pixels: Pixels, style: Style) -> bytes:
    """Return a map as a WebP to lie over the picture: its colours, whose alpha is the strength."""
    height, width = pixels.shape[:2]
    field = item.field(width, height)
    left, top, right, bottom = field.seen
    levels = np.zeros((height, width), np.uint8)
    values = samples(field.values, field.kind)
    for part, band in contours.levels(values, field, VIEWER_STYLE, field.seen, (height, width)):
        levels[top:bottom, left:right][part] = np.maximum(band, 1) if style.mode == "blend" else band
    if item.kind != "heat":
        table = render.color_table(item.kind, Style(alpha=1.0), GROUNDS["light"])
        assert table is not None
        strength = 1 - table[1][:, 0]
        dark = white = table[2] / np.maximum(strength, 1e-6)[:, None]
    else:
        strength = np.linspace(0.5 if style.mode == "blend" else 0, 1, 256, dtype=np.float32)
        even = lut(style.colormap).astype(np.float64)
        dark, white = (even, even) if style.mode == "blend" else render.shades(style.colormap)
    # No map has a value of level 0 that is drawn: around what the model saw there is nothing.
    strength[0] = 0
    colours = dark[levels] + (white - dark)[levels] * (in_grey(pixels) / 255)
    alpha, out = np.rint(255 * strength)[levels], BytesIO()
    layer = np.rint(np.dstack([colours, alpha])).clip(0, 255).astype(np.uint8)
    Pillow.fromarray(layer).save(out, "WEBP", quality=80)
    return out.getvalue()


def _place_box(box: Box, size: Sequence[int]) -> Json:
    """Return the template values of a box over a picture of this size."""
    outline = [(x * size[0], y * size[1]) for x, y in box.points]
    left, top = (max(0.0, min(edges)) for edges in zip(*outline, strict=True))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in outline)
    return {"points": points, "x": f"{left + 4:.1f}", "y": f"{top + 15:.1f}", "text": box.text}


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
