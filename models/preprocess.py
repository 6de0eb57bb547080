"""Turn pictures into model inputs, each with its `Geometry`; resizing is Pillow's, as in the classifiers' training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow

from common.errors import ModelProblem
from models.geometry import Geometry, ModelInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

CLASSIFIER_WAYS = ("trained", "crop", "squash", "letterbox")
WAYS = {
    "trained": "As the model was trained",
    "crop": "Largest square in the middle, nothing more cut off",
    "squash": "Whole picture, squeezed into the model's square",
    "letterbox": "Whole picture, with bars",
    "negative": "Light and dark swapped, else as trained",
}
GREY = 114
FULL = {"uint8": 255, "uint16": 65535}
"""White in arrays of whole numbers."""
COUNTED = ("channels_in", "mean", "std")
MAX_CHANNELS = 16
"""Maximum numbers of a pixel."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Preprocessing of a model's training: (h, w) of the input, the short side before the crop, mean and std."""

    size: tuple[int, int]
    short_side: int
    mean: tuple[float, ...]
    """One number for each channel: three of red, green and blue, one of grey, others of an array's channels."""
    std: tuple[float, ...]
    interpolation: Pillow.Resampling = Pillow.Resampling.BICUBIC
    divide_by: float | None = None
    """Divisor of an array's numbers; None: 255 for uint8, 65535 for uint16, 1 for floats."""
    squeezed: bool = False
    """Whether a picture is resized to a square of the short side, whatever its shape, before the crop (DeiT)."""

    @property
    def channels(self) -> int:
        """Numbers of a pixel: 3 is RGB, 1 is grey, others come as arrays."""
        return len(self.mean)

    def changed(self, given: Mapping[str, Any]) -> Preprocessing:
        """Return a copy changed by an operator's table.

        Keys: `size` and `short_side` in pixels, `mean` and `std` of each channel, `divide_by`, and `channels_in`, the
        number of channels; where that changes, mean is 0 and std 1 unless they are given. Raises ModelProblem where
        the keys contradict each other.
        """
        size, short_side = self.size, self.short_side
        if "size" in given:
            size, short_side = (given["size"],) * 2, given["size"]
        counts = {key: given[key] if key == "channels_in" else len(given[key]) for key in COUNTED if key in given}
        if len({*counts.values()}) > 1:
            said = ", ".join(
                f"{key} {'is' if key == 'channels_in' else 'has'} {count}" for key, count in counts.items()
            )
            raise ModelProblem(f"The preprocessing does not fit itself ({said}): give a number for each channel.")
        count = next(iter(counts.values()), self.channels)
        kept = count == self.channels
        mean = tuple(given.get("mean", self.mean if kept else (0.0,) * count))
        std = tuple(given.get("std", self.std if kept else (1.0,) * count))
        short_side = given.get("short_side", short_side)
        divide_by = given.get("divide_by", self.divide_by)
        return replace(self, size=size, short_side=short_side, mean=mean, std=std, divide_by=divide_by)


def prepare(pixels: NDArray[Any], preprocessing: Preprocessing, way: str) -> ModelInput:
    """Turn (H, W, C) into float32 (1, C, h, w), normalised; `way` is one of `CLASSIFIER_WAYS`.

    `pixels` is uint8 RGB, which becomes grey for a model of one channel, or an array with the model's number of
    channels: uint8, uint16 or float32.
    """
    import torch

    if preprocessing.channels == 1 and pixels.shape[2] == 3:
        pixels = np.asarray(Pillow.fromarray(pixels).convert("L"))[:, :, None]
    if pixels.shape[2] != preprocessing.channels:
        raise ModelProblem(
            f"This model takes {preprocessing.channels} channels and the picture has {pixels.shape[2]}: give a .npy or "
            "a .tif with as many."
        )
    placed, geometry = place(pixels, preprocessing, way)
    whole = preprocessing.divide_by or FULL.get(pixels.dtype.name, 1)
    if pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3):
        whole = FULL["uint8"]
    tensor = torch.from_numpy(np.ascontiguousarray(placed.transpose(2, 0, 1))).float().div_(whole)
    mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (preprocessing.mean, preprocessing.std))
    return ModelInput(tensor.sub_(mean).div_(std).unsqueeze(0), geometry)


def place(pixels: NDArray[Any], preprocessing: Preprocessing, way: str) -> tuple[NDArray[Any], Geometry]:
    """Return the (h, w, C) pixels that the model sees, and where they lie in the picture."""
    height, width = pixels.shape[:2]
    h, w = preprocessing.size
    if way == "squash":
        resized = (h, w)
    elif way == "letterbox":
        ratio = min(h / height, w / width)
        resized = (max(round(height * ratio), 1), max(round(width * ratio), 1))
    elif way == "crop":
        ratio = max(h / height, w / width)
        resized = (max(round(height * ratio), h), max(round(width * ratio), w))
    elif preprocessing.squeezed:
        resized = (preprocessing.short_side,) * 2
    else:
        short = preprocessing.short_side
        # int() and not round(): as torchvision's Resize, so that the crop falls on the same pixels.
        resized = (short, int(short * width / height)) if height <= width else (int(short * height / width), short)
    scale = (resized[0] / height, resized[1] / width)
    top, left = (round((a - b) / 2) for a, b in zip(resized, (h, w), strict=True))
    geometry = Geometry((height, width), (h, w), scale, (float(-top), float(-left)))
    # Only the window that the crop keeps is resized: the same pixels, and a 1-px-wide picture stays small.
    window = [
        (max(start, 0), min(start + side, full)) for start, side, full in ((top, h, resized[0]), (left, w, resized[1]))
    ]
    (y0, y1), (x0, x1) = window
    box = (x0 / scale[1], y0 / scale[0], min(x1 / scale[1], width), min(y1 / scale[0], height))
    small = _resized(pixels, (x1 - x0, y1 - y0), preprocessing.interpolation, box)
    if small.shape[:2] == (h, w):
        return small, geometry
    # The same grey on the scale of the array.
    grey = (
        GREY if pixels.dtype == np.uint8 else GREY / 255 * (preprocessing.divide_by or FULL.get(pixels.dtype.name, 1))
    )
    canvas = np.full((h, w, pixels.shape[2]), grey, small.dtype)
    canvas[y0 - top : y1 - top, x0 - left : x1 - left] = small
    return canvas, geometry


def _resized(
    pixels: NDArray[Any], size: tuple[int, int], how: Pillow.Resampling, box: tuple[float, float, float, float]
) -> NDArray[Any]:
    """Resize a window to (h, w, C): bytes stay bytes; other numbers become float32, and are not rounded."""
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(Pillow.fromarray(pixels).resize(size, how, box=box))
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
    planes = [np.ascontiguousarray(pixels[:, :, i]) for i in range(pixels.shape[2])]
    return np.stack([np.asarray(Pillow.fromarray(plane).resize(size, how, box=box)) for plane in planes], axis=2)
