"""Read and say the number of a joint or a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sightglass.explain.phrases import percent, quantity
from sightglass.models.adapter import JointTarget

if TYPE_CHECKING:
    from sightglass.explain.result import Result
    from sightglass.models.adapter import Joint
    from sightglass.models.adapters.pixel_numbers import PixelNumbers


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
