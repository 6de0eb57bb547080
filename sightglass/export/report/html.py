"""Interactive HTML report.

The page holds its pictures, maps and script, and its Content-Security-Policy forbids everything else by hashes: it
makes no request. Names of files and classes are escaped, whatever they contain.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup, escape

from sightglass.common.errors import Problem
from sightglass.explain.maps.statistics import coarse
from sightglass.explain.phrases import plural
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering import color_tables, contours
from sightglass.explain.rendering.render import GROUNDS, samples
from sightglass.explain.rendering.style import VIEWER_STYLE, Style, colormaps, lut
from sightglass.explain.tasks import describe_score
from sightglass.explain.trust.diagnosis import describe
from sightglass.export import caption, offline_page
from sightglass.export.offline_page import base64_text, data_url
from sightglass.export.proof import files as proof_files
from sightglass.export.view import map_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain.result import Result
    from sightglass.explain.trust.proof import Proof
    from sightglass.models.adapter import Prediction

MAX_SIDE = 1000
"""Pixels of a picture's longer side on the page."""
FRAME_HEIGHT = 760
"""Pixels of the page in a notebook; what is longer scrolls in it."""


def html(explanations: Sequence[Result], *, title: str | None = None, index: int = 0) -> str:
    """Return a page with one section per explanation, opened at `index`.

    Each shows the picture under the selected map with opacity, threshold and colormap to choose, the value under the
    pointer, the predictions, the limitations and numbers of the map, the recipe and the command that reproduces it. A
    map that was proved (`Explanation.prove`) has its proof too: sentence, curves and numbers. Raises a
    Problem for no explanation.

        result = Explainer("efficientnet-lite0")("bus.jpg", top_k=3)
        Path("bus.html").write_text(html([result]), "utf-8")
    """
    if not explanations:
        raise Problem("There is nothing to report: give at least one explanation.")
    first = explanations[0]
    data = {
        "views": [_pictures(explanation) for explanation in explanations],
        "colormaps": {known.name: base64_text(lut(known.name).tobytes()) for known in colormaps()},
        "opacity": [round(float(share), 6) for share in color_tables.opacity(1.0, weighted=True)],
    }
    if any(heatmap.signed for explanation in explanations for heatmap in explanation.heatmaps):
        data["signed"] = _signed_tables()
    return offline_page.fill(
        "export/report/html.html",
        ["export/report/page.css", "export/report/html.css"],
        "export/report/html.js",
        title=title or _title(first, index),
        # "<" would let the data end the element that holds it.
        data=Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")),
        count=plural(len(explanations), "explanation"),
        alpha=VIEWER_STYLE.alpha,
        colormaps=[known.name for known in colormaps()],
        boxes=any(explanation.task.has_boxes for explanation in explanations),
        views=[_view(explanation, index) for explanation in explanations],
    )


def _title(explanation: Result, index: int) -> str:
    """Return the page's title; "looked" only for a trusted map."""
    model, name = explanation.model.id, explanation.image.name
    sealed = explanation.known_checks(index) if 0 <= index < len(explanation.heatmaps) else None
    if sealed is not None and sealed.shows:
        return f"A map of {model}: {name}"
    return f"Where {model} looked: {name}"


def frame(explanations: Sequence[Result], *, title: str | None = None) -> str:
    """Return a notebook's isolated frame of the page of `html`."""
    document = escape(html(explanations, title=title))
    return (
        f'<iframe srcdoc="{document}" sandbox="allow-scripts" title="Explanation" '
        f'style="width:100%;height:{FRAME_HEIGHT}px;border:0"></iframe>'
    )


def _signed_tables() -> Json:
    """Return signed maps' colours, alone and over the picture."""
    alone = color_tables.of("signed", Style(mode="map"), GROUNDS["light"])
    over = color_tables.of("signed", Style(alpha=1.0), GROUNDS["light"])
    assert alone is not None and over is not None
    shares = 1 - over[0]
    ends = over[1] / np.maximum(shares, 1e-6)[:, None]
    return {
        "alone": base64_text(np.rint(alone[1]).astype(np.uint8).tobytes()),
        "over": base64_text(np.rint(ends).astype(np.uint8).tobytes()),
        "opacity": [round(float(share), 6) for share in shares],
    }


def _pictures(explanation: Result) -> Json:
    """Return the script's pictures and map levels as data URLs."""
    image = explanation.image
    small = caption.reduce(image.pixels, MAX_SIDE)
    height, width = small.shape[:2]
    maps: list[Json] = []
    seen = (0, 0, width, height)
    for heatmap in explanation.heatmaps:
        field = caption.field(heatmap, (width, height))
        seen = field.seen
        levels = np.zeros((height, width), np.uint8)
        inside = levels[seen[1] : seen[3], seen[0] : seen[2]]
        values = samples(field.values, field.kind)
        for rows, part in contours.levels(values, field, VIEWER_STYLE, seen, (height, width)):
            inside[rows] = part
        maps.append(
            {
                "levels": data_url(to_png(levels), "png"),
                "ends": heatmap.ends,
                "title": heatmap.target.label,
                "signed": heatmap.signed,
            }
        )
    faded = None
    if seen != (0, 0, width, height):
        faded = caption.overlay(explanation.heatmaps[0], image, MAX_SIDE, Style(alpha=0.0))
    return {
        "size": [width, height],
        "unit": image.width / width,
        "seen": seen,
        "picture": data_url(to_jpeg(small), "jpeg"),
        "faded": None if faded is None else data_url(to_jpeg(faded), "jpeg"),
        "maps": maps,
    }


