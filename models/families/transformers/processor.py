"""Prepare pictures by an image processor of Transformers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from sightglass.common.errors import ModelProblem, describe_error
from sightglass.models.preprocess import white_of
from sightglass.models.transforms import SizedFunction


class Processor(SizedFunction):
    """An image processor, or the one in a processor of several parts.

    `channels` is the model's number of them, and `options` are further arguments of each call.
    """

    def __init__(self, processor: Any, channels: int = 3, **options: Any) -> None:
        function: Callable[..., Any] = getattr(processor, "image_processor", processor)
        super().__init__(partial(function, return_tensors="pt", **options))
        self.name, self.channels = type(function).__name__, channels

    def run(self, pixels: NDArray[Any]) -> Tensor:
        self.calls += 1
        image: Any = np.array(pixels)
        if pixels.shape[2] in (1, 3):
            # A processor scales by 255, whatever the type.
            tones = pixels if pixels.dtype == np.uint8 else np.rint(pixels * (255 / white_of(pixels))).clip(0, 255)
            pixels = tones.astype(np.uint8)
            image = Pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
            image = image.convert("L" if self.channels == 1 else "RGB")
        try:
            output: Tensor = self.function(image)["pixel_values"].float()
        # A library's processor may raise anything, of a file's settings or of a picture of many channels.
        except Exception as error:
            raise self._unusable(describe_error(error)) from error
        if output.ndim != 4 or len(output) > 1:
            raise self._unusable(f"it returns {tuple(output.shape)}")
        return output

    def fits_channels(self) -> bool:
        """Return whether it turns a picture of the model's channels into an input of as many."""
        try:
            return self.run(np.zeros((64, 64, self.channels), np.uint8)).shape[1] == self.channels
        except ModelProblem:
            return False

    def _unusable(self, reason: str) -> ModelProblem:
        return ModelProblem(
            f"The image processor {self.name} does not turn a picture into one input ({reason}): wrap the model in a "
            "module that takes (1, C, h, w), or state size, mean and std of the preprocessing if it does so."
        )
