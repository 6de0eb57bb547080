"""Reports: one HTML file that opens from a disk and works with no server, and a PDF.

The page holds its pictures, maps and script, and forbids itself everything else (a Content-Security-Policy by hashes):
it asks nothing of any network. Names of files and classes are text in it, whatever they contain.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from common.errors import Problem
from explain.export import caption, command, table
from explain.export.pdf_report import pdf
from explain.findings.diagnosis import headline, looks
from explain.methods import METHODS
from explain.phrases import percent, pixels, plural
from explain.picture.image import to_jpeg, to_png
from explain.rendering import color_tables, contours, resampling
from explain.rendering.colormaps import colormaps, lut
from explain.rendering.render import samples, shown
from explain.rendering.style import Field, Style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explain.explanation import Explanation
    from models.adapter import Prediction

__all__ = ["html", "pdf"]

LONGEST = 1000
"""Pixels of a picture's longer side on the page."""
ALPHA = 0.9
"""As the viewer starts: opacity grows with the heat, to this."""
_HERE = Path(__file__).parent


def html(explanations: Sequence[Explanation], *, title: str | None = None) -> str:
    """The page: each explanation with picture, maps, opacity, colormap and class to choose, the value under the
    pointer, numbers, caveats, recipe and the call that makes it again.

    Raises a Problem where there is nothing to report.
    """
    if not explanations:
        raise Problem("There is nothing to report: give at least one explanation.")
    first = explanations[0]
    title = title or f"Where {first.model.id} looked: {first.image.name}"
    style, script = ((_HERE / name).read_text("utf-8") for name in ("html_report.css", "html_report.js"))
    data = {
        "views": [_view(explanation) for explanation in explanations],
        "colormaps": {known.name: _base64(lut(known.name).tobytes()) for known in colormaps()},
        "opacity": [round(float(share), 6) for share in color_tables.opacity(1.0, weighted=True)],
    }
    # Nothing in it may end the element that it stands in.
    held = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    boxes = any(explanation.model.task == "detect" for explanation in explanations)
    policy = f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    policy += "; base-uri 'none'; form-action 'none'"
    sections = "\n".join(_section(explanation, i) for i, explanation in enumerate(explanations))
    count = plural(len(explanations), "explanation")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{escape(title)}</h1>
<p class="soft">{count}. This file is whole: it needs no server and no network.</p></header>
{_controls(boxes=boxes)}
<noscript><p>The maps on this page are drawn by its own script, which is switched off here; numbers and recipe are
below.</p></noscript>
<main>
{sections}
</main>
<script type="application/json" id="data">{held}</script>
<script>{script}</script>
</body>
</html>
"""


def _view(explanation: Explanation) -> dict[str, Any]:
    """Pictures and levels at the size of the page."""
    image, geometry = explanation.image, explanation.evidence.geometry
    scale = min(1.0, LONGEST / max(image.width, image.height))
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = np.asarray(cv2.resize(image.pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    across, down = width / image.width, height / image.height
    x0, y0, x1, y1 = geometry.seen
    left, top = min(round(x0 * across), width - 1), min(round(y0 * down), height - 1)
    seen = left, top, max(left + 1, round(x1 * across)), max(top + 1, round(y1 * down))
    ends = geometry.extent
    extent = ends[0] * across, ends[1] * down, ends[2] * across, ends[3] * down
    maps = []
    for i, heatmap in enumerate(explanation.heatmaps):
        field = Field(heatmap.content, extent, seen)
        levels = np.zeros((height, width), np.uint8)
        inside = levels[seen[1] : seen[3], seen[0] : seen[2]]
        for rows, part in resampling.levels(samples(field.values), field, Style(), seen, (height, width)):
            inside[rows] = part
        maps.append({"levels": _url(to_png(levels), "png"), "ends": heatmap.ends, "title": _name(explanation, i)})
    faded = None
    if maps and seen != (0, 0, width, height):
        field = Field(explanation.heatmaps[0].content, extent, seen)
        faded = _url(to_jpeg(shown(small, field, Style(alpha=0.0))), "jpeg")
    return {
        "size": [width, height],
        "unit": image.width / width,
        "seen": seen,
        "picture": _url(to_jpeg(small), "jpeg"),
        "faded": faded,
        "maps": maps,
    }


def _controls(*, boxes: bool) -> str:
    options = "".join(f'<option value="{known.name}">{known.name.replace("_", " ")}</option>' for known in colormaps())
    modes = "".join(
        f'<label><input type="radio" name="mode" value="{mode}"{" checked" if mode == "overlay" else ""}>{mode.title()}'
        "</label>"
        for mode in ("overlay", "map", "picture")
    )
    tick = '<label><input type="checkbox" name="boxes" checked>Boxes</label>' if boxes else ""
    return f"""<form class="controls" aria-label="How the maps are shown">
