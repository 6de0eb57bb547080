"""Read preprocessing from transforms of torchvision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sightglass.common.errors import ModelProblem
from sightglass.models.preprocess import Preprocessing

_TO_TENSOR = (
    *("ToTensor", "MaybeToTensor", "PILToTensor", "MaybePILToTensor"),
    *("ToImage", "ToImageTensor", "ToPureTensor"),
)
_SCALE = ("ConvertImageDtype", "ToDtype")
_READ = "Resize, CenterCrop, Grayscale, ToTensor (or PILToTensor, ToImage, ToDtype) and Normalize"


@dataclass(slots=True)
class _Steps:
    """What the steps of a transform say, collected in their order."""

    resize: Any = None
    crop: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    antialias: bool = True
    tensor: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: int = 3

    def read(self, step: Any) -> None:
        """Note one step; raise ModelProblem for one that is not known."""
        kind = type(step).__name__
        if kind == "Resize":
            if self.crop is not None or self.resize is not None:
                raise ModelProblem("The transform resizes after another step: resize once, and crop after it.")
            self.resize, self.interpolation = step.size, getattr(step.interpolation, "value", step.interpolation)
            # Pillow always smooths; only tensors are resized without it.
            self.antialias = not self.tensor or step.antialias is not False
        elif kind == "CenterCrop":
            self.crop = _pair(step.size)
        elif kind == "Grayscale":
            self.channels = int(step.num_output_channels)
        elif kind == "Normalize":
            self.mean, self.std = _numbers(step.mean), _numbers(step.std)
        elif kind in _TO_TENSOR:
            self.tensor = True
        elif kind == "ImageClassification":
            self.resize, self.crop = step.resize_size, _pair(step.crop_size)
            self.interpolation, self.mean, self.std = step.interpolation.value, tuple(step.mean), tuple(step.std)
        elif kind == "SemanticSegmentation":
            self.resize, self.interpolation = step.resize_size, step.interpolation.value
            self.mean, self.std = tuple(step.mean), tuple(step.std)
        elif kind not in (*_SCALE, "Identity"):
            raise ModelProblem(
                f"The transform's step {kind} cannot be read: leave only {_READ}, or state size, mean, std, "
                "interpolation and crop in weights.preprocessing, or in Python give the tensor that it returns."
            )


def preprocessing_of(transform: Any) -> Preprocessing:
    """Return the preprocessing of a `Compose`, a preset of torchvision's weights, or a list of steps.

    Raises ModelProblem, one sentence, for a step that is unknown or random, and where no size is given.
    """
    steps = _Steps()
    for step in _flat(transform):
        steps.read(step)
    if steps.resize is None and steps.crop is None:
        raise ModelProblem("The transform has no Resize and no CenterCrop, so the size of the input is unknown.")
    if steps.resize is None:
        raise ModelProblem("The transform crops without a Resize before it, which cannot be shown here: add a Resize.")
    sides = _sides(steps.resize)
    size = steps.crop or ((sides[0], sides[0]) if len(sides) == 1 else (sides[0], sides[1]))
    crop = "centre" if len(sides) == 1 else "squash" if steps.crop in (None, tuple(sides)) else "square"
    if crop == "square" and sides[0] != sides[1]:
        raise ModelProblem(
            f"The transform squeezes pictures to {sides[0]} × {sides[1]} and then crops, which cannot be shown "
            "here: resize to a square."
        )
    channels = len(steps.mean) if steps.mean is not None and len(steps.mean) > 1 else steps.channels
    mean, std = (
        (default,) * channels if numbers is None else numbers * channels if len(numbers) == 1 else numbers
        for numbers, default in ((steps.mean, 0.0), (steps.std, 1.0))
    )
    short_side = sides[0] if len(sides) == 1 or crop == "square" else min(size)
    interpolation = steps.interpolation.removesuffix("-exact")
    return Preprocessing(size, short_side, mean, std, interpolation, steps.antialias, crop)


def _flat(transform: Any) -> Iterable[Any]:
    steps = transform if isinstance(transform, (list, tuple)) else getattr(transform, "transforms", None)
    if steps is None:
        yield transform
        return
    for step in steps:
        yield from _flat(step)


def _sides(size: Any) -> list[int]:
    return [int(side) for side in size] if isinstance(size, (list, tuple)) else [int(size)]


def _pair(size: Any) -> tuple[int, int]:
    sides = _sides(size)
    return (sides[0], sides[-1])


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(number) for number in (values.tolist() if hasattr(values, "tolist") else values))
