"""Encode an explanation as the rows and files of a record."""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from sightglass.common.errors import Problem
from sightglass.explain.picture.image import Image, to_jpeg, to_lossless
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import VIEWER_STYLE, Field, Style
from sightglass.explain.trust.diagnosis import describe, diagnose
from sightglass.export.embedded_recipe import Look, list_checks, view_of
from sightglass.history import proofs
from sightglass.history.records import MapInfo, RecordBody
from sightglass.history.store import Blob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.trust.checks import Checks


MAGIC = b"SGMAPS1\n"
KINDS = ("uint8", "uint16", "float32")
MAX_BYTES = 2**31
"""Maximum number of bytes to unpack."""


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack arrays (uint8, uint16, float32) by name, reproducibly."""
    listed, parts = [], []
    for name, array in arrays.items():
        if array.dtype.name not in KINDS or array.ndim not in (2, 3) or not array.size:
            raise ValueError(
                f"{name} must be of {', '.join(KINDS)} with two or three axes, not {array.dtype} {array.shape}."
            )
        listed.append({"name": name, "kind": array.dtype.name, "shape": array.shape})
        bits = np.ascontiguousarray(array).view(_bits(array.dtype.name))
        steps = bits.copy()
        steps[:, 1:] -= bits[:, :-1]
        parts.append(_planes(steps))
    head = json.dumps(listed, separators=(",", ":")).encode()
    return MAGIC + struct.pack("<I", len(head)) + head + zlib.compress(b"".join(parts), 6)


def unpack(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of `pack`. Raises Problem."""
    try:
        if not data.startswith(MAGIC):
            raise ValueError("another kind of file")
        (length,) = struct.unpack_from("<I", data, len(MAGIC))
        start = len(MAGIC) + 4
        listed = [
            (str(load["name"]), str(load["kind"]), tuple(map(int, load["shape"])))
            for load in json.loads(data[start : start + length])
        ]
        sizes = [math.prod(shape) * _bits(kind).itemsize for _, kind, shape in listed]
        if any(len(shape) not in (2, 3) or min(shape) < 1 for _, _, shape in listed) or sum(sizes) > MAX_BYTES:
            raise ValueError("shapes")
        inflate = zlib.decompressobj()
        inflated = inflate.decompress(data[start + length :], sum(sizes) + 1)
        if len(inflated) != sum(sizes) or not inflate.eof:
            raise ValueError("length")
        arrays, at = {}, 0
        for (name, kind, shape), size in zip(listed, sizes, strict=True):
            bits = _bits(kind)
            steps = np.frombuffer(inflated, np.uint8, size, at).reshape(bits.itemsize, -1)
            differences = np.ascontiguousarray(steps.T).view(bits).reshape(shape)
            array = np.cumsum(differences, axis=1, dtype=bits).view(kind)
            array.flags.writeable = False
            arrays[name], at = array, at + size
        return arrays
    except (ValueError, KeyError, TypeError, struct.error, zlib.error) as error:
        raise Problem(f"A file of maps is damaged ({error}).") from error


def _bits(kind: str) -> np.dtype[Any]:
    """Return the unsigned little-endian integer type of the same width."""
    return np.dtype({"uint8": "<u1", "uint16": "<u2", "float32": "<u4"}[kind])


def _planes(values: NDArray[Any]) -> bytes:
    """Return first bytes before second ones, for better compression."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return np.ascontiguousarray(flat.view(np.uint8).reshape(-1, values.dtype.itemsize).T).tobytes()


SIDE = 320
"""Maximum length of a thumbnail's longer side, in pixels."""
GREY = 118
"""Grey level towards which unseen parts fade."""
MIN_ALPHA = 0.3
"""Opacity below which a map can hardly be seen."""


@dataclass(frozen=True, eq=False)
class EncodedRecord:
    """The content of a record that is about to be saved."""

    body: RecordBody
    maps: tuple[tuple[MapInfo, Blob], ...]
    """The description and the arrays of each heatmap."""
    thumbnail: Blob
    labels: frozenset[str]
    """Classes under which the record is found: of the selected map, of the best prediction, of a detector's boxes."""
    others: tuple[Blob, ...] = ()
    """Further files: of the second picture, of proofs."""


def encode(explanation: Explanation, index: int, look: Mapping[str, Any] | None, screen: str) -> EncodedRecord:
    """Encode a finished explanation. Raises Problem."""
    if not explanation.finished:
        raise Problem("This map is not finished yet: wait until it is, then save it.")
    count = len(explanation.heatmaps)
    if index < 0 or index >= max(1, count):
        raise Problem(f"There is no map {index}: this explanation has {count}, counted from 0.")
    view, predictions = _view(explanation, index, look or {}, screen), explanation.predictions
    style = visible_style(view)
    description = describe(explanation, style.hot, index)
    findings = diagnose(explanation, index) if count else explanation.diagnosis
    said_of_proofs, others = proofs.encode(explanation.proofs)
    body = RecordBody(
        headline=description.headline,
        title=description.title,
        layers=explanation.recipe.layers,
        predictions=predictions,
        labels=tuple(heatmap.target.label for heatmap in explanation.heatmaps),
        index=index,
        score=explanation.task.saved_score(explanation, index),
        statistics=explanation.statistics[index] if count else None,
        findings=tuple(findings),
        recipe=explanation.recipe,
        view=view,
        notes=explanation.notes,
        screen=screen,
        proofs=said_of_proofs,
        seals=encode_checks(explanation),
    )
    labels = {prediction.label for prediction in predictions if prediction.box is not None}
    labels |= {prediction.label for prediction in predictions[:1]} | set(body.labels[index : index + 1])
    maps = tuple(_map(explanation, place) for place in range(count))
    thumbnail = Blob.of(_thumbnail(explanation, index, style), "jpg")
    return EncodedRecord(body, maps, thumbnail, frozenset(labels), others)