<fieldset aria-label="What is shown">{modes}</fieldset>
<label>Opacity <input type="range" name="alpha" min="0" max="1" step="0.01" value="{ALPHA}"><output></output></label>
<label>Colormap <select name="colormap">{options}</select></label>
{tick}
</form>"""


def _section(explanation: Explanation, number: int) -> str:
    """One explanation."""
    image, recipe = explanation.image, explanation.recipe
    size = _size(explanation)
    many = range(len(explanation.heatmaps))
    bars = "".join(_bar(explanation, i) for i in many)
    about = "".join(_about(explanation, i) for i in many) or f"<h2>{escape(headline(explanation, ''))}</h2>"
    heads = "".join(f'<h2 data-map="{i}"{_hidden(i)}>{escape(_headline(explanation, i))}</h2>' for i in many)
    made = [
        ("Picture", f"{image.name}, {pixels(image.width, image.height)}"),
        ("Model", recipe.model),
        ("Method", f"{METHODS[recipe.method].name}, {METHODS[recipe.method].paper}"),
        ("Layers", ", ".join(recipe.layers) or "none"),
        ("Made with", caption.made(explanation)),
    ]
    rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in made)
    notes = "".join(f"<li>{escape(note)}</li>" for note in explanation.notes)
    # A browser would break a line within a flag, after its first hyphen.
    call = " ".join(f"<span>{escape(word)}</span>" for word in command.line(recipe).split(" "))
    label = escape(f"{image.name} with the map that is chosen")
    return f"""<section class="view" aria-label="{escape(image.name)}">
{heads}
<div class="sight">
<figure class="left">
<div class="stage"><canvas width="{size[0]}" height="{size[1]}" role="img" aria-label="{label}"></canvas>
{_outlines(explanation, size, number)}</div>
<canvas class="bar" width="256" height="1" aria-hidden="true"></canvas>
{bars}
<p class="read soft">Point at the picture for the value of the map there.</p>
</figure>
<div>
<h3>What it says</h3>
{_answers(explanation, number)}
{about}
</div>
</div>
<details><summary>How it was made, and how to make it again</summary>
<table>{rows}</table>
{f"<ul>{notes}</ul>" if notes else ""}
<h3>On the command line</h3>
<pre class="call">{call}</pre>
<h3>Recipe</h3>
<p class="soft">Saved as recipe.json, <code>{escape(command.replay(recipe))}</code> makes it again and checks
picture and weights against it.</p>
<pre>{escape(caption.listing(recipe))}</pre>
</details>
{"".join(_numbers(explanation, i) for i in many)}
</section>"""


def _size(explanation: Explanation) -> tuple[int, int]:
    width, height = explanation.image.width, explanation.image.height
    scale = min(1.0, LONGEST / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _headline(explanation: Explanation, index: int) -> str:
    return headline(explanation, "The hottest colour", index)


def _name(explanation: Explanation, index: int) -> str:
    return explanation.heatmaps[index].target.label


def _hidden(index: int) -> str:
    return " hidden" if index else ""


def _bar(explanation: Explanation, index: int) -> str:
    heatmap = explanation.heatmaps[index]
    ends, meaning = caption.bar(heatmap)
    low, high = (caption.number(end) for end in heatmap.raw_range)
    ticks = "".join(f"<span>{escape(end)}</span>" for end in ends)
    words = f"{meaning[0].upper() + meaning[1:]}. Raw values: {low} to {high}. White line: half of the scale."
    return (
        f'<div data-map="{index}"{_hidden(index)}><div class="ends">{ticks}</div>'
        f'<p class="soft">{escape(words)}</p></div>'
    )


def _answers(explanation: Explanation, number: int) -> str:
    """What the model said; what has a map can be chosen."""
    rows = []
    for i in range(len(explanation.heatmaps)):
        sure = caption.score(explanation, i)
        said = f'<span>{percent(sure)}</span><meter min="0" max="1" value="{sure:.4f}"></meter>' if sure else ""
        checked = " checked" if i == 0 else ""
        rows.append(
            f'<li><label><input type="radio" name="map-{number}" value="{i}"{checked}>'
            f"<b>{escape(_name(explanation, i))}</b>{said}</label></li>"
        )
    shown_ = {(p.index, p.anchor) for i in range(len(explanation.heatmaps)) for p in explanation.own(i)}
    classes = {heatmap.target.index for heatmap in explanation.heatmaps}
    rest = [
        p
        for p in explanation.predictions
        if (p.index, p.anchor) not in shown_ and (p.box is not None or p.index not in classes)
    ]
    rows += [
        f'<li><span class="row"><i></i><b>{escape(p.label)}</b><span>{percent(p.score)}</span></span></li>'
        for p in rest
    ]
    return f'<ul class="answers">{"".join(rows)}</ul>'


def _about(explanation: Explanation, index: int) -> str:
    """Where one map lies, and what is to be said against it."""
    findings = "".join(f"<li>{escape(line)}</li>" for line in caption.caveats(explanation, index))
    boxes = ""
    if (lies := explanation.box_numbers(index)) is not None:
        boxes = f"<p>{percent(lies.inside)} of the heat inside its boxes, {percent(lies.area)} of the area.</p>"
    text = escape(looks(explanation, index).replace("**", ""))
    return (
        f'<div data-map="{index}"{_hidden(index)}><h3>What the map says</h3><p>{text}</p>{boxes}'
        f'<h3>What it cannot say</h3><ul class="caveats">{findings}</ul></div>'
    )


def _numbers(explanation: Explanation, index: int) -> str:
    rows = "".join(
        f'<tr><th>{name}</th><td class="value">{value}</td><td>{escape(meaning)}</td></tr>'
        for name, value, meaning in table.listed(explanation.statistics[index])
    )
    name = escape(_name(explanation, index))
    return (
        f'<details data-map="{index}"{_hidden(index)}><summary>All numbers of the map for {name}</summary>'
        f"<table>{rows}</table></details>"
    )


def _outlines(explanation: Explanation, size: tuple[int, int], number: int) -> str:
    """Where each map is at half of its scale, and a detector's boxes, each with the maps that speak of it."""
    drawn = [_isoline(explanation, i, size, number) for i in range(len(explanation.heatmaps))]
    owners: dict[tuple[int, int | None], list[str]] = {}
    every = {(p.index, p.anchor): p for p in explanation.predictions if p.box is not None}
    for i in range(len(explanation.heatmaps)):
        for p in explanation.own(i):
            every.setdefault((p.index, p.anchor), p)
            owners.setdefault((p.index, p.anchor), []).append(str(i))
    scale = size[0] / explanation.image.width
    boxes = [_box(p, " ".join(owners.get(key, [])), scale) for key, p in every.items()]
    x0, y0, x1, y1 = (edge * scale for edge in explanation.evidence.geometry.seen)
    clip = f'<clipPath id="seen-{number}"><rect x="{x0}" y="{y0}" width="{x1 - x0}" height="{y1 - y0}"/></clipPath>'
    lines = f'<g clip-path="url(#seen-{number})">{"".join(drawn)}</g>'
    return f'<svg viewBox="0 0 {size[0]} {size[1]}" aria-hidden="true">{clip}{lines}{"".join(boxes)}</svg>'


