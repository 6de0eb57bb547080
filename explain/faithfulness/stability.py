"""Measure a map's stability under small changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.faithfulness.changes import CHANGES, change
from sightglass.explain.maps.heatmap import on_content
from sightglass.explain.maps.statistics import coarse, compare
from sightglass.explain.methods import METHODS
from sightglass.explain.methods.method import Request
from sightglass.explain.phrases import listing, percent, signed
from sightglass.explain.proof.scores import boxes_of, match_boxes
from sightglass.models.families.custom.in_memory import READY

if TYPE_CHECKING:
    import threading

    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.common.work.progress import Progress
    from sightglass.explain.faithfulness.changes import Changed, Kind
    from sightglass.explain.result import Result
    from sightglass.models.adapter import Target

    Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Variant:
    """The answer and the map after one change."""

    kind: Kind
    score: float
    """The target's; 0 for a box that is gone."""
    answer: str
    """The model's best class, or of a detector the box's; empty where it is gone, or names nothing."""
    flips: bool
    """Whether the answer is another one than of the unchanged picture."""
    map: Map | None
    """float32 (h, w) in 0..1 over the content of the model's input, put back in place; None for a box that is gone."""
    rank_correlation: float | None
    """With the true map."""
    ssim: float | None


@dataclass(frozen=True, eq=False)
class Stability:
    """One map under `changes.CHANGES`."""

    label: str
    score: float
    """Of the unchanged picture."""
    variants: tuple[Variant, ...]
    mean: Map
    """float32 (h, w) over the content of the model's input: of the true map and those of the changed pictures."""
    spread: Map
    """The standard deviation of the same maps, at every pixel."""

    @property
    def score_spread(self) -> float:
        """The standard deviation of the score over the unchanged and the changed pictures."""
        return float(np.std([self.score, *(one.score for one in self.variants)]))

    @property
    def flips(self) -> tuple[Kind, ...]:
        """The changes under which the answer is another one."""
        return tuple(one.kind for one in self.variants if one.flips)

    @property
    def worst(self) -> Variant | None:
        """The change after which the map is least like the true one."""
        there = [one for one in self.variants if one.rank_correlation is not None]
        return min(there, key=lambda one: one.rank_correlation or 0.0, default=None)

    @property
    def sentence(self) -> str:
        """What changes, in measured numbers."""
        scores = [one.score for one in self.variants]
        low, high = percent(min(scores)), percent(max(scores))
        # A model that compares pictures has no answer.
        answers = any(one.answer or one.flips for one in self.variants)
        what = (
            f"{self.label} scores {low} to {high}"
            if answers
            else f"the picture stays {low} to {high} similar to itself"
        )
        words = f"Under {len(scores)} small changes {what}"
        if (worst := self.worst) is not None and worst.rank_correlation is not None:
            words += (
                f", and the map's rank correlation with this one is {signed(worst.rank_correlation)} at least "
                f"(after {CHANGES[worst.kind]})"
            )
        if not self.flips:
            return f"{words}. The answer stays." if answers else f"{words}."
        return f"{words}. The answer changes after {listing([CHANGES[kind] for kind in self.flips])}."

    def summary(self) -> Json:
        """Return plain values, ready for JSON."""
        fields = ("kind", "score", "answer", "flips", "rank_correlation", "ssim")
        return {
            "target": self.label,
            "score": self.score,
            "score_spread": self.score_spread,
            "map_spread": float(self.spread.mean()),
            "flips": list(self.flips),
            "sentence": self.sentence,
            "variants": [{name: getattr(one, name) for name in fields} for one in self.variants],
        }


