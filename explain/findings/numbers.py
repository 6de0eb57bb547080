"""Say what a segmentation, a joint or a place measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sightglass.explain.phrases import describe_score, listing, percent, quantity
from sightglass.models.adapter import AreaTarget, JointTarget

if TYPE_CHECKING:
    from sightglass.explain.result import Result
    from sightglass.models.adapter import Joint
    from sightglass.models.adapters.segmenter import PixelNumbers, Segmenter


def read_joint(explanation: Result, index: int) -> tuple[Joint, float | None] | None:
    """Return the joint that a map is of, and its number: pixels of the picture, or a share; None for other maps."""
    target = explanation.heatmaps[index].target
    if not isinstance(target, JointTarget):
        return None
    own = next(iter(explanation.own(index)), None)
    if own is None or not own.joints:
        return None
    joint = own.joints[target.joint]
    return joint, getattr(joint, target.axis)


def read_place(explanation: Result, index: int = 0) -> float | None:
    """Return the number of the place that a map is of, such as its depth, or its difference to another's.

    None for other maps, and for those of the whole picture.
    """
    target, adapter = explanation.heatmaps[index].target, explanation.evidence.resident.adapter
    if not adapter.measures_pixels or not explanation.options.at:
        return None
    return float(cast("PixelNumbers", adapter).number(explanation.evidence.outputs, target).detach())


def describe_number(explanation: Result, index: int = 0) -> str:
    """Return the number of a joint or of a place that a map is of, `312 px` or `87 %`; empty for other maps."""
    target = explanation.heatmaps[index].target
    if (place := read_place(explanation, index)) is not None:
        return quantity(place, explanation.model.unit_of(target.label))
    found = read_joint(explanation, index)
    if found is None or found[1] is None or not isinstance(target, JointTarget):
        return ""
    return percent(found[1]) if target.axis == "visibility" else quantity(found[1], "px")


def describe_place_number(explanation: Result, index: int = 0) -> str:
    """Say the number of the place that a map is of, as a sentence; empty for other maps."""
    if (number := read_place(explanation, index)) is None:
        return ""
    label = explanation.heatmaps[index].target.label
    if explanation.options.against is None:
        return f"At the place {label} is {describe_number(explanation, index)}."
    much = quantity(abs(number), explanation.model.unit_of(label))
    return f"At the place {label} is {much} {'less' if number < 0 else 'more'} than at the other."


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
    """Say how much of a map's evidence lies outside of the object, or of the pixels that it explains; empty where that
    says nothing."""
    target, known = explanation.heatmaps[index].target, explanation.object_mask
    if known is not None and (share := explanation.outside(index)) is not None:
        return (
            f"{percent(share)} of the evidence for {target.label} lies outside the object, while "
            f"{percent(1 - float(known.mean()))} of the picture does."
        )
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
