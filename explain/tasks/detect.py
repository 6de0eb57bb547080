"""Boxes, each with a class and a score, and those of bodies with joints."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from sightglass.common.errors import ModelProblem, did_you_mean
from sightglass.explain.phrases import NBSP, article, capital, fine_percent, kinds, listing, percent, plural, quantity
from sightglass.explain.tasks.parts import Answers, Change, Decoder, Found, Movement, ScoreOutputs, Scorer, scored_class
from sightglass.explain.tasks.wording import NAMED, Mark, Wording
from sightglass.models.adapter import Adapter, Axis, CandidateReason, Joint, JointTarget, Prediction, Target
from sightglass.models.geometry import intersection_over_union, measure_pairs
from sightglass.models.labels import class_index, find_same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result
    from sightglass.models.adapters.detector import Detections, Detector
    from sightglass.models.spec import ModelSpec

SAME = 0.5
"""Minimum overlap (IoU) of two boxes of the same object."""
WORTH_SAYING = 5
"""Percentage points by which a box's score changes before a sentence names it."""
EVERY_BOX = -1
"""In place of a candidate's number: each box that is shown of its class."""
HIDDEN_JOINT = 0.5
"""Visibility below which a joint is drawn hollow, and no line to it."""


class BoxDecoder(Decoder):
    """Boxes, each with a class."""

    def targets(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        adapter = evidence.loaded.adapter
        if options.per == "picture":
            anchors = cast("Detector", adapter).strongest(evidence.outputs, options.ratio)
            return [Target(None, "the whole picture", anchors, options.part)]
        if options.per == "detection":
            return [
                Target(index, adapter.labels[index], (anchor,), options.part)
                for anchor, index in find_boxes(options, predictions, evidence)
            ]
        return self.class_targets(options, predictions, adapter)

    def unshown(self, options: Options, targets: Sequence[Target], evidence: Evidence) -> tuple[str, ...]:
        if options.per != "class":
            return ()
        best = evidence.outputs.scores[0]
        return tuple(
            f"No {target.label} is shown (at best {percent(float(best[target.index].max()))} sure): the map is of its "
            "strongest candidate alone."
            for target in targets
            if not target.anchors
        )

    def encode_unmapped(self, options: Options, adapter: Adapter) -> tuple[int | tuple[int, int], ...]:
        if options.per != "detection":
            return ()
        # Without the class that has no box, a recipe would be of all boxes.
        pairs = [(EVERY_BOX, name) if isinstance(name, str) else name for name in options.targets]
        pairs = [pair for pair in pairs if isinstance(pair, (tuple, list))]
        return tuple((anchor, class_index(name, adapter.labels)) for anchor, name in pairs)

    def options_of(self, index: int | None = None, anchor: int | None = None) -> dict[str, Any]:
        is_candidate = index is not None and anchor is not None and anchor >= 0
        return {"per": "detection"} | ({"targets": ((anchor, index),)} if is_candidate else {})


class BoxScorer(Scorer):
    """The score of boxes, found again by their overlap."""

    def follow(self, evidence: Evidence, target: Target, options: Options) -> ScoreOutputs:
        import torch

        if isinstance(target, JointTarget):
            raise ModelProblem(f"The map is of a number, {target.label}: this test needs a score that can fall.")
        index, followed = scored_class(target), boxes_of(evidence.outputs, target)

        def of_picture(scores: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
            """Return one picture's score and value, of the best candidates that match: scores (K, N), boxes (N, 4)."""
            matching = torch.where(match_boxes(followed, boxes), scores[index], 0.0)  # (m, N)
            if not matching.numel():
                zero = scores.new_zeros(())
                return zero, zero
            score, indices = matching.max(1)
            if target.part != "contrast":
                return score.mean(), score.mean()
            others = scores.clone()
            others[index : index + 1] = 0
            return score.mean(), torch.where(score > 0, score - others[:, indices].amax(0), 0.0).mean()

        def of_boxes(outputs: Any) -> Answers:
            rows = [of_picture(*pair) for pair in zip(outputs.scores, outputs.boxes.detach().float(), strict=True)]
            score, value = (torch.stack(column).double().cpu() for column in zip(*rows, strict=True))
            return Answers(score, value, score > options.confidence)

        return of_boxes

    def ranks(self, result: Result) -> tuple[int | None, ...]:
        order = [(p.index, p.anchor) for p in result.predictions]
        targets = [heatmap.target for heatmap in result.heatmaps]
        return tuple(
            next((i for i, (index, anchor) in enumerate(order, 1) if index == t.index and anchor in t.anchors), None)
            for t in targets
        )

    def find_again(self, before: Result, evidence: Evidence, movement: Movement, target: Target) -> Found:
        """Return the boxes' mean score, the first one's class, and their candidates."""
        import torch

        index, outputs, labels = scored_class(target), evidence.outputs, evidence.loaded.adapter.labels
        boxes = boxes_of(before.evidence.outputs, target)  # (m, 4)
        if movement.mirrored:
            left, _, right, _ = evidence.geometry.content
            boxes = torch.stack([left + right - boxes[:, 2], boxes[:, 1], left + right - boxes[:, 0], boxes[:, 3]], 1)
        boxes = boxes + boxes.new_tensor([*reversed(movement.shift)] * 2)
        scores = outputs.scores[0].detach()
        best, indices = torch.where(match_boxes(boxes, outputs.boxes[0]), scores[index], 0.0).max(1)
        detected = best > before.options.confidence
        score = float(best.double().mean())
        if not bool(detected.any()):
            return score, "", None
        anchors = tuple(dict.fromkeys(indices[detected].tolist()))
        return score, labels[int(scores[:, anchors[0]].argmax())], replace(target, anchors=anchors)

    def changes(self, before: Result, after: Result) -> tuple[Change, ...]:
        return match(before.predictions, after.predictions)


class BoxWording(Wording):
    """What is said of boxes."""

    def headline(self, result: Result, index: int) -> tuple[str, bool | None]:
        if not result.predictions:
            return self.nothing(result), None
        return f"{result.model.name} found {self.describe_answer(result, index)}", True

    def describe_answer(self, result: Result, index: int) -> str:
        return f"{kinds(Counter(p.label for p in result.predictions).most_common(), 2)}."

    def answer_name(self, result: Result, most: int) -> str | None:
        return kinds(sorted(Counter(p.label for p in result.predictions).items()), most) if result.predictions else None

    def nothing(self, result: Result) -> str:
        """Describe the best candidate of a detector without shown boxes."""
        if result.predictions:
            return "No box matches the chosen classes."
        adapter, options = result.evidence.loaded.adapter, result.options
        above = f"above {fine_percent(options.confidence)}"
        if result.model.example and not options.classes:
            # Its candidates are noise on every photograph.
            return f"{result.model.name} knows drawn scenes only: no detections {above}."
        scores = result.evidence.outputs.scores[0].amax(1)  # (K,)
        if not scores.numel() or not float(scores.max()):
            return "No detections, not even a weak candidate: choose another model or picture."
        indices = [class_index(name, adapter.labels) for name in options.classes] or range(len(adapter.labels))
        best = max(indices, key=lambda index: float(scores[index]))
        highest = float(scores[best])
        if highest > options.confidence and (hidden := result.missing(None, best)) is not None:
            return hidden.words
        candidate = f"the best candidate was {adapter.labels[best]} at {near(highest, options.confidence)}"
        if options.classes:
            absent = listing([f"no {adapter.labels[index]}" for index in indices][:NAMED])
            return f"{capital(absent)} {above}; {candidate}."
        # No slider goes lower, and candidates below are noise.
        return f"No detections {above}; {candidate}.{' Try a lower threshold.' if highest >= 0.01 else ''}"

    def invite(self, before: Result) -> str:
        return "Paint over something: which boxes vanish?"

    def describe_changes(self, model: ModelSpec, changes: Sequence[Change]) -> str:
        vanished = [change.label for change in changes if change.after is None]
        new = [change.label for change in changes if change.before is None]
        stayed = len(changes) - len(vanished) - len(new)
        parts = []
        for labels, verb, ending in ((vanished, "vanish", "es"), (new, "appear", "s")):
            if labels:
                named = kinds(Counter(labels).most_common(), NAMED)
                parts.append(f"{named} {verb}{ending if len(labels) == 1 else ''}")
        if stayed:
            quantifier = "" if vanished or len(changes) - len(new) == 1 else "all "
            parts.append(f"{quantifier}{plural(stayed, 'box')} {'stays' if stayed == 1 else 'stay'}")
        if not vanished and not new:
            parts += _largest(changes)
        return "; ".join(parts) or "there is still no box"


def _largest(changes: Sequence[Change]) -> list[str]:
    """Describe the largest change among the remaining boxes, if notable."""
    most = max(changes, key=lambda change: abs(change.points or 0), default=None)
    if most is None or abs(most.points or 0) < WORTH_SAYING:
        return []
    verb = "falls" if (most.points or 0) < 0 else "rises"
    beside = " most," if len(changes) > 1 else ""
    return [f"{most.label} {verb}{beside} from {percent(most.before or 0.0)} to {percent(most.after or 0.0)}"]


def find_boxes(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[tuple[int, int]]:
    """Return the options' candidates, as (anchor, class)."""
    labels, count = evidence.loaded.adapter.labels, evidence.outputs.count
    boxes = [(p.anchor, p.index) for p in predictions if p.anchor is not None]
    pairs: list[tuple[int, int]] = []
    for target in options.targets:
        if isinstance(target, tuple | list):
            anchor, name = target
            pairs += _find_pair(anchor, name, boxes, labels, count)
        elif isinstance(target, Integral):
            number = int(target)
            if not 0 <= number < len(boxes):
                raise ModelProblem(f"There is no box {number}: {len(boxes)} are shown, counted from 0.")
            pairs.append(boxes[number])
        else:
            pairs += _find_pair(EVERY_BOX, target, boxes, labels, count)
    return list(dict.fromkeys(pairs)) if options.targets else boxes[: options.top_k]


def _find_pair(
    anchor: int, name: int | str, boxes: Sequence[tuple[int, int]], labels: Sequence[str], count: int
) -> list[tuple[int, int]]:
    """Return a candidate of a class, or with `EVERY_BOX` all boxes of the class."""
    index = class_index(name, labels)
    if anchor == EVERY_BOX:
        return [pair for pair in boxes if pair[1] == index]
    if not 0 <= anchor < count:
        raise ModelProblem(f"There is no candidate {anchor}: this input has {count}, counted from 0.")
    return [(int(anchor), index)]


def match(before: Sequence[Prediction], after: Sequence[Prediction]) -> tuple[Change, ...]:
    """Return the changes of each box, those of before first."""
    partner = assign(before, after)
    listed = [
        Change(box.label, box.score, after[partner[i]].score if i in partner else None) for i, box in enumerate(before)
    ]
    return (*listed, *[Change(box.label, None, box.score) for j, box in enumerate(after) if j not in partner.values()])


def assign(boxes: Sequence[Prediction], others: Sequence[Prediction]) -> dict[int, int]:
    """Match boxes of one class one to one, by the largest total overlap; return places."""
    from scipy.optimize import linear_sum_assignment

    pairs = [[measure_overlap(a, b) if a.index == b.index else 0.0 for b in others] for a in boxes]
    overlaps = np.array(pairs).reshape(len(boxes), len(others))
    overlaps[overlaps < SAME] = 0
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if overlaps[i, j]}


def measure_overlap(a: Prediction, b: Prediction) -> float:
    """Return the overlap (IoU) of two boxes, upright or turned, 0..1."""
    upright = intersection_over_union(a.box, b.box) if a.box and b.box else 0.0
    if not upright or not (a.corners or b.corners):
        return upright
    import cv2

    first, second = (np.array(prediction.outline, np.float32) for prediction in (a, b))
    both = cv2.intersectConvexConvex(first, second)[0]
    return both / (cv2.contourArea(first) + cv2.contourArea(second) - both)


def boxes_of(outputs: Detections, target: Target) -> Tensor:
    """Return a target's boxes, (m, 4) xyxy, or its class's strongest box."""
    assert target.index is not None
    return outputs.boxes[0, list(target.anchors or (int(outputs.scores[0, target.index].argmax()),))].detach().float()


def match_boxes(boxes: Tensor, candidates: Tensor) -> Tensor:
    """Return the candidates (N, 4) matching boxes (m, 4), bool (m, N)."""
    import torch

    first, second = (part.detach().float().cpu().numpy() for part in (boxes, candidates))
    return torch.from_numpy(measure_pairs(first[:, None], second) >= SAME).to(candidates.device)


@dataclass(frozen=True, slots=True)
class Missing:
    """A raw candidate that was asked for, and why it is missing among the boxes, or which box it is."""

    candidate: Prediction
    reason: CandidateReason
    confidence: float
    """The threshold in use."""
    unfiltered: tuple[Prediction, ...] = field(repr=False)
    """All boxes above the threshold, before the class filter; `reason.by` indexes these."""
    shown: tuple[Prediction, ...] = field(repr=False)
    """The boxes that pass the class filter."""

    @property
    def words(self) -> str:
        """Return a sentence on the candidate, its score, and its reason."""
        candidate, reason = self.candidate, self.reason
        start = f"{capital(article(candidate.label))} at {near(candidate.score, self.confidence)}"
        by = "" if reason.by is None else self._box(reason.by)
        if reason.kind == "shown":
            if reason.by is not None and self.unfiltered[reason.by] not in self.shown:
                return f"{start} is not shown: the class filter hides it."
            return f"{start} is already shown: it is {by}."
        if reason.kind == "below":
            threshold = fine_percent(self.confidence)
            return f"{start} is the strongest candidate here: not shown because it is below {threshold}."
        if reason.kind == "class":
            assert reason.winner is not None
            winner, where = f"{reason.winner.label} at {percent(reason.winner.score)}", f": {by}" if by else ""
            return f"{start} is not shown because {winner} scores higher at the same place{where}."
        if reason.kind == "suppressed":
            return f"{start} is not shown: {by} covers it with {percent(reason.overlap)} overlap."
        return f"{start} is not shown: the maximum number of boxes is reached."

    def _box(self, index: int) -> str:
        box = self.unfiltered[index]
        if box not in self.shown:
            return f"{article(box.label)} at {percent(box.score)} hidden by the class filter"
        return f"box {self.shown.index(box) + 1} ({box.label})"


def describe_boxes(explanation: Result) -> str:
    """Return `1 bus and 4 people.`, or the strongest candidate."""
    if not explanation.predictions:
        return explanation.task.wording.nothing(explanation)
    # A counter keeps insertion order: the surest kind first, as in the list of boxes.
    return f"{kinds(Counter(p.label for p in explanation.predictions).items(), NAMED)}."


def find_missed(explanation: Result, names: Sequence[int | str]) -> list[Missing]:
    """Return the strongest candidate of each named class without a box."""
    labels = explanation.evidence.loaded.adapter.labels
    detected = {p.index for p in explanation.predictions}
    indices = dict.fromkeys(class_index(name, labels) for name in names)
    candidates = (explanation.missing(None, index) for index in indices if index not in detected)
    return [candidate for candidate in candidates if candidate is not None]


def row_title(number: int | str, label: str) -> str:
    """Return what a box's row is called in a list; without a label its number."""
    return f"{number}  {label}".strip()


def box_sentence(explanation: Result, index: int, name: str) -> str | None:
    """Describe one map's evidence by boxes; None without any."""
    numbers = explanation.box_numbers(index)
    if numbers is None:
        return None
    several = len(explanation.own(index)) != 1
    phrase = "the boxes" if explanation.options.per == "picture" else f"its own box{'es' if several else ''}"
    return f"Evidence for **{name}**: {listing(numbers.describe(phrase))}."


def near(score: float, confidence: float) -> str:
    """Format a score so that one just below the threshold does not read like it."""
    alike = score < confidence and fine_percent(score) == fine_percent(confidence)
    return f"{math.floor(score * 1000) / 10:.1f}{NBSP}%" if alike and confidence >= 0.01 else fine_percent(score)


# Bodies: boxes with joints, each with numbers of its own


class PoseDecoder(BoxDecoder):
    """Boxes of bodies; targets are boxes or joints' numbers."""

    def targets(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        if options.joint is None or options.per == "picture":
            return super().targets(options, predictions, evidence)
        adapter = evidence.loaded.adapter
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
        adapter, asked = result.evidence.loaded.adapter, result.options.joint
        chosen = None if asked is None else parse_joint(asked, adapter.joints)[0]
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
        joint, number = read_joint(result, index)
        return {} if joint is None else {"joint": joint.name, "number": number}

    def describe_answer(self, result: Result, index: int) -> str:
        text = super().describe_answer(result, index)
        if result.heatmaps and (number := self.number(result, index)):
            text += f" {capital(result.heatmaps[index].target.label)} is {number}."
        return text

    def number(self, result: Result, index: int) -> str:
        _, number = read_joint(result, index)
        if number is None:
            return ""
        target = result.heatmaps[index].target
        is_share = isinstance(target, JointTarget) and target.axis == "visibility"
        return percent(number) if is_share else quantity(number, "px")


def read_joint(result: Result, index: int) -> tuple[Joint | None, float | None]:
    """Return a map's joint and the number that it explains, in pixels or as a share; None and None for other maps."""
    target = result.heatmaps[index].target
    if not isinstance(target, JointTarget):
        return None, None
    box = next(iter(result.own(index)), None)
    if box is None or not box.joints:
        return None, None
    joint = box.joints[target.joint]
    return joint, getattr(joint, target.axis)


def parse_joint(text: str, names: Sequence[str]) -> tuple[int, Axis]:
    """Parse `left wrist x` or `9 x` to the joint's index and an axis; raise ModelProblem for others."""
    name, _, last = text.strip().rpartition(" ")
    axis = next((axis for axis in get_args(Axis) if axis == last.casefold()), None)
    if axis is None:
        raise ModelProblem(f"joint is {text!r}: name a joint and x, y or visibility, such as {names[0]} x.")
    same = find_same(name, tuple(names))
    place = same[0] if len(same) == 1 else None
    if place is None and name.strip().isdecimal() and int(name) < len(names):
        place = int(name)
    if place is None:
        raise ModelProblem(f"There is no joint {name!r}: {did_you_mean(name, names, f'try {names[0]}.')}")
    return place, axis