def encode_checks(explanation: Explanation) -> tuple[Checks | None, ...]:
    """Return each map's checks, or None; empty without any."""
    seals = list_checks(explanation)
    return tuple(seals) if any(seals) else ()


def picture(image: Image) -> Blob:
    """Return the picture's own JPEG, else a lossless file."""
    if image.planes is not None:
        return Blob.of(pack({"pixels": image.pixels, "planes": image.planes}), "maps")
    if image.jpeg:
        return Blob.of(image.jpeg, "jpg")
    return Blob.of(*to_lossless(image.pixels))


def decode_picture(file: str, data: bytes, name: str) -> Image:
    """Return the picture of `picture`'s file, named `file`."""
    if file.endswith(".maps"):
        arrays = unpack(data)
        return Image(arrays["pixels"], name, planes=arrays.get("planes"))
    return Image.open(data, name=name)


def _map(explanation: Explanation, place: int) -> tuple[MapInfo, Blob]:
    heatmap = explanation.heatmaps[place]
    several = len(heatmap.raw) > 1 and len(explanation.heatmaps) > 1
    arrays: dict[str, NDArray[np.float32]] = {"values": heatmap.content}
    arrays |= {f"raw {layer}": raw for layer, raw in enumerate(heatmap.raw)}
    if several:
        arrays["shared"] = explanation.shared[place].content
    if heatmap.uncut is not None:
        arrays["measured"] = heatmap.uncut.content
    # As in the viewer's panel: the score of the class, whichever of its boxes is explained.
    label, score = explanation.task.describe_saved(explanation, place)
    info = MapInfo(
        label=label,
        score=score,
        ends=heatmap.ends,
        geometry=heatmap.geometry,
        method=heatmap.method,
        layers=heatmap.layers,
        scale=heatmap.scale,
        state=heatmap.state,
        statistics=explanation.statistics[place],
        boxes=explanation.own(place),
        looks=describe(explanation, index=place).markdown(),
        signed=heatmap.signed,
        unit=explanation.model.unit_of(heatmap.target.label) if heatmap.signed else "",
    )
    return info, Blob.of(pack(arrays), "maps")


def _view(explanation: Explanation, index: int, look: Mapping[str, Any], screen: str) -> Look:
    try:
        if explanation.heatmaps:
            view = view_of(explanation, index)
        else:
            view = Look(screen=explanation.task.screen, automatic=not explanation.options.layers)
        chosen = {"screen": screen} if screen in ("explore", "detect") else {}
        return Look.model_validate(view.model_dump() | chosen | {"settings": dict(look)})
    except ValidationError as error:
        raise Problem("`look` must be at most 40 settings of the viewer, by name.") from error


def visible_style(view: Look) -> Style:
    """Return the chosen colormap, with the opacity of a visible map."""
    chosen = Style.of(view.settings)
    return Style(colormap=chosen.colormap, alpha=chosen.alpha if chosen.alpha >= MIN_ALPHA else VIEWER_STYLE.alpha)


def _thumbnail(explanation: Explanation, index: int, style: Style) -> bytes:
    """Return the picture under one map as a small JPEG."""
    pixels = explanation.image.thumbnail(SIDE)
    if explanation.heatmaps:
        heatmap, (height, width) = explanation.heatmaps[index], pixels.shape[:2]
        full = heatmap.geometry
        by = (full.original[0] / height, full.original[1] / width)
        small = replace(full, original=(height, width), scale=(full.scale[0] * by[0], full.scale[1] * by[1]))
        values = np.clip(small.to_original(heatmap.at_input), -1 if heatmap.signed else 0, 1)
        pixels = grey_out(pixels, small.seen)
        if heatmap.signed:
            field = Field(values, (0, 0, width, height), small.seen, heatmap.kind)
            return to_jpeg(render.paint(pixels, field, Style(alpha=style.alpha), unseen="keep"), 80)
        look: Json = {"colormap": style.colormap, "alpha": style.alpha, "weighted": True}
        pixels = render.overlay(pixels, values, **look, seen=small.seen, unseen="keep")
    return to_jpeg(pixels, 80)


def grey_out(pixels: NDArray[np.uint8], seen: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Fade what the model did not see to a neutral grey."""
    left, top, right, bottom = seen
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    faded = np.rint(0.4 * grey + 0.6 * GREY).astype(np.uint8)
    out = np.repeat(faded[..., None], 3, axis=2)
    out[top:bottom, left:right] = pixels[top:bottom, left:right]
    return out
