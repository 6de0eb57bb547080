"""Bodies: boxes with joints, each with numbers of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from sightglass.common.errors import ModelProblem, did_you_mean
from sightglass.explain.phrases import capital, percent, quantity
from sightglass.explain.rendering.mark import Mark
from sightglass.explain.tasks.detect import BoxDecoder, BoxWording, find_boxes
from sightglass.models.adapter import Axis, Joint, JointTarget, Prediction, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result

HIDDEN_JOINT = 0.5
"""Visibility below which a joint is drawn hollow, and no line to it."""


class PoseDecoder(BoxDecoder):
    """Boxes of bodies; targets are boxes or joints' numbers."""

    def targets(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        if options.joint is None or options.per == "picture":
            return super().targets(options, predictions, evidence)
        self.check_area(options, adapter := evidence.resident.adapter)
        joint, axis = parse_joint(options.joint, adapter.joints)
        label = f"{adapter.joints[joint]} {axis}"
        return [
            JointTarget(index, label, (anchor,), options.part, joint=joint, axis=axis)
            for anchor, index in find_boxes(options, predictions, evidence)
        ]


class PoseWording(BoxWording):
    """What is said of bodies and their joints."""

    def marks(self, result: Result, prediction: Prediction) -> tuple[Mark, ...]:
        """Return box, joints and their lines; hollow joints are probably hidden."""
        joints = prediction.joints
        if not joints:
            return super().marks(result, prediction)
        adapter, joint = result.evidence.resident.adapter, result.options.joint
        chosen = None if joint is None else parse_joint(joint, adapter.joints)[0]
        hidden = [joint.visibility is not None and joint.visibility < HIDDEN_JOINT for joint in joints]
        places = [(joint.x, joint.y) for joint in joints]
        return (
            *(
                Mark("polyline", (places[start], places[end]))
                for start, end in adapter.limbs
                if not (hidden[start] or hidden[end])
            ),
            *(
                Mark("point", (place,), hollow=hidden[number], chosen=number == chosen)
                for number, place in enumerate(places)
            ),
            *super().marks(result, prediction),
        )

    def map_columns(self, result: Result, index: int) -> dict[str, Any]:
        joint = read_joint(result, index)
        return {} if joint is None else {"joint": joint[0].name, "number": joint[1]}

    def headline(self, result: Result, index: int) -> tuple[str, bool | None]:
        words, named = super().headline(result, index)
        if named and result.heatmaps and (number := self.number(result, index)):
            label = result.heatmaps[index].target.label
            words += f" {capital(label)} is {number}."
        return words, named

    def number(self, result: Result, index: int) -> str:
        joint = read_joint(result, index)
        if joint is None or joint[1] is None:
            return ""
        visible = isinstance(target := result.heatmaps[index].target, JointTarget) and target.axis == "visibility"
        return percent(joint[1]) if visible else quantity(joint[1], "px")


def read_joint(result: Result, index: int) -> tuple[Joint, float | None] | None:
    """Return a map's joint and its number; None for other maps."""
    target = result.heatmaps[index].target
    if not isinstance(target, JointTarget):
        return None
    box = next(iter(result.own(index)), None)
    if box is None or not box.joints:
        return None
    joint = box.joints[target.joint]
    return joint, getattr(joint, target.axis)


def parse_joint(text: str, names: Sequence[str]) -> tuple[int, Axis]:
    """Parse `left wrist x` or `9 x`; raise ModelProblem for others.

    >>> parse_joint("nose visibility", ["nose", "left eye"])
    (0, 'visibility')
    """
    name, _, last = text.strip().rpartition(" ")
    axis = next((axis for axis in get_args(Axis) if axis == last.casefold()), None)
    if axis is None:
        raise ModelProblem(f"joint is {text!r}: name a joint and x, y or visibility, such as {names[0]} x.")
    places = {label.casefold(): place for place, label in enumerate(names)}
    place = places.get(name.strip().casefold().replace("_", " "))
    if place is None and name.strip().isdecimal() and int(name) < len(names):
        place = int(name)
    if place is None:
        raise ModelProblem(f"There is no joint {name!r}: {did_you_mean(name, names, f'try {names[0]}.')}")
    return place, axis
