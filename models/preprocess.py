"""Pictures into model inputs, each with its way back. Resizing is Pillow's, as the classifiers were trained with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow

from models.adapter import Geometry, ModelInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

CLASSIFIER_WAYS = ("trained", "crop", "squash", "letterbox")
WAYS = {
    "trained": "As the model was trained",
    "crop": "Largest square in the middle, nothing more cut off",
    "squash": "Whole picture, squeezed into the model's square",
    "letterbox": "Whole picture, with bars",
}
GREY = 114


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a classifier was trained with: (h, w) of the input, the short side before the crop, and the numbers."""

    size: tuple[int, int]
    short_side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Pillow.Resampling = Pillow.Resampling.BICUBIC

    def changed(self, given: Mapping[str, Any]) -> Preprocessing:
        """As an operator's table says: `size` and `short_side` in pixels, `mean` and `std` of red, green and blue."""
        size, short_side = self.size, self.short_side
        if "size" in given:
            size, short_side = (given["size"],) * 2, given["size"]
        mean, std = (tuple(given.get(key, getattr(self, key))) for key in ("mean", "std"))
        return replace(self, size=size, short_side=given.get("short_side", short_side), mean=mean, std=std)


def prepare(pixels: NDArray[np.uint8], preprocessing: Preprocessing, way: str) -> ModelInput:
    """uint8 (H, W, 3) to float32 (1, 3, h, w), normalised; `way` is one of `CLASSIFIER_WAYS`."""
    import torch

    placed, geometry = place(pixels, preprocessing, way)
    tensor = torch.from_numpy(np.ascontiguousarray(placed.transpose(2, 0, 1))).float().div_(255)
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (preprocessing.mean, preprocessing.std))
    return ModelInput(tensor.sub_(mean).div_(std).unsqueeze(0), geometry)


def place(pixels: NDArray[np.uint8], preprocessing: Preprocessing, way: str) -> tuple[NDArray[np.uint8], Geometry]:
    """The (h, w, 3) pixels that the model sees, and where they lie in the picture."""
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
    small = Pillow.fromarray(pixels).resize((x1 - x0, y1 - y0), preprocessing.interpolation, box=box)
    if small.size == (w, h):
        return np.asarray(small), geometry
    canvas = np.full((h, w, 3), GREY, np.uint8)
    canvas[y0 - top : y1 - top, x0 - left : x1 - left] = np.asarray(small)
    return canvas, geometry
