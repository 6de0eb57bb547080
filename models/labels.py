"""The names of classes."""

from __future__ import annotations

import importlib.util
import runpy
from functools import cache
from numbers import Integral
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from models.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.adapter import ModelSpec


@cache
def imagenet() -> tuple[str, ...]:
    """The 1000 ImageNet classes, one short name each; "crane" and "maillot" are there twice, as in ImageNet."""
    try:
        return _of_torchvision("_IMAGENET_CATEGORIES")
    except (StopIteration, OSError, KeyError):
        from torchvision.models import ResNet18_Weights

        return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


@cache
def coco() -> Mapping[int, str]:
    """COCO's 80 classes in order, by their numbers there: 1 to 90, of which ten were never used."""
    try:
        held = _of_torchvision("_COCO_CATEGORIES")
    except (StopIteration, OSError, KeyError):
        from torchvision.models.detection import FCOS_ResNet50_FPN_Weights

        held = tuple(FCOS_ResNet50_FPN_Weights.COCO_V1.meta["categories"])
    named = {number: name for number, name in enumerate(held) if name not in ("__background__", "N/A")}
    return MappingProxyType(named)


def _of_torchvision(name: str) -> tuple[str, ...]:
    """A list of names in torchvision's file of them, that file alone: the package brings in torch's whole compiler."""
    found = importlib.util.find_spec("torchvision")
    places = (found.submodule_search_locations if found else None) or ()
    held: list[str] = runpy.run_path(str(Path(next(iter(places))) / "models/_meta.py"))[name]
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


def class_index(target: int | str | tuple[int, int], labels: Sequence[str]) -> int:
    """A class by index or label as an index; raises ModelProblem, with a suggestion, for one that is not there."""
    if isinstance(target, Integral):
        if not 0 <= target < len(labels):
            raise ModelProblem(f"Class {target} does not exist: this model has classes 0 to {len(labels) - 1}.")
        return int(target)
    if not isinstance(target, str):
        raise ModelProblem(f"A class is given by its index or its label, not by {target!r}.")
    lowered = [label.lower() for label in labels]
    if target.lower() in lowered:
        return lowered.index(target.lower())
    import difflib

    near = difflib.get_close_matches(target.lower(), lowered, n=1)
    inside = [label for label in lowered if target.lower() in label]
    hint = f"did you mean {near[0] if near else inside[0]}?" if near or inside else "look it up in the list of labels."
    raise ModelProblem(f"This model has no class called {target}: {hint}")
