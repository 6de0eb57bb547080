"""Prepare pictures by an image processor of Transformers, and measure where its output lies."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from sightglass.common.errors import ModelProblem, describe_error
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.marks import PictureFunction
from sightglass.models.preprocess import Preprocessing, prepare
from sightglass.models.spec import PreprocessingTable

MARKS = ((-0.25, -0.1), (0.1, 0.25), (0.25, -0.2))
"""Centres of the marks, y and x from the picture's middle, in shares of its short side: a centre crop shows them."""
SIDE = 0.1
"""Side of a mark, of the picture's short side."""
LEAST_SIDE = 80
"""Pixels of the short side from which on marks are large enough; a smaller picture is measured on a multiple of it."""
TOLERANCE = 0.75
"""Pixels of the output by which a mark may lie beside the line."""
TRIAL = (180, 270)
"""Height and width of the picture by which a processor is described."""
UNMEASURED = "where its output lies in the picture could not be measured"
ALIKE = 0.1
"""Mean difference, in standard deviations, up to which a description prepares a picture as its processor does."""


class Processor(PictureFunction):
    """An image processor, whose geometry depends on a picture's size alone.

    `channels` is the model's number of them, and `options` are further arguments of each call.
    """

    def __init__(self, processor: Any, channels: int = 3, **options: Any) -> None:
        super().__init__(getattr(processor, "image_processor", processor))
        self.name, self.channels, self._options = type(self.function).__name__, channels, options
        self._geometries: dict[tuple[int, int], tuple[Geometry, Tensor, Tensor]] = {}

    def run(self, pixels: NDArray[Any]) -> Tensor:
        self.calls += 1
        image: Any = np.array(pixels)
        if pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3):
            image = Pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
            image = image.convert("L" if self.channels == 1 else "RGB")
        try:
            output: Tensor = self.function(images=image, return_tensors="pt", **self._options)["pixel_values"].float()
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
            f"The image processor {self.name} does not turn a picture into one input ({reason}): state size, mean and "
            "std of the preprocessing instead."
        )

    def prepare(self, pixels: NDArray[Any]) -> ModelInput:
        """Return a picture's input, exactly as the processor makes it, and where it lies in the picture."""
        return ModelInput(self.run(pixels), self._measure(pixels.shape[0], pixels.shape[1])[0])

    def _measure(self, height: int, width: int) -> tuple[Geometry, Tensor, Tensor]:
        """Return the geometry of a picture's size, and the outputs (1, C, h, w) of a black and a white one."""
        if (height, width) in self._geometries:
            return self._geometries[height, width]
        times = -(-LEAST_SIDE // min(height, width))
        full = np.array((height, width)) * times
        blank = np.zeros((*full, self.channels if self.channels != 1 else 3), np.uint8)
        black, white = self.run(blank), self.run(blank + np.uint8(255))
        spread, side = white - black, round(SIDE * full.min())
        centres, places = [], []
        for centre in MARKS:
            corner = np.rint(full / 2 + np.array(centre) * full.min() - side / 2).astype(int)
            marked = blank.copy()
            marked[corner[0] : corner[0] + side, corner[1] : corner[1] + side] = 255
            # Bars have one colour whatever the picture is.
            share = ((self.run(marked) - black) / spread).where(spread.abs() > 1e-6, 0).mean((0, 1)).double().numpy()
            share *= _central_part(share > 0.5)
            if not share.any() or share[[0, -1]].any() or share[:, [0, -1]].any():
                raise self._unusable(UNMEASURED)
            centres.append(corner + side / 2)
            places.append(((np.indices(share.shape) + 0.5) * share).sum((1, 2)) / share.sum())
        size = (black.shape[2], black.shape[3])
        lines = [_line(*(np.array(values)[:, i] for values in (centres, places)), size[i] / full[i]) for i in (0, 1)]
        found = np.array(centres) * [scale for scale, _ in lines] + [offset for _, offset in lines]
        if min(scale for scale, _ in lines) <= 0 or np.abs(found - places).max() > TOLERANCE:
            raise self._unusable(UNMEASURED)
        (sy, oy), (sx, ox) = lines
        geometry = Geometry((height, width), size, (sy * times, sx * times), (oy, ox))
        self._geometries[height, width] = geometry, black, white
        return self._geometries[height, width]

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the input of a trial picture."""
        return self._measure(*TRIAL)[0].input

    @cached_property
    def description(self) -> Preprocessing | None:
        """The preprocessing that equals the processor's on a trial picture; None where there is none."""
        (geometry, black, white), (turned, *_) = self._measure(*TRIAL), self._measure(*TRIAL[::-1])
        (height, width), (h, w), (sy, sx) = TRIAL, geometry.input, geometry.scale
        short, crop = min(h, w), "squash"
        if geometry.offset != (0.0, 0.0):
            inside = sy * height < h + 1 and sx * width < w + 1
            crop = ("letterbox" if inside else "centre") if abs(sy / sx - 1) < 0.01 else "square"
            short = round(sy * height)
        values = torch.stack([output.flatten(2).median(2).values[0] for output in (black, white)]).double()
        red = np.zeros((*TRIAL, 3), np.uint8) + np.uint8([255, 0, 0])
        change = (self.run(red) - black).abs().mean((0, 2, 3))
        order = "bgr" if len(change) == 3 and int(change.argmax()) == 2 else "rgb"
        values = values.flip(1) if order == "bgr" else values
        if bool((values[1] <= values[0]).any()):
            return None
        spread = values[1] - values[0]
        # Floats of 32 bits have seven digits.
        mean, std = (tuple(round(x, 6) for x in numbers.tolist()) for numbers in (-values[0] / spread, 1 / spread))
        how = Pillow.Resampling(getattr(self.function, "resample", None) or 2).name.lower()
        described = Preprocessing((h, w), short, mean, std, how, crop=crop, channels_order=order)
        noise = np.random.default_rng(0).integers(0, 256, (*TRIAL, 3), np.uint8)
        theirs = self.run(noise)
        ours = prepare(noise, described, "trained").tensor
        if ours.shape != theirs.shape or float((ours - theirs).abs().mean()) > ALIKE * float(theirs.std()):
            return None
        # The sides depend on the picture's: a short side is all that can be said.
        return described if turned.input == geometry.input else replace(described, size=(short, short), crop="centre")

    def table(self) -> PreprocessingTable:
        """Return its size and channels, and itself as the function that prepares pictures."""
        if self.description is not None:
            return replace(self.description.table(), function=self)
        return super().table()


def _central_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the part of a mask (h, w) next to its middle, with its border: mirrored margins repeat a mark."""
    import cv2

    _, parts = cv2.connectedComponents(cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)))
    distances = np.square(np.indices(mask.shape) - np.array(mask.shape)[:, None, None] / 2).sum(0)
    central = parts.flat[np.where(parts > 0, distances, np.inf).argmin()]
    return np.asarray((parts == central) & (parts > 0))


def _line(centres: NDArray[np.float64], places: NDArray[np.float64], whole: float) -> tuple[float, float]:
    """Return the scale and offset from centres to places: those of the whole picture where these fit."""
    if np.abs(centres * whole - places).max() <= TOLERANCE / 2:
        return float(whole), 0.0
    scale, offset = np.polyfit(centres, places, 1).tolist()
    return scale, offset
