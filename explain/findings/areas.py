"""Describe a segmentation: its classes, and evidence outside of a region."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sightglass.explain.phrases import describe_score, listing, percent
from sightglass.models.adapter import AreaTarget

if TYPE_CHECKING:
    from sightglass.explain.result import Result
    from sightglass.models.adapters.segmenter import Segmenter


def is_background(explanation: Result, index: int) -> bool:
    """Return whether a class of a segmentation is that of what is nothing else."""
    # The adapter's class would import torch, which a page's first screen has no time for.
    adapter = cast("Segmenter", explanation.evidence.resident.adapter)
    return explanation.model.segments and adapter.is_background(index)


def list_classes(explanation: Result, most: int) -> str:
    """List the classes that any pixel has but for the background, the largest first: `star, gear and 2 more`."""
    shown = [one.label for one in explanation.predictions if not is_background(explanation, one.index)]
    more = [] if len(shown) <= most else [f"{len(shown) - most + 1} more"]
    return listing([*shown[: most - len(more)], *more]) if shown else "nothing but background"


def describe_outside(explanation: Result, index: int = 0) -> str:
    """Say how much of a map's evidence lies outside of the pixels that it explains; empty where that says nothing."""
    target = explanation.heatmaps[index].target
    if not isinstance(target, AreaTarget) or target.span == "pixel":
        return ""
    share, area = explanation.outside(index), explanation.area(index)
    if share is None or area is None:
        return ""
    where = " in this area" if len(explanation.options.at) > 2 else ""
    what = "this region" if target.span == "region" else f"{target.label}{where}"
    return (
        f"{percent(share)} of what speaks for {what} lies outside it, while {percent(1 - float(area.mean()))} of the "
        "picture does."
    )


def describe_areas(explanation: Result) -> list[str]:
    """Say of each class how much of the picture it is, the largest first: `star: 12 % of the picture`."""
    return [
        f"{one.label}: {describe_score(one.score, explanation.model, one.label)}" for one in explanation.predictions
    ]
