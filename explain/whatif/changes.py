"""Describe what an edit, or a disc that hides a place, changes in the answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.phrases import describe_score, kinds, listing, percent, plural
from sightglass.explain.proof.filling import blur
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from sightglass.explain.explanation import Explanation
    from sightglass.explain.whatif.edits import Edit
    from sightglass.models.adapter import Prediction
    from sightglass.models.spec import ModelSpec


LISTED = 3
"""Classes of either picture that are compared."""
SAME = 0.5
"""Least overlap (IoU) at which two boxes of a class are the same object."""
WORTH_SAYING = 5
"""Percentage points by which a box's score changes before the sentence names it."""
KINDS = 3
"""Kinds of boxes that a sentence names."""


@dataclass(frozen=True, slots=True)
class Change:
    """A class's score, or a box's, before and after an edit, 0..1; None where the box is not there."""

    label: str
    before: float | None
    after: float | None

    @property
    def points(self) -> int | None:
        """The change in whole percentage points, between the scores as they are shown; None where one is not there."""
        if self.before is None or self.after is None:
            return None
        return round(self.after * 100) - round(self.before * 100)


@own_modes()
def changes(before: Explanation, after: Explanation) -> tuple[Change, ...]:
    """Return what an edit changed: of the best classes of both pictures, or of all boxes, those of before first.

    A model that compares pictures has neither: its one change is the cosine to the unedited picture, from 1.
    """
    task = before.model.task
    if task == "embed":
        return (Change("Similarity to the original", 1.0, cosine(before, after)),)
    if task == "detect":
        return match(before.predictions, after.predictions)
    found = union(all_classes(before), all_classes(after))
    if task != "regress":
        return found
    # Numbers have no best: they stand in the order of the model's outputs.
    order = list(before.evidence.resident.adapter.labels)
    return tuple(sorted(found, key=lambda change: order.index(change.label)))


def cosine(before: Explanation, after: Explanation) -> float:
    """Return the cosine of two explanations' embeddings, -1..1."""
    one, other = (
        one.evidence.resident.adapter.embedding(one.evidence.outputs)[:1].detach().double() for one in (before, after)
    )
    return float(F.cosine_similarity(one, other)[0])


def union(before: Sequence[Prediction], after: Sequence[Prediction], listed: int = LISTED) -> tuple[Change, ...]:
    """Return the scores of the `listed` best classes of either picture, by their score before; from all classes."""
    # By number: two classes of ImageNet are called crane.
    old, new = ({p.index: p.score for p in one} for one in (before, after))
    best = {p.index: p.label for one in (before, after) for p in sorted(one, key=lambda p: -p.score)[:listed]}
    found = [Change(label, old.get(index, 0.0), new.get(index, 0.0)) for index, label in best.items()]
    return tuple(sorted(found, key=lambda change: (-(change.before or 0.0), -(change.after or 0.0), change.label)))


def match(before: Sequence[Prediction], after: Sequence[Prediction]) -> tuple[Change, ...]:
    """Return the boxes of two pictures, each with its match: of its class, by the largest IoU, `SAME` at least."""
    pairs = sorted(
        (
            (intersection_over_union(one.box, other.box), -i, -j)
            for i, one in enumerate(before)
            for j, other in enumerate(after)
            if one.label == other.label and one.box is not None and other.box is not None
        ),
        reverse=True,
    )
    partner: dict[int, int] = {}
    for overlap, i, j in pairs:
        if overlap >= SAME and -i not in partner and -j not in partner.values():
            partner[-i] = -j
    listed = [
        Change(box.label, box.score, after[partner[i]].score if i in partner else None) for i, box in enumerate(before)
    ]
    new = [Change(box.label, None, box.score) for j, box in enumerate(after) if j not in partner.values()]
    return (*listed, *new)


def sentence(before: Explanation, found: Sequence[Change], edit: Edit) -> str:
    """Say what an edit changed, in numbers that were measured."""
    task = before.model.task
    if not (edit.paints or edit.moves):
        best = before.predictions[0] if before.predictions else None
        if before.model.task == "detect":
            return "Paint over something: which boxes vanish?"
        if best is None:
            return "Paint over something: how similar does the picture stay to the original?"
        said = f"{best.label[:1].upper()}{best.label[1:]}, {describe_score(best.score, before.model, best.label)}"
        return f"{said}. Paint over something to see what changes."
    condition = _condition(edit)
    if task == "embed":
        return f"{condition}, the picture is {percent(found[0].after or 0.0)} similar to the original."
    if task == "detect":
        return f"{condition}, {_boxes(found)}."
    if task == "regress":
        return f"{condition}, {_numbers(before.model, found)}."
    if task == "segment":
        return f"{condition}, {_areas(found)}."
    return f"{condition}, {_classes(found)}."


def _areas(found: Sequence[Change]) -> str:
    """Say which class of a segmentation takes more or less of the picture than before, of those that changed most."""
    most = max(found, key=lambda change: abs((change.after or 0.0) - (change.before or 0.0)))
    old, new = percent(most.before or 0.0), percent(most.after or 0.0)
    if old == new:
        return f"{most.label} stays at {old} of the picture"
    return f"{most.label} goes from {old} of the picture to {new}"


def _condition(edit: Edit) -> str:
    if edit.paints and edit.moves:
        return "With your changes"
    if edit.moves:
        return "With only the patch that you moved" if edit.keep else "With the patch that you moved"
    return "With only what you kept" if edit.keep else "Without what you painted over"


def _numbers(model: ModelSpec, found: Sequence[Change]) -> str:
    """Return what became of each number of a regression."""
    said = [
        f"{one.label} goes from {describe_score(one.before or 0.0, model, one.label)} to "
        f"{describe_score(one.after or 0.0, model, one.label)}"
        for one in found
    ]
    return listing(said)