def _isoline(explanation: Explanation, index: int, size: tuple[int, int], number: int) -> str:
    heatmap = explanation.heatmaps[index]
    if heatmap.state != "ok":
        return ""
    x0, y0, x1, y1 = explanation.evidence.geometry.extent
    (height, width), scale = heatmap.coarse.shape, size[0] / explanation.image.width
    found = contours.segments(heatmap.coarse, 0.5)
    found[:, ::2] = (x0 + found[:, ::2] / width * (x1 - x0)) * scale
    found[:, 1::2] = (y0 + found[:, 1::2] / height * (y1 - y0)) * scale
    path = "".join(f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for a, b, c, d in found)
    name = f"half-{number}-{index}"
    return (
        f'<g class="half" data-maps="{index}" fill="none" stroke-linecap="round"><defs><path id="{name}" d="{path}"/>'
        f'</defs><use href="#{name}" stroke="#141414" stroke-opacity="0.75" stroke-width="4"/>'
        f'<use href="#{name}" stroke="#fff" stroke-width="1.7"/></g>'
    )


def _box(found: Prediction, maps: str, scale: float) -> str:
    assert found.box is not None
    x0, y0, x1, y1 = found.box
    corners = found.corners or ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    points = " ".join(f"{x * scale:.1f},{y * scale:.1f}" for x, y in corners)
    at = f'x="{max(0.0, x0) * scale + 4:.1f}" y="{max(0.0, y0) * scale + 15:.1f}"'
    text = escape(caption.said(found))
    return (
        f'<g class="box" data-maps="{maps}" fill="none"><polygon points="{points}" stroke="#141414" stroke-width="4"/>'
        f'<polygon points="{points}" stroke="#fff" stroke-width="2"/>'
        f'<text {at} stroke="#141414" stroke-width="4" fill="#141414">{text}</text>'
        f'<text {at} fill="#fff">{text}</text></g>'
    )


def _hash(text: str) -> str:
    return f"sha256-{_base64(hashlib.sha256(text.encode()).digest())}"


def _url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{_base64(data)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
