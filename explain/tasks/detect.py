"""The task of detection."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.explain.phrases import NBSP, article, finely, kinds, listing, percent, plural
from sightglass.explain.tasks.task import Answers, Change, Scorer, Task, check_score, find_class
from sightglass.models.adapter import CandidateReason, Prediction, Target
from sightglass.models.geometry import intersection_over_union, measure_pairs
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result
    from sightglass.explain.trust.stability import Changed
    from sightglass.models.adapters.detector import Detections, Detector
    from sightglass.models.spec import ModelSpec

SAME = 0.5
"""Minimum overlap (IoU) of two boxes of the same object."""
NAMED = 3
"""Classes, or kinds of boxes, that a sentence names."""
WORTH_SAYING = 5
"""Percentage points by which a box's score changes before a sentence names it."""
UNSHOWN = "the map is of its strongest candidate alone."
"""The end of the note on a class that has a map but no box."""


class Detect(Task):
    """Boxes, each with a class and a score."""

    id = "detect"
    title = "Detect"
    noun = "box"
    verb = "detect"
    has_boxes = True
    ranked = False
    gives = "draws boxes"
    more = "; a lower --score-thr shows more"
    drawn = "detect"
    masks = 800
    truth = "boxes"
    independent = ("which object, not which part of it", "shows which object, not which part of it or why")
    tools = frozenset({"against", "threshold"})
    blind: ClassVar[Mapping[str, Any]] = {"method": "drise"}
    unmapped = "No map: the {label} that the model was surest of is not found in the edited picture."

    def targets(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        adapter = evidence.resident.adapter
        self.check_place(options, adapter)
        if options.per == "picture":
            anchors = cast("Detector", adapter).strongest(evidence.outputs, options.ratio)
            return [Target(None, "the whole picture", anchors, options.part)]
        if options.per == "detection":
            return [
                Target(index, adapter.labels[index], (anchor,), options.part)
                for anchor, index in find_boxes(options, predictions, evidence)
            ]
        return self._of_classes(options, predictions, adapter)

    def unshown(self, options: Options, targets: Sequence[Target], evidence: Evidence) -> tuple[str, ...]:
        if options.per != "class":
            return ()
        best = evidence.outputs.scores[0]
        return tuple(
            f"No {target.label} is shown (at best {percent(float(best[target.index].max()))} sure): {UNSHOWN}"
            for target in targets
            if not target.anchors
        )

    def says(self, result: Result, index: int) -> tuple[str, bool | None]:
        if not result.predictions:
            return self.nothing(result), None
        found = kinds(Counter(p.label for p in result.predictions).most_common(), 2)
        return f"{result.model.name} found {found}.", True

    def answer_name(self, result: Result, most: int) -> str | None:
        return kinds(sorted(Counter(p.label for p in result.predictions).items()), most) if result.predictions else None

    def nothing(self, result: Result) -> str:
        """Describe the best candidate of a detector without shown boxes."""
        if result.predictions:
            return "No box matches the chosen classes."
        adapter, options = result.evidence.resident.adapter, result.options
        above = f"above {finely(options.confidence)}"
        if result.model.example and not options.classes:
            # Its candidates are noise on every photograph.
            return f"{result.model.name} knows drawn scenes only: no detections {above}."
        scores = result.evidence.outputs.scores[0].amax(1)  # (K,)
        if not scores.numel() or not float(scores.max()):
            return "No detections, not even a weak candidate: choose another model or picture."
        indices = [class_index(name, adapter.labels) for name in options.classes] or range(len(adapter.labels))
        best = max(indices, key=lambda index: float(scores[index]))
        highest = float(scores[best])
        candidate = f"the best candidate was {adapter.labels[best]} at {near(highest, options.confidence)}"
        if options.classes:
            absent = listing([f"no {adapter.labels[index]}" for index in indices][:NAMED])
            return f"{absent.capitalize()} {above}; {candidate}."
        # No slider goes lower, and candidates below are noise.
        return f"No detections {above}; {candidate}.{' Try a lower threshold.' if highest >= 0.01 else ''}"

    def scorer(self, evidence: Evidence, target: Target, options: Options) -> Scorer:
        check_score(target)
        return _BoxScorer(evidence.outputs, target, options.confidence)

    def find_again(
        self, before: Result, evidence: Evidence, changed: Changed | None, target: Target
    ) -> tuple[float, str, Target | None]:
        """Return the boxes' mean score, the first one's class, and their candidates."""
        import torch

        index, outputs, labels = check_score(target), evidence.outputs, evidence.resident.adapter.labels
        boxes = boxes_of(before.evidence.outputs, target)  # (m, 4)
        if changed is not None and changed.mirrored:
            left, _, right, _ = evidence.geometry.content
            boxes = torch.stack([left + right - boxes[:, 2], boxes[:, 1], left + right - boxes[:, 0], boxes[:, 3]], 1)
        elif changed is not None:
            down, right = changed.shift
            boxes = boxes + boxes.new_tensor([right, down, right, down])
        scores = outputs.scores[0].detach()
        best, indices = torch.where(match_boxes(boxes, outputs.boxes[0]), scores[index], 0.0).max(1)
        visible = best > before.options.confidence
        score = float(best.double().mean())
        if not bool(visible.any()):
            return score, "", None
        anchors = tuple(dict.fromkeys(indices[visible].tolist()))
        return score, labels[int(scores[:, anchors[0]].argmax())], replace(target, anchors=anchors)

    def score_after(self, before: Result, after: Result) -> float:
        if not (boxes := before.own()):
            return super().score_after(before, after)
        scores = []
        for box, change in zip(boxes, match(boxes, after.predictions), strict=False):
            candidate = after.missing(box.box, box.label) if change.after is None else None
            scores.append(candidate.candidate.score if candidate else change.after or 0.0)
        return sum(scores) / len(scores)

    def changes(self, before: Result, after: Result) -> tuple[Change, ...]:
        """Return each box's change, those of before first."""
        return match(before.predictions, after.predictions)

    def invite(self, before: Result) -> str:
        return "Paint over something: which boxes vanish?"

    def describe_changes(self, model: ModelSpec, changes: Sequence[Change]) -> str:
        vanished = [change.label for change in changes if change.after is None]
        new = [change.label for change in changes if change.before is None]
        stayed = len(changes) - len(vanished) - len(new)
        parts = []
        if vanished:
            parts.append(f"{kinds(Counter(vanished).most_common(), NAMED)} {_verb(vanished, 'vanish')}")
        if new:
            parts.append(f"{kinds(Counter(new).most_common(), NAMED)} {_verb(new, 'appear')}")
        if stayed:
            quantifier = "" if vanished or len(changes) - len(new) == 1 else "all "
            parts.append(f"{quantifier}{plural(stayed, 'box')} {'stays' if stayed == 1 else 'stay'}")
        if not vanished and not new:
            parts += _largest(changes)
        return "; ".join(parts) or "there is still no box"

    def recipe_of(self, index: int | None, anchor: int | None) -> dict[str, Any]:
        is_candidate = index is not None and anchor is not None and anchor >= 0
        return {"targets": ((anchor, index),) if is_candidate else (), "per": "detection"}


def _largest(changes: Sequence[Change]) -> list[str]:
    """Describe the largest change among the remaining boxes, if notable."""
    most = max(changes, key=lambda change: abs(change.points or 0), default=None)
    if most is None or abs(most.points or 0) < WORTH_SAYING:
        return []
    verb = "falls" if (most.points or 0) < 0 else "rises"
    beside = " most," if len(changes) > 1 else ""
    return [f"{most.label} {verb}{beside} from {percent(most.before or 0.0)} to {percent(most.after or 0.0)}"]


def _verb(labels: Sequence[str], verb: str) -> str:
    return f"{verb}{'es' if verb.endswith('sh') else 's'}" if len(labels) == 1 else verb


def find_boxes(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[tuple[int, int]]:
    """Return the options' candidates, as (anchor, class)."""
    labels, count = evidence.resident.adapter.labels, evidence.outputs.count
    visible = [(p.anchor, p.index) for p in predictions if p.anchor is not None]
    pairs: list[tuple[int, int]] = []
    for target in options.targets:
        if isinstance(target, tuple | list):
            anchor, index = target
            if not 0 <= anchor < count:
                raise ModelProblem(f"There is no candidate {anchor}: this input has {count}, counted from 0.")
            pairs.append((int(anchor), class_index(index, labels)))
        elif isinstance(target, Integral):
            number = int(target)
            if not 0 <= number < len(visible):
                raise ModelProblem(f"There is no box {number}: {len(visible)} are shown, counted from 0.")
            pairs.append(visible[number])
        else:
            index = class_index(target, labels)
            pairs += [pair for pair in visible if pair[1] == index]
    return list(dict.fromkeys(pairs)) if options.targets else visible[: options.top_k]


def match(before: Sequence[Prediction], after: Sequence[Prediction]) -> tuple[Change, ...]:
    """Return the changes of each box, those of before first."""
    partner = assign(before, after)
    listed = [
        Change(box.label, box.score, after[partner[i]].score if i in partner else None) for i, box in enumerate(before)
    ]
    new = [Change(box.label, None, box.score) for j, box in enumerate(after) if j not in partner.values()]
    return (*listed, *new)


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


def match_objects(result: Result, other: Result) -> dict[int, int]:
    """Match the boxes of two models on one picture, as `assign`."""
    classes = ((p, find_class(other, p.index, result)) for p in other.predictions)
    # A class that the first model lacks matches none of its boxes.
    return assign(result.predictions, [replace(p, index=-1 if index is None else index) for p, index in classes])


def boxes_of(outputs: Detections, target: Target) -> Tensor:
    """Return a target's boxes, (m, 4) xyxy, or its class's strongest box."""
    assert target.index is not None
    anchors = target.anchors or (int(outputs.scores[0, target.index].argmax()),)
    return outputs.boxes[0, list(anchors)].detach().float()


def match_boxes(boxes: Tensor, candidates: Tensor) -> Tensor:
    """Return the candidates (N, 4) matching boxes (m, 4), bool (m, N)."""
    import torch

    first, second = (part.detach().float().cpu().numpy() for part in (boxes, candidates))
    return torch.from_numpy(measure_pairs(first[:, None], second) >= SAME).to(candidates.device)


class _BoxScorer:
    """Score the chosen boxes by their best matching candidates."""

    def __init__(self, outputs: Detections, target: Target, confidence: float) -> None:
        assert target.index is not None
        self._index, self._confidence, self._contrast = target.index, confidence, target.part == "contrast"
        self._boxes = boxes_of(outputs, target)  # (m, 4)

    def __call__(self, outputs: Any) -> Answers:
        import torch

        rows = [self._one(*pair) for pair in zip(outputs.scores, outputs.boxes.detach().float(), strict=True)]
        score, value = (torch.stack(column).double().cpu() for column in zip(*rows, strict=True))
        return Answers(score, value, score > self._confidence)

    def _one(self, scores: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return one picture's score and value: scores (K, N), boxes (N, 4)."""
        import torch

        class_scores = scores[self._index]
        matching = torch.where(match_boxes(self._boxes, boxes), class_scores, 0.0)  # (m, N)
        if not matching.numel():
            zero = class_scores.new_zeros(())
            return zero, zero
        score, indices = matching.max(1)
        if not self._contrast:
            return score.mean(), score.mean()
        others = scores.clone()
        others[self._index : self._index + 1] = 0
        return score.mean(), torch.where(score > 0, score - others[:, indices].amax(0), 0.0).mean()


@dataclass(frozen=True, slots=True)
class Missing:
    """A raw candidate, and why it is shown or not."""

    candidate: Prediction
    reason: CandidateReason
    confidence: float
    """The threshold in use."""
    shown: tuple[Prediction, ...] = field(repr=False)
    """All boxes above the threshold, before the class filter; `reason.by` indexes these."""
    listed: tuple[Prediction, ...] = field(repr=False)
    """The boxes that pass the class filter."""

    @property
    def words(self) -> str:
        """Return a sentence on the candidate, its score, and its reason."""
        candidate, reason = self.candidate, self.reason
        start = f"{article(candidate.label).capitalize()} at {near(candidate.score, self.confidence)}"
        if reason.kind == "shown":
            if reason.by is not None and self.shown[reason.by] not in self.listed:
                return f"{start} is not shown: the class filter hides it."
            return f"{start} is already shown: it is {self._box(reason.by)}."
        if reason.kind == "below":
            threshold = finely(self.confidence)
            return f"{start} is the strongest candidate here: not shown because it is below {threshold}."
        if reason.kind == "class":
            assert reason.winner is not None
            where = f": {self._box(reason.by)}" if reason.by is not None else ""
            winner = f"{reason.winner.label} at {percent(reason.winner.score)}"
            return f"{start} is not shown because {winner} scores higher at the same place{where}."
        if reason.kind == "suppressed":
            return f"{start} is not shown: {self._box(reason.by)} covers it with {percent(reason.overlap)} overlap."
        return f"{start} is not shown: the maximum number of boxes is reached."

    def _box(self, index: int | None) -> str:
        if index is None:
            return "another box"
        box = self.shown[index]
        if box not in self.listed:
            return f"{article(box.label)} at {percent(box.score)} hidden by the class filter"
        return f"box {self.listed.index(box) + 1} ({box.label})"


def near(score: float, confidence: float) -> str:
    """Format a score so that one just below the threshold does not read like it."""
    alike = score < confidence and finely(score) == finely(confidence)
    return f"{math.floor(score * 1000) / 10:.1f}{NBSP}%" if alike and confidence >= 0.01 else finely(score)
