"""Interactive HTML report.

The page holds its pictures, maps and script, and its Content-Security-Policy forbids everything else by hashes: it
makes no request. Names of files and classes are escaped, whatever they contain.
"""

from __future__ import annotations

import base64
import hashlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image as Pillow

from sightglass.common.errors import Problem
from sightglass.explain.phrases import capital, plural
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering import color_tables, contours
from sightglass.explain.rendering.render import GROUNDS, map_lut, paint, samples
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.report import charts
from sightglass.report.view import Box, Map, View, reduce, reduced_size, require_map
from sightglass.report.views import map_view

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
    groups = [[map_view(result, i) for i in range(len(result.heatmaps))] for result in explanations]
    # Opacity of each of 256 strengths. In a blend they begin at a half: a browser drops the colour of clear pixels.
    floor = 0.5 if style.mode == "blend" else 0.0
    heat = [float(level >= 128) for level in range(256)] if floor else color_tables.opacity(1.0).tolist()
    opacities = {"heat": heat, "signed": [level / 255 for level in range(256)]}
    return fill(
        "report.html",
        read("report.css"),
        read("report.js"),
        title=f"{explanations[0].model.id}: {explanations[0].image.name}",
        about=f"{plural(len(groups), 'explanation')}.",
        alpha=style.alpha,
        floor=floor,
        ink=style.boxes,
        curves={kind: " ".join(f"{opacity:.3g}" for opacity in table) for kind, table in opacities.items()},
        groups=[_group(views, index, style) for views in groups],
    )


def frame(explanations: Sequence[Result]) -> str:
    """Return the page of `html` as a sandboxed frame for notebooks, 760 pixels high."""
    document = escape(html(explanations))
    return (
        f'<iframe srcdoc="{document}" sandbox="allow-scripts" title="Explanation" '
        'style="width:100%;height:760px;border:0"></iframe>'
    )


def _group(views: Sequence[View], index: int, style: Style) -> Json:
    """Return the template values of a section: the views of one picture's maps."""
    first, item = views[0].pictures[0], views[0].pictures[0].map
    assert item is not None
    size = width, height = reduced_size(first.image.width, first.image.height, MAX_SIDE)
    # Dimmed where the model saw nothing.
    pixels = paint(reduce(first.image.pixels, MAX_SIDE), item.field(width, height), Style(alpha=0.0))
    return {
        "name": first.image.name,
        "width": width,
        "height": height,
        "picture": data_url(to_jpeg(pixels), "jpeg"),
        "maps": [_map(view, item, size, style) for view in views if (item := view.pictures[0].map) is not None],
        "first": index if 0 <= index < len(views) else 0,
        "others": first.others,
    }


def _map(view: View, item: Map, size: tuple[int, int], style: Style) -> Json:
    """Return the template values of one map; `size`: the picture's width and height."""
    return {
        "view": view,
        "item": item,
        "charts": [data_url(charts.figure(chart, "svg"), "svg+xml") for chart in view.charts],
        "layer": data_url(_draw_layer(item, size, style), "png"),
        "bar": data_url(to_png(map_lut(item.kind, style.colormap, over=style.mode != "blend")[None]), "png"),
        "meaning": capital(item.meaning),
        "boxes": [_place_box(box, size) for box in view.pictures[0].boxes if box.explained],
    }


def _draw_layer(item: Map, size: tuple[int, int], style: Style) -> bytes:
    """Return a map as a PNG to lie over the picture: 256 colours, whose alpha is the strength."""
    (width, height), field = size, item.field(*size)
    left, top, right, bottom = field.seen
    levels = np.zeros((height, width), np.uint8)
    values = samples(field.values, field.kind)
    for rows, band in contours.levels(values, field, VIEWER_STYLE, field.seen, (height, width)):
        levels[top:bottom, left:right][rows] = np.maximum(band, 1) if style.mode == "blend" else band
    if item.kind != "heat":
        table = color_tables.of(item.kind, Style(alpha=1.0), GROUNDS["light"])
        assert table is not None
        strength = 1 - table[0]
        colours = table[1] / np.maximum(strength, 1e-6)[:, None]
    else:
        strength = np.linspace(0.5 if style.mode == "blend" else 0, 1, 256, dtype=np.float32)
        colours = map_lut("heat", style.colormap, over=style.mode != "blend").astype(np.float64)
    # No map has a value of level 0 that is drawn: around what the model saw there is nothing.
    strength[0] = 0
    layer, out = Pillow.fromarray(levels, "P"), BytesIO()
    layer.putpalette(np.rint(colours).clip(0, 255).astype(np.uint8).tobytes())
    layer.save(out, "PNG", transparency=np.rint(255 * strength).astype(np.uint8).tobytes())
    return out.getvalue()


def _place_box(box: Box, size: tuple[int, int]) -> Json:
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
