"""Short names of several models on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.models.spec import ModelSpec

SIZES = {"n": "nano", "t": "tiny", "s": "small", "m": "medium", "l": "large", "x": "extra large"}


def names(models: Sequence[ModelSpec]) -> tuple[str, ...]:
    """Return a name for each model, as it stands in the middle of a sentence: `small`, or `YOLO11n`."""
    family = {model.family for model in models}
    if len(models) > 1 and len(family) == 1 and all(model.size in SIZES for model in models):
        return tuple(SIZES[model.size] for model in models)
    return tuple(model.name for model in models)


def add_title(text: str) -> str:
    """Return a name, or a sentence that may begin with one, as it begins: `Small`; other names stay as they are."""
    return text[:1].upper() + text[1:] if text.startswith(tuple(SIZES.values())) else text
