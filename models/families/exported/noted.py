"""Read what an ONNX file notes on its pictures: the order and range of colours, and Custom Vision's preprocessing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sightglass.models.families.exported.runtimes import plain
from sightglass.models.name_tables import to_index
from sightglass.models.spec import PreprocessingTable

ORDER, RANGE = "Image.BitmapPixelFormat", "Image.NominalPixelRange"
"""ONNX's notes on the order and the range of colours."""
STEP = "CustomVision.Preprocess."
"""What Custom Vision's notes on preprocessing begin with."""
SHOWN = 40
"""Letters of a note in a sentence."""
BLACK, WHITE = 16, 235
"""The range of a video's numbers."""
_SPREAD = WHITE - BLACK
ORDERS: dict[str, Literal["rgb", "bgr"]] = {
    "rgb8": "rgb",
    "rgba8": "rgb",
    "bgr8": "bgr",
    "bgra8": "bgr",
    "gray8": "rgb",
}
"""Order of colours by ONNX's note, in small letters."""
RANGES = {
    "nominalrange_0_255": PreprocessingTable(mean=(0.0,), std=(1.0,), range=255),
    "normalized_0_1": PreprocessingTable(mean=(0.0,), std=(1.0,), range=1),
    "normalized_1_1": PreprocessingTable(mean=(0.5,), std=(0.5,), range=1),
    "nominalrange_16_235": PreprocessingTable(mean=(-BLACK / _SPREAD,), std=(1 / _SPREAD,), range=1),
}
"""Preprocessing by ONNX's note on the range of an input's numbers, in small letters."""


@dataclass(frozen=True)
class Noted:
    """What a file notes on its pictures."""

    table: PreprocessingTable
    """What it states, and nothing else."""
    open_: tuple[tuple[str, str], ...]
    """What is assumed beside that: the key that would state it, and the end of a sentence that begins with the file's
    name."""


def read_noted(metadata: Mapping[str, Any], channels: int, size: tuple[int, int]) -> Noted:
    """Return what notes say of pictures for an input of `size` (h, w)."""
    order = ORDERS.get(_word(metadata, ORDER))
    scaling = _scaling(metadata, channels)
    fit = _fit(metadata, size)
    if order is None and scaling is None and fit is None:
        return Noted(PreprocessingTable(), _unknown(metadata))
    table = scaling or PreprocessingTable()
    if order is not None:
        table = replace(table, channels=order)
    return Noted(replace(table, interpolation="bicubic", **(fit or {"crop": "squash"})), _assumed(metadata, table, fit))


def _word(metadata: Mapping[str, Any], key: str) -> str:
    return str(metadata.get(key, "")).strip().lower()


def _unknown(metadata: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return which notes on colours have a value that is none of ONNX's."""
    known = (("channels", ORDER, ORDERS), ("range", RANGE, RANGES))
    return tuple(
        (topic, f"says {key} {str(metadata[key])[:SHOWN]!r}, which is not known here")
        for topic, key, values in known
        if _word(metadata, key) not in ("", *values)
    )


def _assumed(
    metadata: Mapping[str, Any], table: PreprocessingTable, fit: Mapping[str, Any] | None
) -> tuple[tuple[str, str], ...]:
    """Return what is assumed beside the notes on pictures."""
    assumed = [*_unknown(metadata)]
    if table.range is None:
        end = "does not say the range of its colours: 0 to 1 was taken, as by Custom Vision's example"
        assumed.append(("range", end))
    if table.channels is None:
        assumed.append(("channels", "does not say the order of its colours: red first was taken"))
    method = str(metadata.get(f"{STEP}ResizeMethod", ""))
    example = "the whole picture was squeezed, as by Custom Vision's example"
    if fit is None:
        assumed.append(("crop", f"does not say how pictures are resized: {example}"))
    elif fit["crop"] == "squash" and method.lower() != "stretch":
        assumed.append(("crop", f"says to resize pictures {method[:SHOWN] or 'as a whole'}: {example}"))
    return tuple(assumed)


def _scaling(metadata: Mapping[str, Any], channels: int) -> PreprocessingTable | None:
    """Return an input's mean, std and range by Custom Vision's numbers."""
    mean = _numbers(metadata, "NormalizeMean", channels, least=-math.inf)
    std = _numbers(metadata, "NormalizeStd", channels, least=0)
    if mean and std and (any(mean) or any(number != 1 for number in std)):
        # Of pictures from 0 to 255, or from 0 to 1.
        white = 255 if max(map(abs, (*mean, *std))) > 1 else 1
        scaled = [tuple(number / white for number in numbers) for numbers in (mean, std)]
        return PreprocessingTable(mean=scaled[0], std=scaled[1], range=1)
    table = RANGES.get(_word(metadata, RANGE))
    if table is None or table.mean is None or table.std is None:
        return None
    return replace(table, mean=table.mean * channels, std=table.std * channels)


def _numbers(metadata: Mapping[str, Any], key: str, count: int, *, least: float) -> tuple[float, ...]:
    """Return the numbers of a note, one for each channel, or none."""
    numbers = plain(metadata.get(f"{STEP}{key}"))
    if not isinstance(numbers, list | tuple) or len(numbers) != count:
        return ()
    right = (type(number) in (int, float) and math.isfinite(number) and number > least for number in numbers)
    return tuple(map(float, numbers)) if all(right) else ()


def _fit(metadata: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any] | None:
    """Return how Custom Vision fits a picture to the input, or None."""
    crop, method = (_word(metadata, f"{STEP}{key}") for key in ("CropMethod", "ResizeMethod"))
    if not crop and not method:
        return None
    if crop != "centercrop":
        return {"crop": "squash"}
    target = [to_index(metadata.get(f"{STEP}Target{side}")) or 0 for side in ("Height", "Width")]
    if not all(stated > own for stated, own in zip(target, size, strict=True)):
        return {"crop": "centre", "short_side": min(size)}
    if method == "stretch":
        return {"crop": "square", "resized": tuple(target)}
    return {"crop": "centre", "short_side": min(target)}
