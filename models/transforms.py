"""Read preprocessing from transforms of torchvision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sightglass.common.errors import ModelProblem
from sightglass.models.preprocess import Preprocessing

_TO_TENSOR = (
    *("ToTensor", "MaybeToTensor", "PILToTensor", "MaybePILToTensor"),
    *("ToImage", "ToImageTensor", "ToPureTensor"),
)
_SCALE = ("ConvertImageDtype", "ToDtype")
_READ = "Resize, CenterCrop, Grayscale, ToTensor (or PILToTensor, ToImage, ToDtype) and Normalize"


def preprocessing_of(transform: Any) -> Preprocessing:
    """Return the preprocessing of a `Compose`, a preset of torchvision's weights, or a list of steps.

    Raises ModelProblem, one sentence, for a step that is unknown or random, and where no size is given.
    """
    resize: Any = None
    crop: tuple[int, int] | None = None
    normalise: Any = None
    interpolation: Any = "bilinear"
    antialias, channels, tensor = True, 3, False
    for step in _flat(transform):
        kind = type(step).__name__
        if kind == "Resize":
            if crop is not None or resize is not None:
                raise ModelProblem("The transform resizes after another step: resize once, and crop after it.")
            resize, interpolation = step.size, step.interpolation
            # Pillow always smooths; only tensors are resized without it.
            antialias = not tensor or step.antialias is not False
        elif kind == "CenterCrop":
            crop = _pair(step.size)
        elif kind == "Grayscale":
            channels = int(step.num_output_channels)
        elif kind == "Normalize":
            normalise = step
        elif kind in _TO_TENSOR:
            tensor = True
        elif kind in ("ImageClassification", "SemanticSegmentation"):
            resize, interpolation, normalise = step.resize_size, step.interpolation, step
            crop = _pair(step.crop_size) if kind == "ImageClassification" else crop
        elif kind not in (*_SCALE, "Identity"):
            raise ModelProblem(
                f"The transform's step {kind} cannot be read: leave only {_READ}, or state size, mean, std, "
                "interpolation and crop in weights.preprocessing, or in Python give the tensor that it returns."
            )
    if resize is None and crop is None:
        raise ModelProblem("The transform has no Resize and no CenterCrop, so the size of the input is unknown.")
    if resize is None:
        raise ModelProblem("The transform crops without a Resize before it, which cannot be shown here: add a Resize.")
    sides = _sides(resize)
    size = crop or ((sides[0], sides[0]) if len(sides) == 1 else (sides[0], sides[1]))
    way = "centre" if len(sides) == 1 else "squash" if crop in (None, tuple(sides)) else "square"
    if way == "square" and sides[0] != sides[1]:
        raise ModelProblem(
            f"The transform squeezes pictures to {sides[0]} × {sides[1]} and then crops, which cannot be shown "
            "here: resize to a square."
        )
    mean, std = ((), ()) if normalise is None else (_numbers(normalise.mean), _numbers(normalise.std))
    channels = len(mean) if len(mean) > 1 else channels
    mean, std = (
        numbers * channels if len(numbers) == 1 else numbers or (default,) * channels
        for numbers, default in ((mean, 0.0), (std, 1.0))
    )
    short_side = sides[0] if len(sides) == 1 or way == "square" else min(size)
    how = str(getattr(interpolation, "value", interpolation)).removesuffix("-exact")
    return Preprocessing(size, short_side, mean, std, how, antialias, way)


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
