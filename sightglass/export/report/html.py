"""Interactive HTML report.

The page holds its pictures, maps and script, and its Content-Security-Policy forbids everything else by hashes: it
makes no request. Names of files and classes are escaped, whatever they contain.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import escape
from PIL import Image as Pillow

from sightglass.common.errors import Problem
from sightglass.explain.phrases import plural
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering import color_tables, contours
from sightglass.explain.rendering.render import GROUNDS, map_lut, samples
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.explain.tasks import describe_score
from sightglass.explain.trust.diagnosis import describe
from sightglass.export import caption, offline_page
from sightglass.export.offline_page import data_url
from sightglass.export.proof import files as proof_files
from sightglass.export.view import map_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.result import Result
    from sightglass.explain.trust.proof import Proof
    from sightglass.models.adapter import Prediction

MAX_SIDE = 1000
"""Pixels of a picture's longer side on the page."""
FRAME_HEIGHT = 760
"""Pixels of the page in a notebook; what is longer scrolls in it."""


def html(
    explanations: Sequence[Result],
    *,
    title: str | None = None,
    index: int = 0,
    colormap: str = VIEWER_STYLE.colormap,
) -> str:
    """Return a page with one section per explanation, opened at `index`.

    Each shows the picture under the selected map with opacity and threshold to choose, the predictions, the limitations
    and numbers of the map, the recipe and the command that reproduces it. A map that was proved (`Explanation.prove`)
    has its proof too: sentence, curves and numbers. Raises a Problem for no explanation and for an unknown colormap.

        result = Explainer("efficientnet-lite0")("bus.jpg", top_k=3)
        Path("bus.html").write_text(html([result]), "utf-8")
    """
    if not explanations:
        raise Problem("There is nothing to report: give at least one explanation.")
    return offline_page.fill(
        "export/report/html.html",
        ["export/report/page.css", "export/report/html.css"],
        "export/report/html.js",
        title=title or _title(explanations[0], index),
        count=plural(len(explanations), "explanation"),
        alpha=VIEWER_STYLE.alpha,
        curves=_curves(),
        views=[_view(explanation, index, colormap) for explanation in explanations],
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


def _view(explanation: Result, index: int, colormap: str) -> Json:
    """Return the template values of one explanation."""
    image, maps = explanation.image, range(len(explanation.heatmaps))
    width, height = caption.fit(image.width, image.height, MAX_SIDE)
    # Dimmed where the model saw nothing.
    picture = (
        caption.overlay(explanation.heatmaps[0], image, MAX_SIDE, Style(alpha=0.0))
        if maps
        else caption.reduce(image.pixels, MAX_SIDE)
    )
    return {
        "name": image.name,
        "width": width,
        "height": height,
        "picture": data_url(to_jpeg(picture), "jpeg"),
        "headline": describe(explanation).headline,
        "maps": [_map(explanation, i, (width, height), colormap) for i in maps],
        "first": index if index in maps else 0,
        "boxes": _boxes(explanation, width / image.width),
        "others": [(p.label, describe_score(p.score, explanation.model, p.label)) for p in _without_map(explanation)],
        "notes": explanation.notes,
    }


def _map(explanation: Result, index: int, size: tuple[int, int], colormap: str) -> Json:
    """Return the template values of one map; `size`: the picture's width and height."""
    heatmap, score = explanation.heatmaps[index], explanation.task.shown_score(explanation, index)
    ends, meaning = caption.bar(heatmap, explanation.model.unit_of(heatmap.target.label))
    low, high = (caption.number(end) for end in heatmap.raw_range)
    return {
        "label": heatmap.target.label,
        "score": score,
        "percent": describe_score(score, explanation.model, heatmap.target.label) if score is not None else "",
        "view": map_view(explanation, index),
        "chart": _chart(explanation.proofs[index]) if index in explanation.proofs else "",
        "kind": heatmap.kind,
        "layer": data_url(_draw_layer(heatmap, size, colormap), "png"),
        "bar": data_url(to_png(map_lut(heatmap.kind, colormap, over=True)[None]), "png"),
        "ends": ends,
        "meaning": meaning[0].upper() + meaning[1:],
        "low": low,
        "high": high,
    }


def _draw_layer(heatmap: Heatmap, size: tuple[int, int], colormap: str) -> bytes:
    """Return a map as a PNG to lie over the picture: 256 colours, whose alpha is the strength."""
    (width, height), field = size, caption.field(heatmap, size)
    left, top, right, bottom = field.seen
    levels = np.zeros((height, width), np.uint8)
    values = samples(field.values, field.kind)
    for rows, band in contours.levels(values, field, VIEWER_STYLE, field.seen, (height, width)):
        levels[top:bottom, left:right][rows] = band
    if heatmap.signed:
        table = color_tables.of(heatmap.kind, Style(alpha=1.0), GROUNDS["light"])
        assert table is not None
        strength = 1 - table[0]
        colours = table[1] / np.maximum(strength, 1e-6)[:, None]
    else:
        strength = np.linspace(0, 1, 256, dtype=np.float32)
        colours = color_tables.overlay_colours(colormap).astype(np.float64)
    # No map has a value of level 0 that is drawn: around what the model saw there is nothing.
    strength[0] = 0
    drawn, out = Pillow.fromarray(levels, "P"), BytesIO()
    drawn.putpalette(np.rint(colours).clip(0, 255).astype(np.uint8).tobytes())
    drawn.save(out, "PNG", transparency=np.rint(255 * strength).astype(np.uint8).tobytes())
    return out.getvalue()


def _curves() -> dict[str, str]:
    """Return the opacity of each of 256 strengths, by kind of map."""
    heat = color_tables.opacity(1.0, weighted=True).tolist()
    tables: dict[str, list[float]] = {"heat": heat, "signed": [level / 255 for level in range(256)]}
    return {kind: " ".join(f"{opacity:.3g}" for opacity in table) for kind, table in tables.items()}


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


def _boxes(explanation: Result, scale: float) -> list[Json]:
    """Return a detector's boxes, each with its maps' indices."""
    owners: dict[tuple[int, int | None], list[int]] = {}
    by_key = {(p.index, p.anchor): p for p in explanation.predictions if p.box is not None}
    for i in range(len(explanation.heatmaps)):
        for p in explanation.own(i):
            by_key.setdefault((p.index, p.anchor), p)
            owners.setdefault((p.index, p.anchor), []).append(i)
    answers = explanation.task.answers(explanation, list(by_key.values()))
    return [
        {
            "maps": owners.get(key, []),
            "points": " ".join(f"{x * scale:.1f},{y * scale:.1f}" for x, y in p.outline),
            "x": f"{max(0.0, p.box[0]) * scale + 4:.1f}",
            "y": f"{max(0.0, p.box[1]) * scale + 15:.1f}",
            "text": answer.line,
        }
        for (key, p), answer in zip(by_key.items(), answers, strict=True)
        if p.box is not None
    ]
