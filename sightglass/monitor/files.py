"""Files of a logged entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import npy_or_npz
from sightglass.explain.maps import heatmap as maps_heatmap
from sightglass.explain.methods import METHODS
from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.explain.rendering import render

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation
    from sightglass.monitor.entry import Entry


def of(explanation: Explanation, *, pictures: bool) -> dict[str, tuple[str, bytes]]:
    """Return (name, bytes) of an explanation's files by kind: `heatmap`, `raw`, `picture`."""
    found: dict[str, tuple[str, bytes]] = {}
    if explanation.heatmaps:
        heatmap = explanation.heatmaps[0].measured
        found["heatmap"] = ("map.png", _png(render.quantise(np.clip(heatmap.coarse, 0, 1))))
        kind, data = npy_or_npz({f"arr_{i}": raw for i, raw in enumerate(heatmap.raw)})
        found["raw"] = (f"raw.{kind}", data)
    if pictures:
        image = explanation.image
        # The original file if it is a plain JPEG, else without loss: either has the sha256 of the picture.
        found["picture"] = (
            ("picture.jpg", image.jpeg)
            if image.jpeg
            else ("picture.png", _png(cv2.cvtColor(image.pixels, cv2.COLOR_RGB2BGR)))
        )
    return found


def heatmap(entry: Entry) -> NDArray[np.float32]:
    """Return float32 (h, w) in 0..1 over what the model saw, from the raw map; raise Problem if there is none."""
    import torch

    raws, geometry = raw(entry), entry.geometry
    assert geometry is not None
    left, top, right, bottom = geometry.content
    if entry.state != "ok":
        return np.zeros((bottom - top, right - left), np.float32)
    part, method = entry.recipe.part if entry.recipe else "class", METHODS.get(entry.method or "")
    signed = part == "signed" and method is not None and method.signed
    given = [torch.from_numpy(one[None]) for one in raws]
    return np.ascontiguousarray(maps_heatmap.on_content(given, geometry, entry.layers, signed=signed))


def raw(entry: Entry) -> tuple[NDArray[np.float32], ...]:
    """Return the map as computed, signed, one float32 (h, w) per layer; raise Problem if there is none."""
    if entry.raw is None or entry.geometry is None:
        raise Problem(f"The entry {entry.id} has no map.")
    try:
        loaded = np.load(entry.raw, allow_pickle=False)
        arrays = (loaded,) if isinstance(loaded, np.ndarray) else tuple(loaded[name] for name in loaded.files)
        if not arrays or any(one.ndim != 2 or one.dtype != np.float32 for one in arrays):
            raise ValueError("not maps")
    except (OSError, ValueError, EOFError) as error:
        raise _make_problem(entry) from error
    return arrays


def levels(entry: Entry) -> NDArray[np.float32]:
    """Return the map of the PNG, float32 (h, w) in steps of 1/255: fast, and enough for drawing."""
    if entry.heatmap is None:
        raise Problem(f"The entry {entry.id} has no map.")
    try:
        found = cv2.imdecode(np.frombuffer(entry.heatmap.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    except (OSError, cv2.error) as error:
        raise _make_problem(entry) from error
    if found is None:
        raise _make_problem(entry)
    return np.asarray(found, np.float32) / np.float32(255)


def overlay(entry: Entry, colormap: str, alpha: float, side: int) -> bytes:
    """Return a JPEG of the map over the picture, or alone, at most `side` pixels long."""
    picture = Image.open(entry.kept).thumbnail(side) if entry.kept is not None and entry.kept.is_file() else None
    if entry.heatmap is None:
        if picture is None:
            raise Problem(f"The entry {entry.id} has no map, and its picture is not kept.")
        return to_jpeg(picture)
    scale = min(1.0, side / max(entry.width, entry.height, 1))
    height, width = (max(1, round(entry.height * scale)), max(1, round(entry.width * scale)))
    if picture is not None:
        height, width = picture.shape[:2]
    assert entry.geometry is not None
    edges = entry.geometry.seen
    x0, x1 = (round(edge * width / max(entry.width, 1)) for edge in edges[::2])
    y0, y1 = (round(edge * height / max(entry.height, 1)) for edge in edges[1::2])
    x1, y1 = min(width, max(x1, x0 + 1)), min(height, max(y1, y0 + 1))
    values = np.zeros((height, width), np.float32)
    values[y0:y1, x0:x1] = cv2.resize(levels(entry), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    seen = (x0, y0, x1, y1)
    if picture is None:
        return to_jpeg(render.heatmap_only(values, colormap, seen=seen))
    return to_jpeg(render.overlay(picture, values, colormap=colormap, alpha=alpha, seen=seen))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise OSError("a PNG could not be made")
    return bytes(data)


def _make_problem(entry: Entry) -> Problem:
    return Problem(f"The map of the entry {entry.id} is gone or damaged.")
