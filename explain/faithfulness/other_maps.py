"""Maps that the same model draws of other pictures."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image as Pillow

from sightglass.common.errors import Cancelled, Problem
from sightglass.common.files.packing import photographs
from sightglass.common.settings import MIB
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.maps.boxes import box_on_content
from sightglass.explain.maps.heatmap import on_content
from sightglass.explain.methods import METHODS
from sightglass.explain.picture.image import Image
from sightglass.explain.proof import controls
from sightglass.explain.proof.support import RANDOM as RANDOM_NAME
from sightglass.explain.tasks import decode, resolve, task_of
from sightglass.models.demo.pictures import CAPTIONED, pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sightglass.explain.options import Options
    from sightglass.explain.result import Result
    from sightglass.models.spec import ModelSpec

    Map = NDArray[np.float32]

SIDE = 64
"""Cells along each side of a stored map."""
PART = 0.6
"""Of a photograph's sides, of the parts that are explained besides the whole."""
CORNERS = ((0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.4, 0.4), (0.2, 0.2), (0.2, 0.0))
"""Where those parts begin, by the photograph's width and height."""
BOXES = 2
"""Boxes that are taken of a picture, at most."""
RANDOM = 24
"""Random maps, where there are no others."""
LEAST = 12
"""Pixels of the model's input that a box's shorter side has at least: of a smaller one the map has no pattern."""


@dataclass(frozen=True, eq=False)
class OtherMap:
    """A map of another picture, or of a box in one."""

    source: str
    """The SHA-256 of the photograph, or the scene, that it is of or of a part of."""
    name: str
    """`palace in china`: the model's own answer, and where."""
    values: Map
    """float32 (SIDE, SIDE) over the content of the model's input, or over the box."""


_CACHE: ByteCache[tuple[OtherMap, ...]] = ByteCache(4 * MIB, lambda maps: sum(m.values.nbytes for m in maps))
_MAKING: defaultdict[object, threading.Lock] = defaultdict(threading.Lock)


def other_maps(explanation: Result, index: int, cancel: threading.Event | None = None) -> tuple[OtherMap, ...]:
    """Return maps of other pictures by the same method and layers.

    They explain the model's answers on bundled photographs and crops, or on drawn scenes for a demo model, always the
    same ones. Slow methods and models without layers get random maps of equal smoothness. Raises Cancelled.
    """
    heatmap, evidence, options = explanation.heatmaps[index].measured, explanation.evidence, explanation.options
    resident = evidence.resident
    if not resident.gradients or not METHODS[heatmap.method].quick or options.vocabulary or options.examples:
        return _random(explanation, index)
    detects = explanation.task.has_boxes
    options = replace(options, per="detection") if detects else options
    shared = replace(options, targets=(), top_k=BOXES if detects else 1, classes=(), within="picture")
    key = (resident.adapter.weights_sha256, resident.adapter.spec.row, heatmap.method, evidence.paths, shared)
    with _MAKING[key]:
        if (maps := _CACHE.get(key)) is None:
            maps = tuple(_explain_bundled(explanation, heatmap.method, shared, cancel))
            _CACHE.put(key, maps)
    others = tuple(other for other in maps if other.source != explanation.image.sha256)
    return others or _random(explanation, index)


def _random(explanation: Result, index: int) -> tuple[OtherMap, ...]:
    """Return random maps as smooth as one."""
    grid = controls.grid_of(explanation.heatmaps[index].measured)
    maps = []
    for number in range(RANDOM):
        values = controls.random_map((SIDE, SIDE), grid, controls.seed_of(explanation.image.sha256, number))
        maps.append(OtherMap("", f"{RANDOM_NAME} {number + 1}", values))
    return tuple(maps)


def _explain_bundled(
    explanation: Result, method: str, options: Options, cancel: threading.Event | None
) -> Iterator[OtherMap]:
    resident = explanation.evidence.resident
    layers = explanation.evidence.layers
    for name, source, pixels in _pictures(resident.adapter.spec):
        if cancel is not None and cancel.is_set():
            raise Cancelled
        image = Image.open(pixels)
        try:
            taken = image.taken(resident.adapter.channels, resident.adapter.spec.id)
            evidence = Evidence(resident, resident.adapter.prepare(taken, options.preprocessing), layers)
            predictions = decode(evidence, options)
            targets = resolve(options, predictions, evidence)
            raw = METHODS[method].run(evidence, targets) if targets else None
        except Problem:
            # Pictures of the wrong kind have no map.
            continue
        for place, target in enumerate(targets):
            assert raw is not None
            layer_maps = [layer[place : place + 1] for layer in raw.maps]
            values = on_content(layer_maps, evidence.geometry, raw.layers)
            if explanation.task.has_boxes:
                box = predictions[place].box
                assert box is not None
                rows, columns = box_on_content(evidence.geometry, box)
                values = values[rows, columns]
                if min(values.shape) < LEAST:
                    continue
            if np.isfinite(values).all() and values.min() < values.max():
                yield OtherMap(source, f"{target.label} in {name}", _small(values))


def _small(values: Map) -> Map:
    return np.asarray(cv2.resize(np.ascontiguousarray(values), (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def _pictures(spec: ModelSpec) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:
    """Yield pictures for a model: name, source SHA-256, and pixels."""
    if spec.example:
        yield from _scenes(spec)
        return
    for name, path in photographs().items():
        with Pillow.open(path) as opened:
            whole = opened.convert("RGB")
        source, (width, height) = Image.open(whole).sha256, whole.size
        yield name, source, np.asarray(whole)
        for x, y in CORNERS:
            edges = (round(x * width), round(y * height), round((x + PART) * width), round((y + PART) * height))
            yield f"a part of {name}", source, np.asarray(whole.crop(edges))


def _scenes(spec: ModelSpec) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:
    """Yield drawn scenes that no training has seen."""
    drawn = "captioned" if spec.example == CAPTIONED else task_of(spec).drawn
    for number, pixels in enumerate(pictures(drawn), 1):
        yield f"scene {number}", Image.open(pixels).sha256, pixels
