"""Film of a target's map at each layer (GIF).

The model is run once more, at all of these layers together. Frames between two layers are not interpolated.
"""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image as Pillow

from sightglass.common.errors import Problem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.explain.explanation import explain
from sightglass.explain.methods import METHODS
from sightglass.explain.rendering import contact_sheet
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.report.view import STATES, require_map

if TYPE_CHECKING:
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.maps.heatmap import Heatmap

MAX_SIDE = 640
"""Pixels of a frame's longer side."""
MIN_LAYERS, MAX_LAYERS = 6, 24
"""Layers of a sweep; of more than `MAX_LAYERS` as many are taken, evenly spaced."""
MILLISECONDS = 700
"""Duration of a layer; the last one is shown three times as long."""


def sweep(explanation: Explanation, index: int = 0, *, style: Style = VIEWER_STYLE) -> bytes:
    """Return a GIF of the target at `index` through the layers, each map on its own scale.

    Raises a Problem for a model or a method without layers.

        result = Explainer("efficientnet-lite0")("bus.jpg")
        Path("bus.gif").write_bytes(sweep(result))
    """
    maps = by_layer(explanation, index)
    frames = [_frame(explanation, heatmap, style) for heatmap in maps]
    pages = [frame.quantize(256, Pillow.Quantize.FASTOCTREE) for frame in frames]
    lasts, out = [MILLISECONDS] * (len(pages) - 1) + [3 * MILLISECONDS], BytesIO()
    pages[0].save(out, "GIF", save_all=True, append_images=pages[1:], duration=lasts, loop=0, disposal=1)
    return out.getvalue()


def by_layer(explanation: Explanation, index: int = 0) -> tuple[Heatmap, ...]:
    """Return one map per layer, in order, from a single pass."""
    heatmap = require_map(explanation, index)
    evidence, method = explanation.evidence, METHODS[heatmap.method]
    resident, adapter = evidence.resident, evidence.resident.adapter
    if method.family not in ("gradient", "eigen"):
        raise Problem(f"{method.name} does not work layer by layer: choose GradCAM, LayerCAM or another quick method.")
    # The outermost modules if there are enough of them: blocks rather than each of their steps.
    paths = [layer.path for layer in resident.layers]
    levels = [[path for path in paths if path.count(".") <= depth] for depth in {path.count(".") for path in paths}]
    paths = next((level for level in sorted(levels, key=len) if len(level) >= MIN_LAYERS), paths)
    places = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), MAX_LAYERS)).round().astype(int))
    swept = tuple(paths[place] for place in places)
    prepared = adapter.prepare(
        explanation.image.taken(adapter.channels, adapter.spec.id), explanation.options.preprocessing
    )
    through = Evidence(resident, prepared, layers_at(resident, swept))
    # One of the targets as the recipe names it; none for the whole picture.
    targets = () if explanation.options.per == "picture" else (explanation.recipe.targets[index],)
    options = replace(explanation.options, layers=swept, targets=targets, scale="own")
    return explain(explanation.image, through, options, milliseconds={}).by_layer(0)


def _frame(explanation: Explanation, heatmap: Heatmap, style: Style) -> Pillow.Image:
    """Draw the overlay with the layer's name."""
    source = explanation.image.pixels
    high, wide = (max(1, round(side * MAX_SIDE / max(source.shape[:2]))) for side in source.shape[:2])
    small = cv2.resize(
        source, (wide, high), interpolation=cv2.INTER_AREA if wide < source.shape[1] else cv2.INTER_LINEAR
    )
    field = heatmap.field.scaled((source.shape[1], source.shape[0]), (wide, high))
    rows, columns = heatmap.raw[0].shape
    words = f"{heatmap.target.label}: {heatmap.layers[0]}, {columns}×{rows} cells"
    if heatmap.state != "ok":
        words += f": {STATES[heatmap.state]}"
    frame = paint(np.asarray(small, np.uint8), field, Style(**style.overlay))
    return Pillow.fromarray(contact_sheet.add_heading(frame, words))
