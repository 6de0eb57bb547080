"""Read numbers off maps: one of each pixel, such as a depth, or joints from heat maps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapter import AreaTarget, Part, PlaceTarget, Prediction, Target
from sightglass.models.adapters.segmenter import Segmentation, Segmenter
from sightglass.models.spec import AREA_METHOD, METHOD, OutputTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.models.geometry import Geometry
    from sightglass.models.layers import Layer
    from sightglass.models.spec import ModelSpec


class PixelNumbers(Segmenter):
    """A module from float32 (B, 3, h, w) to a number of each pixel (B, 1, h', w'), as an `Adapter`.

    Its outputs are a `Segmentation` whose logits are the numbers themselves.
    """

    parts: tuple[Part, ...] = ("signed", "class", "lowers")
    measures_pixels = True

    def __init__(self, spec: ModelSpec, *args: Any, **options: Any) -> None:
        # GradCAM weighs channels by their mean gradient, which is 0 for the difference of two places.
        super().__init__(replace(spec, method=AREA_METHOD if spec.method == METHOD else spec.method), *args, **options)

    def decode(
        self, outputs: Any, geometry: Geometry, *, top_k: int, confidence: float, iou: float
    ) -> list[Prediction]:
        """Return the mean number of the whole picture."""
        there = torch.from_numpy(self.covers(outputs, geometry)).to(outputs.logits.device)
        return [Prediction(self.labels[0], 0, float(outputs.logits[0, 0].detach()[there].double().mean()))]

    def class_scores(self, outputs: Any) -> Tensor:
        return self.class_logits(outputs).float()

    def pixels_of(self, outputs: Segmentation, target: Target) -> NDArray[np.bool_]:
        if isinstance(target, AreaTarget) and target.size == outputs.size:
            return target.pixels
        return np.ones(outputs.size, bool)

    def numbers_at(self, outputs: Segmentation, geometry: Geometry) -> NDArray[np.float32]:
        """Return the number of each pixel of the original picture, (H, W); NaN where the model did not look."""
        numbers = outputs.logits[0, 0].detach().float().cpu().numpy()
        return self._on_picture(numbers, geometry, np.nan)

    def number(self, outputs: Segmentation, target: Target) -> Tensor:
        """Return the mean number of a target's pixels, less the mean of those it is weighed against; shape ()."""
        numbers: Tensor = outputs.logits[0, 0]
        mean = _mean(numbers, self.pixels_of(outputs, target))
        if isinstance(target, PlaceTarget) and target.than:
            return mean - _mean(numbers, target.other)
        return mean

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        """Return `number`, for `lowers` with the other sign, shape ()."""
        if target.part not in self.parts:
            raise ModelProblem(f"{self.spec.id} cannot explain {target.part}: use one of {', '.join(self.parts)}.")
        number = self.number(outputs, target)
        return -number if target.part == "lowers" else number

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the last layer of the backbone, or the last, that is no map of the number itself."""
        return super().default_layers([layer for layer in layers if layer.shape[0] > 1] or layers)


def _mean(numbers: Tensor, pixels: NDArray[np.bool_]) -> Tensor:
    """Return the mean over some pixels, bool (h, w), of numbers (h, w)."""
    return numbers[torch.from_numpy(pixels).to(numbers.device)].mean()


def as_pixels(tensor: Tensor) -> Tensor:
    """Return (B, 1, h, w) of numbers that come without channels, (B, h, w); others as they are."""
    return tensor[:, None] if tensor.ndim == 3 else tensor


NUMBERS = ("x", "y", "peak")
"""What is read from each map: a place in pixels of the input, and the map's largest value."""
SHARPNESS = 25.0
"""How many times a map, scaled to a peak of 1, is multiplied before the softmax whose mean place is taken: of a
Gaussian a cell one deviation away then counts less than a ten-thousandth of the peak."""


def read_peaks(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, 3 K) from heat maps (B, K, h, w): of each its peak's x and y, by a sharp softmax, and its height.

    `size`: (h, w) of the input, in whose pixels x and y are. Differentiable.
    """
    flat = maps.flatten(2)
    peak = flat.amax(2)
    scale = peak.detach().abs().clamp_min(torch.finfo(flat.dtype).tiny)[..., None]
    share = (SHARPNESS * flat / scale).softmax(2).view_as(maps)
    rows, columns = ((torch.arange(count).to(maps) + 0.5) / count for count in maps.shape[2:])
    x = (share.sum(2) * columns).sum(2) * size[1]
    y = (share.sum(3) * rows).sum(2) * size[0]
    return torch.stack((x, y, peak), 2).flatten(1)


def name_peaks(spec: ModelSpec, count: int, found: Sequence[str] = ()) -> ModelSpec:
    """Return the row with a name and a unit for each number of `count` heat maps, by the names of the joints.

    `found`: names in the file. Names of all numbers, three a map, stay as they are.
    """
    names = labels.own(spec) or tuple(found) or tuple(f"joint {place}" for place in range(count))
    if len(names) != count:
        return spec
    every = tuple(
        OutputTable(f"{name} {number}", None if number == "peak" else "px") for name in names for number in NUMBERS
    )
    return spec.with_weights(labels=None, outputs=every)
