"""An explanation as the rows and files that the history keeps of it; nothing is written here."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from common.errors import Problem
from explain.history import array_codec
from explain.history.store import Blob

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from explain.explanation import Explanation
    from explain.export.embedded_recipe import View
    from explain.picture.image import Image

SIDE = 320
"""Pixels of a thumbnail's longer side, at most."""
GREY = 118
"""Grey level that what no model saw is faded towards."""
WEBP = 16_383
"""Pixels of a side that WebP can have."""
COLORMAP, ALPHA, FAINTEST = "inferno", 0.9, 0.3


@dataclass(frozen=True, eq=False)
class Draft:
    """What a record will hold."""

    body: dict[str, Any]
    """Plain values, as `rows.Body` reads them."""
    maps: tuple[tuple[dict[str, Any], Blob], ...]
    """Of each heatmap: plain values, as `rows.About` reads them, and its arrays."""
    thumbnail: Blob
    words: frozenset[str]
    """The classes that it is found by: of the map that was looked at, of the first answer, of a detector's boxes."""


def draft(explanation: Explanation, index: int, look: Mapping[str, Any] | None, screen: str) -> Draft:
    """Raises Problem for an explanation that is not finished, a map that it does not have, or a look that is none."""
    from explain.findings.diagnosis import diagnose, headline

    if not explanation.finished:
        raise Problem("This map is not finished yet: wait until it is, then keep it.")
    count = len(explanation.heatmaps)
    if index < 0 or index >= max(1, count):
        raise Problem(f"There is no map {index}: this explanation has {count}, counted from 0.")
    view, predictions = _view(explanation, index, look or {}, screen), explanation.predictions
    colormap = colormap_of(view, COLORMAP)
    found = diagnose(explanation, index) if count else explanation.diagnosis
    labels = [heatmap.target.label for heatmap in explanation.heatmaps]
    body = {
        "headline": _plain(headline(explanation, _hot(colormap), index)),
        "layers": explanation.recipe.layers,
        "predictions": [asdict(prediction) for prediction in predictions],
        "labels": labels,
        "index": index,
        "score": score(explanation, index),
        "statistics": asdict(explanation.statistics[index]) if count else None,
        "findings": [asdict(finding) for finding in found],
        "recipe": explanation.recipe.model_dump(mode="json"),
        "view": view.model_dump(mode="json"),
        "notes": explanation.notes,
        "picture_notes": explanation.image.notes,
        "screen": screen,
    }
    words = {prediction.label for prediction in predictions if prediction.box is not None}
    words |= {prediction.label for prediction in predictions[:1]} | set(labels[index : index + 1])
    maps = tuple(_map(explanation, place) for place in range(count))
    return Draft(
        body, maps, Blob.of(_thumbnail(explanation, index, colormap, alpha_of(view, ALPHA)), "jpg"), frozenset(words)
    )


def picture(image: Image) -> Blob:
    """The picture's own JPEG where it has one; else its pixels without loss, and what more than RGB it has."""
    if image.planes is not None:
        return Blob.of(array_codec.pack({"pixels": image.pixels, "planes": image.planes}), "maps")
    if image.jpeg:
        return Blob.of(image.jpeg, "jpg")
    from PIL import Image as Pillow

    out, drawn = BytesIO(), Pillow.fromarray(image.pixels)
    if max(drawn.size) <= WEBP:
        drawn.save(out, "WEBP", lossless=True, quality=20, method=1)
        return Blob.of(out.getvalue(), "webp")
    drawn.save(out, "PNG", compress_level=3)
    return Blob.of(out.getvalue(), "png")


def score(explanation: Explanation, index: int) -> float | None:
    """How sure the model is of what a map is of; without a map, of its first answer."""
    predictions = explanation.predictions
    if not explanation.heatmaps:
        return max((prediction.score for prediction in predictions), default=None)
    target = explanation.heatmaps[index].target
    if target.index is None:
        return None
    own = [p.score for p in predictions if p.index == target.index and p.anchor in target.anchors]
    return max(own or (p.score for p in predictions if p.index == target.index), default=None)