def _classes(found: Sequence[Change]) -> str:
    first = max(found, key=lambda change: change.before or 0.0)
    best = max(found, key=lambda change: change.after or 0.0)
    old, new = percent(first.before or 0.0), percent(first.after or 0.0)
    if old == new:
        moved = f"{first.label} stays at {old}"
    else:
        moved = f"{first.label} {'falls' if (first.points or 0) <= 0 else 'rises'} from {old} to {new}"
    if best.label != first.label:
        return f"{moved}; now it says {best.label}, {percent(best.after or 0.0)}"
    return f"{moved} and is still the answer" if old != new else moved


def _boxes(found: Sequence[Change]) -> str:
    gone = [change.label for change in found if change.after is None]
    new = [change.label for change in found if change.before is None]
    stayed = len(found) - len(gone) - len(new)
    parts = []
    if gone:
        parts.append(f"{kinds(Counter(gone).most_common(), KINDS)} {_verb(gone, 'vanish')}")
    if new:
        parts.append(f"{kinds(Counter(new).most_common(), KINDS)} {_verb(new, 'appear')}")
    if stayed:
        every = "" if gone or len(found) - len(new) == 1 else "all "
        parts.append(f"{every}{plural(stayed, 'box')} {'stays' if stayed == 1 else 'stay'}")
    if not gone and not new:
        parts += _largest(found)
    return "; ".join(parts) or "there is still no box"


def _largest(found: Sequence[Change]) -> list[str]:
    """Say which of the boxes that stayed has changed most, if that is worth saying."""
    most = max(found, key=lambda one: abs(one.points or 0), default=None)
    if most is None or abs(most.points or 0) < WORTH_SAYING:
        return []
    verb = "falls" if (most.points or 0) < 0 else "rises"
    beside = " most," if len(found) > 1 else ""
    return [f"{most.label} {verb}{beside} from {percent(most.before or 0.0)} to {percent(most.after or 0.0)}"]


def _verb(labels: Sequence[str], verb: str) -> str:
    return f"{verb}{'es' if verb.endswith('sh') else 's'}" if len(labels) == 1 else verb


def all_classes(explanation: Explanation) -> list[Prediction]:
    """Return the scores of all classes; the explanation keeps its own few."""
    adapter, evidence, options = explanation.evidence.resident.adapter, explanation.evidence, explanation.options
    count = max(1, len(adapter.labels))
    return adapter.decode(
        evidence.outputs, evidence.geometry, top_k=count, confidence=options.confidence, iou=options.iou
    )


@dataclass(frozen=True, slots=True)
class Disc:
    """A round part of a picture, in original pixels."""

    x: float
    y: float
    radius: float


class DiscHider:
    """Answers a picture again while a blurred disc hides a part of it; nothing is kept but the blurred picture.

    It works on the model's input, as a proof does, so that a step costs one pass whatever the size of the picture.

    >>> from sightglass import Explainer
    >>> hider = DiscHider(Explainer()("bus.jpg"))
    >>> hider.changes(Disc(400, 450, 160))[0].label
    'minibus'
    """

    def __init__(self, explanation: Explanation) -> None:
        self._explanation = explanation

    @cached_property
    def _blurred(self) -> Tensor:
        """The model's input (1, C, h, w), its picture blurred."""
        evidence = self._explanation.evidence
        left, top, right, bottom = evidence.geometry.content
        out = evidence.tensor.clone()
        out[..., top:bottom, left:right] = blur(out[..., top:bottom, left:right])
        return out

    def covered(self, disc: Disc) -> Tensor:
        """Return which pixels of the model's input have their centre in the disc, bool (h, w), on its device."""
        geometry, device = self._explanation.evidence.geometry, self._explanation.evidence.tensor.device
        (height, width), (sy, sx), (oy, ox) = geometry.input, geometry.scale, geometry.offset
        down = (torch.arange(height, device=device) + 0.5 - oy) / sy - disc.y
        across = (torch.arange(width, device=device) + 0.5 - ox) / sx - disc.x
        return down[:, None] ** 2 + across**2 <= disc.radius**2

    @own_modes()
    def changes(self, disc: Disc) -> tuple[Change, ...]:
        """Return what hiding a disc changes: every class that was answered or has a map, or every box.

        Boxes are those of before, best first; one that is not found any more has no score after.
        """
        explanation = self._explanation
        evidence = explanation.evidence
        resident = evidence.resident
        adapter, lock = resident.aside()
        hidden = torch.where(self.covered(disc), self._blurred, evidence.tensor)
        with torch.no_grad(), lock:
            outputs = adapter.run(resident.move_input(hidden))
        if adapter.detects:
            options = explanation.options
            after = resident.adapter.decode(
                outputs, evidence.geometry, top_k=options.top_k, confidence=options.confidence, iou=options.iou
            )
            return match(explanation.predictions, after)[: len(explanation.predictions)]
        with torch.no_grad():
            scores = resident.adapter.class_scores(outputs)[0].tolist()
        return tuple(Change(label, self._before[index], scores[index]) for index, label in self._classes.items())

    @cached_property
    def _before(self) -> list[float]:
        """The score of every class of a classifier, nothing hidden."""
        evidence = self._explanation.evidence
        with torch.no_grad():
            found: list[float] = evidence.resident.adapter.class_scores(evidence.outputs)[0].detach().tolist()
        return found

    @cached_property
    def _classes(self) -> Mapping[int, str]:
        """The names of the classes that were answered or have a map, by their index, best first."""
        mapped = ((heatmap.target.index, heatmap.target.label) for heatmap in self._explanation.heatmaps)
        answered = ((one.index, one.label) for one in self._explanation.predictions)
        return {index: label for index, label in (*answered, *mapped) if index is not None}
