"""Describe functions that prepare pictures: transforms of torchvision, image processors of Transformers."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sightglass.common.errors import ModelProblem
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.marks import PictureFunction
from sightglass.models.preprocess import Preprocessing, prepare

MARKS = ((-0.25, -0.1), (0.1, 0.25), (0.25, -0.2))
"""Centres of the marks, y and x from the picture's middle, in shares of its short side: a centre crop shows them."""
LEAST_SIDE = 64
"""Pixels of the short side from which on marks are large enough; a smaller picture is measured on a multiple of it."""
TRIAL = (600, 900)
"""Height and width of the picture by which a function is described: shrinking it shows whether there is antialias."""
ALIKE = 0.6 / 255
"""Mean difference, of white to black, up to which a description prepares noise as its function does: Pillow rounds."""
FILTERS = (
    *product(("bilinear", "bicubic", "nearest"), (True, False)),
    *product(("lanczos", "box", "hamming"), (True,)),
)


class SizedFunction(PictureFunction):
    """A function whose geometry depends on a picture's size alone: it is measured once for each size."""

    def _centre(self, number: int, full: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(full / 2 + np.array(MARKS[number]) * full.min())

    def prepare(self, pixels: NDArray[Any]) -> ModelInput:
        """Return a picture's input, as the function makes it, and its place; raise ModelProblem."""
        pixels = np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels
        return ModelInput(self.run(pixels), self._measure(*pixels.shape))

    def _measure(self, height: int, width: int, channels: int = 3) -> Geometry:
        key = (height, width, channels)
        if key not in self._known:
            times = -(-LEAST_SIDE // min(height, width))
            blank = np.zeros((height * times, width * times, channels), np.uint8)
            geometry = self._fit(self._find(blank, range(len(MARKS))), blank, self.run(blank), len(MARKS))
            scale = (geometry.scale[0] * times, geometry.scale[1] * times)
            self._known[key] = replace(geometry, original=(height, width), scale=scale), []
        return self._known[key][0]

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the input of a trial picture."""
        return self._measure(*TRIAL).input

    @cached_property
    def description(self) -> Preprocessing | None:
        """The preprocessing that equals the function on a trial picture; None where there is none."""
        black, red, white = (np.full((*TRIAL, 3), ink, np.uint8) for ink in ((0, 0, 0), (255, 0, 0), (255, 255, 255)))
        geometry, turned = self._measure(*TRIAL), self._measure(*TRIAL[::-1])
        (height, width), (h, w), (sy, sx) = TRIAL, geometry.input, geometry.scale
        short, crop = min(h, w), "squash"
        if geometry.offset != (0.0, 0.0):
            inside = sy * height < h + 1 and sx * width < w + 1
            crop = ("letterbox" if inside else "centre") if abs(sy / sx - 1) < 0.01 else "square"
            short = round(sy * height)
        low, change, high = (self.run(flat)[0].flatten(1).median(1).values.double() for flat in (black, red, white))
        order = "bgr" if len(low) == 3 and int((change - low).abs().argmax()) == 2 else "rgb"
        spread = high - low
        if not bool((spread > 0).all()):
            return None
        # Floats of 32 bits have seven digits.
        low, high = (numbers.flip(0) if order == "bgr" else numbers for numbers in (low, high))
        measured = (-low / (high - low)).tolist(), (1 / (high - low)).tolist()
        mean, std = (tuple(float(f"{number:.6g}") + 0.0 for number in numbers) for numbers in measured)
        noise = np.random.default_rng(0).integers(0, 256, (*TRIAL, 3), np.uint8)
        theirs = self.run(noise)
        if not torch.equal(theirs, self.run(noise)):
            return None
        for how, antialias in FILTERS:
            described = Preprocessing((h, w), short, mean, std, how, antialias, crop, channels_order=order)
            ours = prepare(noise, described, "trained").tensor
            if float((ours - theirs).abs().mean() / spread.mean()) <= ALIKE:
                break
        else:
            return None
        # The sides depend on the picture's: a short side is all that can be said.
        return described if turned.input == geometry.input else replace(described, size=(short, short), crop="centre")


def is_plain(transform: Any) -> bool:
    """Return whether all steps of a transform are torchvision's, which look at a picture's size alone."""
    if (steps := getattr(transform, "transforms", None)) is not None:
        return all(map(is_plain, steps))
    kind = type(transform)
    return kind.__module__.startswith("torchvision.transforms") and kind.__name__ != "Lambda"


def preprocessing_of(transform: Any) -> Preprocessing:
    """Return the preprocessing that a transform of torchvision does.

    Raises ModelProblem, one sentence, for a transform that no size, crop, mean and std describe.
    """
    described = SizedFunction(transform).description
    if described is None:
        raise ModelProblem(
            "The transform does more than resize, crop and scale colours: state size, mean, std, interpolation and "
            "crop in weights.preprocessing, or in Python give it as preprocess."
        )
    return described
