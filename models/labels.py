"""The names of classes."""

from __future__ import annotations

import importlib.util
import runpy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ModelProblem

if TYPE_CHECKING:
    from models.adapter import ModelSpec


@cache
def imagenet() -> tuple[str, ...]:
    """The 1000 ImageNet classes, one short name each; "crane" and "maillot" are there twice, as in ImageNet."""
    found = importlib.util.find_spec("torchvision")
    places = (found.submodule_search_locations if found else None) or ()
    try:
        # The file alone: importing torchvision brings in the whole of torch's compiler.
        held: list[str] = runpy.run_path(str(Path(next(iter(places))) / "models/_meta.py"))["_IMAGENET_CATEGORIES"]
    except (StopIteration, OSError, KeyError):
        from torchvision.models import ResNet18_Weights

        held = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    return tuple(held)


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
