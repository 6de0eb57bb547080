"""The names of classes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ModelProblem

if TYPE_CHECKING:
    from models.adapter import ModelSpec


@cache
def imagenet() -> tuple[str, ...]:
    """The 1000 ImageNet classes, one short name each; "crane" and "maillot" are there twice, as in ImageNet."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def own(spec: ModelSpec) -> tuple[str, ...]:
    """The operator's names (`weights.labels`: a list, or a text file with one name a line), or none."""
    given = spec.weights.get("labels", ())
    if not isinstance(given, str):
        return tuple(str(name) for name in given)
    try:
        lines = Path(given).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ModelProblem(f"The labels of {spec.id} cannot be read from {given}: is it a text file?") from problem
    return tuple(line.strip() for line in lines if line.strip())