def _view(explanation: Result, index: int) -> Json:
    """Return the template values of one explanation."""
    first = index if 0 <= index < len(explanation.heatmaps) else 0
    image = explanation.image
    width, height = caption.fit(image.width, image.height, MAX_SIDE)
    scale = width / image.width
    return {
        "name": image.name,
        "width": width,
        "height": height,
        "seen": [edge * scale for edge in explanation.evidence.geometry.seen],
        "headline": describe(explanation).headline,
        "maps": [_map(explanation, i, (width, height)) for i in range(len(explanation.heatmaps))],
        "first": first,
        "boxes": _boxes(explanation, scale),
        "others": [(p.label, describe_score(p.score, explanation.model, p.label)) for p in _without_map(explanation)],
        "notes": explanation.notes,
    }


def _map(explanation: Result, index: int, size: tuple[int, int]) -> Json:
    heatmap, score = explanation.heatmaps[index], explanation.task.shown_score(explanation, index)
    ends, meaning = caption.bar(heatmap, explanation.model.unit_of(heatmap.target.label))
    low, high = (caption.number(end) for end in heatmap.raw_range)
    return {
        "index": index,
        "label": heatmap.target.label,
        "score": score,
        "percent": describe_score(score, explanation.model, heatmap.target.label) if score is not None else "",
        "view": map_view(explanation, index),
        "chart": _chart(explanation.proofs[index]) if index in explanation.proofs else "",
        "ends": ends,
        "meaning": meaning[0].upper() + meaning[1:],
        "low": low,
        "high": high,
        "lines": _half_lines(explanation, index, size),
        "about_line": caption.describe_line(heatmap).capitalize(),
    }


def _chart(proof: Proof) -> str:
    """Return the curves of a proof as the address of a picture."""
    return data_url(proof_files.figure(proof, "svg"), "svg+xml")


def _without_map(explanation: Result) -> list[Prediction]:
    mapped = {(p.index, p.anchor) for i in range(len(explanation.heatmaps)) for p in explanation.own(i)}
    classes = {heatmap.target.index for heatmap in explanation.heatmaps}
    return [
        p
        for p in explanation.predictions
        if (p.index, p.anchor) not in mapped and (p.box is not None or p.index not in classes)
    ]


def _half_lines(explanation: Result, index: int, size: tuple[int, int]) -> list[tuple[str, bool]]:
    """Return a map's half-scale lines: (path, whether dashed)."""
    heatmap = explanation.heatmaps[index]
    if heatmap.state != "ok":
        return []
    values = coarse(heatmap.content) if heatmap.signed else heatmap.coarse
    paths = []
    for sign in (1, -1) if heatmap.signed else (1,):
        segments = contours.segments(sign * values, 0.5)
        # The pen is seldom lifted: a path is dashed from where it last was.
        segments = contours.chain(segments) if heatmap.signed else segments
        paths.append((_half_line(explanation, segments, values.shape, size), sign < 0))
    return paths


def _half_line(explanation: Result, segments: contours.Segments, shape: tuple[int, ...], size: tuple[int, int]) -> str:
    """Return the path of segments in a map's cells."""
    x0, y0, x1, y1 = explanation.evidence.geometry.extent
    (height, width), scale = shape, size[0] / explanation.image.width
    segments[:, ::2] = (x0 + segments[:, ::2] / width * (x1 - x0)) * scale
    segments[:, 1::2] = (y0 + segments[:, 1::2] / height * (y1 - y0)) * scale
    words, at = [], None
    for a, b, c, d in segments.tolist():
        words.append(f"L{c:.1f} {d:.1f}" if (a, b) == at else f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}")
        at = (c, d)
    return "".join(words)


def _boxes(explanation: Result, scale: float) -> list[dict[str, str]]:
    """Return a detector's boxes, each with its maps' indices."""
    owners: dict[tuple[int, int | None], list[str]] = {}
    by_key = {(p.index, p.anchor): p for p in explanation.predictions if p.box is not None}
    for i in range(len(explanation.heatmaps)):
        for p in explanation.own(i):
            by_key.setdefault((p.index, p.anchor), p)
            owners.setdefault((p.index, p.anchor), []).append(str(i))
    answers = explanation.task.answers(explanation, list(by_key.values()))
    return [
        {
            "maps": " ".join(owners.get(key, [])),
            "points": " ".join(f"{x * scale:.1f},{y * scale:.1f}" for x, y in p.outline),
            "x": f"{max(0.0, p.box[0]) * scale + 4:.1f}",
            "y": f"{max(0.0, p.box[1]) * scale + 15:.1f}",
            "text": answer.line,
        }
        for (key, p), answer in zip(by_key.items(), answers, strict=True)
        if p.box is not None
    ]