@own_modes()
def stability(
    explanation: Result,
    index: int | str = 0,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Stability:
    """Make the map of the same target by the same method and layers again for eight slightly changed pictures.

    Eight passes, with the method's own cost. Raises ModelProblem for an empty map and for a picture that is not RGB;
    Cancelled between two changes.
    """
    shown = explanation._map(index)
    heatmap = shown.measured
    if heatmap.state != "ok":
        raise ModelProblem(f"The map of {heatmap.target.label} is empty: there is nothing to compare it with.")
    if explanation.image.planes is not None or explanation.options.preprocessing == READY:
        raise ModelProblem("Small changes are those of RGB pictures, and this one is an array of numbers.")
    score, first, _ = _answer(explanation, explanation.evidence, None, heatmap.target)
    variants = []
    for number, kind in enumerate(CHANGES):
        if cancel is not None and cancel.is_set():
            raise Cancelled
        if progress is not None:
            progress(number / len(CHANGES), CHANGES[kind])
        variants.append(_variant(explanation, index, kind, first, cancel))
    maps = np.stack([heatmap.content, *(one.map for one in variants if one.map is not None)])
    return Stability(heatmap.target.label, score, tuple(variants), maps.mean(0), maps.std(0))


def _variant(explanation: Result, index: int | str, kind: Kind, first: str, cancel: threading.Event | None) -> Variant:
    heatmap, before, options = explanation._map(index).measured, explanation.evidence, explanation.options
    image, geometry, resident = explanation.image, before.geometry, before.resident
    made = change(image, geometry, kind)
    pixels = replace(image, pixels=made.pixels, jpeg=b"").taken(resident.adapter.channels, explanation.model.id)
    evidence = Evidence(resident, resident.adapter.prepare(pixels, options.preprocessing), before.layers)
    score, answer, target = _answer(explanation, evidence, made, heatmap.target)
    if target is None:
        return Variant(kind, score, answer, True, None, None, None)
    raw = METHODS[heatmap.method].run(evidence, [target], Request(options.masks, options.head, None, cancel))
    values = made.undone(on_content(raw.maps, geometry))
    alike = compare(heatmap.coarse, coarse(values))
    return Variant(kind, score, answer, answer != first, values, alike.rank_correlation, alike.ssim)


def _answer(
    explanation: Result, evidence: Evidence, made: Changed | None, target: Target
) -> tuple[float, str, Target | None]:
    """Return the target's score in changed pictures, the model's answer, and the target there; None if it is gone."""
    adapter = evidence.resident.adapter
    if adapter.spec.task == "embed":
        own, other = (adapter.embedding(one.outputs).detach() for one in (explanation.evidence, evidence))
        return float(torch.cosine_similarity(own.double(), other.double()).mean()), "", target
    if target.index is None:
        raise ModelProblem("There is no single answer to test here: explain a class or one box.")
    if adapter.detects:
        return _box(explanation, evidence, made, target)
    scores = adapter.class_scores(evidence.outputs)[0].detach().double()
    best = int(adapter.class_logits(evidence.outputs)[0].argmax())
    return float(scores[target.index]), adapter.labels[best], target


def _box(
    explanation: Result, evidence: Evidence, made: Changed | None, target: Target
) -> tuple[float, str, Target | None]:
    """Return the mean score of the same boxes, the class of the first one, and their candidates."""
    outputs, labels = evidence.outputs, evidence.resident.adapter.labels
    boxes = boxes_of(explanation.evidence.outputs, target)  # (m, 4)
    if made is not None and made.mirrored:
        left, _, right, _ = evidence.geometry.content
        boxes = torch.stack([left + right - boxes[:, 2], boxes[:, 1], left + right - boxes[:, 0], boxes[:, 3]], 1)
    elif made is not None:
        down, right = made.shift
        boxes = boxes + boxes.new_tensor([right, down, right, down])
    scores = outputs.scores[0].detach()
    own, at = torch.where(match_boxes(boxes, outputs.boxes[0]), scores[target.index], 0.0).max(1)
    shown = own > explanation.options.confidence
    score = float(own.double().mean())
    if not bool(shown.any()):
        return score, "", None
    found = tuple(dict.fromkeys(at[shown].tolist()))
    return score, labels[int(scores[:, found[0]].argmax())], replace(target, anchors=found)