def _map(explanation: Explanation, place: int) -> tuple[dict[str, Any], Blob]:
    from explain.findings.diagnosis import looks

    heatmap = explanation.heatmaps[place]
    several = len(heatmap.raw) > 1 and len(explanation.heatmaps) > 1
    arrays: dict[str, NDArray[np.float32]] = {"values": heatmap.content}
    arrays |= {f"raw {layer}": raw for layer, raw in enumerate(heatmap.raw)}
    if several:
        arrays["shared"] = explanation.shared[place].content
    if heatmap.uncut is not None:
        arrays["measured"] = heatmap.uncut.content
    target = heatmap.target.index
    about = {
        "label": heatmap.target.label,
        # As the viewer's panel has it: of the class, whichever of its boxes the map is of.
        "score": max((p.score for p in explanation.predictions if p.index == target), default=None),
        "ends": heatmap.ends,
        "geometry": asdict(heatmap.geometry),
        "method": heatmap.method,
        "layers": heatmap.layers,
        "scale": heatmap.scale,
        "state": heatmap.state,
        "statistics": asdict(explanation.statistics[place]),
        "boxes": [asdict(prediction) for prediction in explanation.own(place)],
        "looks": looks(explanation, place),
    }
    return about, Blob.of(array_codec.pack(arrays), "maps")


def _view(explanation: Explanation, index: int, look: Mapping[str, Any], screen: str) -> View:
    from explain.export.embedded_recipe import View, view_of

    try:
        if explanation.heatmaps:
            view = view_of(explanation, index)
        else:
            of = "detect" if explanation.options.per != "class" or explanation.model.task == "detect" else "explore"
            view = View(index=0, screen=of, automatic=not explanation.options.layers)  # type: ignore[arg-type]
        chosen = {"screen": screen} if screen in ("explore", "detect") else {}
        return View.model_validate(view.model_dump() | chosen | {"settings": dict(look)})
    except ValidationError as error:
        raise Problem("A look must be at most 40 settings of the viewer, by name.") from error


def colormap_of(view: View, otherwise: str) -> str:
    """The colormap that was chosen, where it is one."""
    from explain.rendering.colormaps import colormaps

    named = str(view.settings.get("colormap", otherwise))
    return named if any(known.name == named for known in colormaps()) else otherwise


def alpha_of(view: View, otherwise: float) -> float:
    """The opacity that was chosen, where anything is seen at it."""
    with contextlib.suppress(ValueError):
        given = float(view.settings.get("alpha", otherwise))
        if FAINTEST <= given <= 1:
            return given
    return otherwise


def _hot(colormap: str) -> str:
    from explain.rendering.colormaps import colormaps

    return next(known.hot for known in colormaps() if known.name == colormap)


def _thumbnail(explanation: Explanation, index: int, colormap: str, alpha: float) -> bytes:
    """The picture under one map, JPEG, made small before it is coloured."""
    import numpy as np

    from explain.picture.image import to_jpeg
    from explain.rendering import render

    pixels = explanation.image.thumbnail(SIDE)
    if explanation.heatmaps:
        heatmap, (height, width) = explanation.heatmaps[index], pixels.shape[:2]
        full = heatmap.geometry
        by = (full.original[0] / height, full.original[1] / width)
        small = replace(full, original=(height, width), scale=(full.scale[0] * by[0], full.scale[1] * by[1]))
        values = np.clip(small.to_original(heatmap.at_input), 0, 1)
        # On light pages and dark ones: what was not seen is faded towards neither.
        pixels = _greyed(pixels, small.seen)
        look: dict[str, Any] = {"colormap": colormap, "alpha": alpha, "weighted": True}
        pixels = render.overlay(pixels, values, **look, seen=small.seen, unseen="keep")
    return to_jpeg(pixels, 80)


def _greyed(pixels: NDArray[np.uint8], seen: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    import numpy as np

    left, top, right, bottom = seen
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    faded = np.rint(0.4 * grey + 0.6 * GREY).astype(np.uint8)
    out = np.repeat(faded[..., None], 3, axis=2)
    out[top:bottom, left:right] = pixels[top:bottom, left:right]
    return out


def _plain(text: str) -> str:
    """A sentence without emphasis."""
    return text.replace("**", "").strip()
