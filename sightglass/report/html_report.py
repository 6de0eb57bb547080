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
from sightglass.explain.phrases import capital, plural
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering import color_tables, contours
from sightglass.explain.rendering.render import GROUNDS, map_lut, paint, samples
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.report import caption, charts, offline_page
from sightglass.report.offline_page import data_url
from sightglass.report.view import reduced_size
from sightglass.report.views import map_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain.result import Result
    from sightglass.report.view import Map, View

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
    groups = [[map_view(result, i) for i in range(max(1, len(result.heatmaps)))] for result in explanations]
    title, about = title or _title(explanations[0], index), f"{plural(len(groups), 'explanation')}."
    return report_html(groups, title=title, about=about, index=index, colormap=colormap)


def report_html(
    groups: Sequence[Sequence[View]], *, title: str, about: str, index: int = 0, colormap: str = VIEWER_STYLE.colormap
) -> str:
    """Return a page with one section a group of views of one picture, or a view without a recipe, as tiles."""
    return offline_page.fill(
        "report.html",
        offline_page.read("report.css"),
        offline_page.read("report.js") if any(views[0].recipe for views in groups) else "",
        title=title,
        about=about,
        alpha=VIEWER_STYLE.alpha,
        curves=_curves(),
        groups=[_group(views, index, colormap) for views in groups],
    )


def _title(explanation: Result, index: int) -> str:
    """Return the page's title; "looked" only for a trusted map."""
    model, name = explanation.model.id, explanation.image.name
    sealed = explanation.known_checks(index) if 0 <= index < len(explanation.heatmaps) else None
    if sealed is not None and sealed.shows:
        return f"A map of {model}: {name}"
    return f"Where {model} looked: {name}"


def frame(explanations: Sequence[Result]) -> str:
    """Return a notebook's isolated frame of the page of `html`."""
    document = escape(html(explanations))
    return (
        f'<iframe srcdoc="{document}" sandbox="allow-scripts" title="Explanation" '
        f'style="width:100%;height:{FRAME_HEIGHT}px;border:0"></iframe>'
    )


def _group(views: Sequence[View], index: int, colormap: str) -> Json:
    """Return the template values of a section."""
    if views[0].recipe is None:
        files = [picture.jpeg for picture in views[0].pictures]
        urls = [data_url(file, "png" if file.startswith(b"\x89PNG") else "jpeg") if file else "" for file in files]
        return {"view": views[0], "tiles": list(zip(views[0].pictures, urls, strict=True))}
    first = views[0].pictures[0]
    size = width, height = reduced_size(first.image.width, first.image.height, MAX_SIDE)
    pixels, mapped = caption.reduce(first.image.pixels, MAX_SIDE), [view for view in views if view.pictures[0].map]
    if first.map is not None:
        # Dimmed where the model saw nothing.
        pixels = paint(pixels, first.map.field(width, height), Style(alpha=0.0))
    return {
        "name": first.image.name,
        "width": width,
        "height": height,
        "picture": data_url(to_jpeg(pixels), "jpeg"),
        "headline": views[0].headline,
        "maps": [_map(view, item, size, colormap) for view in mapped if (item := view.pictures[0].map) is not None],
        "first": index if 0 <= index < len(mapped) else 0,
        "boxes": _boxes(views, size),
        "others": first.others,
        "notes": views[0].tables[0].lines,
    }


def _map(view: View, item: Map, size: tuple[int, int], colormap: str) -> Json:
    """Return the template values of one map; `size`: the picture's width and height."""
    return {
        "view": view,
        "item": item,
        "charts": [data_url(charts.figure(chart, "svg"), "svg+xml") for chart in view.charts],
        "layer": data_url(_draw_layer(item, size, colormap), "png"),
        "bar": data_url(to_png(map_lut(item.kind, colormap, over=True)[None]), "png"),
        "meaning": capital(item.meaning),
    }


def _draw_layer(item: Map, size: tuple[int, int], colormap: str) -> bytes:
    """Return a map as a PNG to lie over the picture: 256 colours, whose alpha is the strength."""
    (width, height), field = size, item.field(*size)
    left, top, right, bottom = field.seen
    levels = np.zeros((height, width), np.uint8)
    values = samples(field.values, field.kind)
    for rows, band in contours.levels(values, field, VIEWER_STYLE, field.seen, (height, width)):
        levels[top:bottom, left:right][rows] = band
    if item.kind != "heat":
        table = color_tables.of(item.kind, Style(alpha=1.0), GROUNDS["light"])
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
    heat = color_tables.opacity(1.0).tolist()
    tables: dict[str, list[float]] = {"heat": heat, "signed": [level / 255 for level in range(256)]}
    return {kind: " ".join(f"{opacity:.3g}" for opacity in table) for kind, table in tables.items()}


def _boxes(views: Sequence[View], size: tuple[int, int]) -> list[Json]:
    """Return the boxes over a picture, each with the indices of its maps."""
    owners: dict[tuple[object, str], list[int]] = {}
    for i, view in enumerate(views):
        for box in view.pictures[0].boxes:
            owners.setdefault((box.points, box.text), []).extend([i] if box.explained else [])
    outlines = {
        (points, text): [(x * size[0], y * size[1]) for x, y in points]  # type: ignore[attr-defined]
        for points, text in owners
    }
    return [
        {
            "maps": owners[key],
            "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in outline),
            "x": f"{max(0.0, min(x for x, _ in outline)) + 4:.1f}",
            "y": f"{max(0.0, min(y for _, y in outline)) + 15:.1f}",
            "text": key[1],
        }
        for key, outline in outlines.items()
    ]
