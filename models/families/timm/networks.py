"""Preprocessing and class names of timm's models."""

from __future__ import annotations

from typing import Any

from torch import nn

from sightglass.models import labels
from sightglass.models.preprocess import Preprocessing


def preprocessing_of(module: nn.Module) -> Preprocessing:
    """Return the preprocessing of timm's evaluation transform, pixel by pixel."""
    from timm.data.config import resolve_model_data_config

    config: dict[str, Any] = resolve_model_data_config(module)
    size = config["input_size"][1:]
    return Preprocessing(
        size=size,
        short_side=int(min(size) / config["crop_pct"]),
        mean=config["mean"],
        std=config["std"],
        interpolation=config["interpolation"],
        crop={"squash": "squash", "border": "letterbox"}.get(config["crop_mode"], "centre"),
    )


def names_of(module: nn.Module) -> tuple[str, ...]:
    """Return the classes of an ImageNet of any size, else plain numbers."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    count: int = module.num_classes  # type: ignore[assignment]
    if count == len(labels.imagenet()):
        return labels.imagenet()
    subset = infer_imagenet_subset(module)
    if subset is None:
        return tuple(f"class {index}" for index in range(count))
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index).partition(",")[0].replace("_", " ") for index in range(count))
