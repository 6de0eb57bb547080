"""Score a target on partly hidden pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from sightglass.common.errors import ModelProblem
from sightglass.models.adapter import JointTarget
from sightglass.models.adapters.segmenter import Segmenter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.models.adapter import Target
    from sightglass.models.adapters.detector import Detections

HALF = 0.5
"""Share of a segmentation's pixels that must keep their class for it to be the answer still."""
MATCH = 0.5
"""IoU from which a box of a partly hidden picture is the same box."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of B pictures about one target."""

    score: Tensor
    """(B,) float64 on the CPU, as the pages show it: a probability, a box's score, or a cosine."""
    value: Tensor
    """(B,) what the map explains: the score, or for the contrast its margin over the best other class, in logits of a
    classifier and in score of a box."""
    stays: Tensor
    """(B,) bool: whether the target is still the answer, or the box is still shown."""


Scorer = Callable[[Any], Answers]


def scorer(evidence: Evidence, target: Target, options: Options) -> Scorer:
    """Return a function from the outputs of B pictures to `Answers`; raises ModelProblem without a class to ask for."""
    adapter = evidence.resident.adapter
    if adapter.spec.task == "embed":
        vector = F.normalize(adapter.embedding(evidence.outputs)[:1].detach().double(), dim=1)
        return lambda outputs: _cosine(adapter.embedding(outputs), vector)
    if adapter.spec.measures:
        raise ModelProblem(f"{adapter.spec.id} gives numbers: this test needs a class whose probability can fall.")
    if target.index is None:
        raise ModelProblem("There is no single answer to test here: explain a class or one box.")
    if isinstance(target, JointTarget):
        raise ModelProblem(f"The map is of a number, {target.label}: this test needs a score that can fall.")
    index, contrast = target.index, target.part == "contrast"
    if isinstance(adapter, Segmenter):
        return _of_pixels(adapter, target, adapter.pixels_of(evidence.outputs, target))
    if adapter.detects:
        return _Box(evidence.outputs, target, options.confidence)

    def of_class(outputs: Any) -> Answers:
        logits = adapter.class_logits(outputs).detach().double().cpu()
        score = adapter.class_scores(outputs)[:, index].detach().double().cpu()
        others = logits.clone()
        others[:, index] = float("-inf")
        if logits.shape[1] < 2:
            return Answers(score, score, score > options.confidence)
        margin = logits[:, index] - others.amax(1)
        return Answers(score, margin if contrast else score, margin > 0)

    return of_class


def _of_pixels(adapter: Segmenter, target: Target, pixels: NDArray[np.bool_]) -> Scorer:
    """Return a function from the outputs of B pictures to what is said of the same pixels."""

    def of_pixels(outputs: Any) -> Answers:
        score, margin, right = (one.cpu() for one in adapter.certainty(outputs, target, pixels))
        return Answers(score, margin if target.part == "contrast" else score, right >= HALF)

    return of_pixels


def _cosine(vectors: Tensor, to: Tensor) -> Answers:
    cosine = (F.normalize(vectors.detach().double(), dim=1) @ to.T)[:, 0].cpu()
    return Answers(cosine, cosine, torch.ones_like(cosine, dtype=torch.bool))


def boxes_of(outputs: Detections, target: Target) -> Tensor:
    """Return the boxes of a target's candidates, (m, 4) xyxy in the input; without any, its class's strongest one."""
    assert target.index is not None
    anchors = target.anchors or (int(outputs.scores[0, target.index].argmax()),)
    return outputs.boxes[0, list(anchors)].detach().float()


def match_boxes(boxes: Tensor, candidates: Tensor) -> Tensor:
    """Return which candidates (N, 4) of a changed picture are at the place of boxes (m, 4), bool (m, N)."""
    # As torchvision's box_iou, whose import takes seconds: longer than the first curve may.
    one, other = boxes[:, None], candidates.detach().float()
    shared = (torch.minimum(one[..., 2:], other[:, 2:]) - torch.maximum(one[..., :2], other[:, :2])).clamp(min=0)
    both = shared.prod(-1)
    return both / (_area(one) + _area(other) - both) >= MATCH


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


class _Box:
    """The chosen boxes' score, the mean over them: of each the best candidate of its class at its place, else 0."""

    def __init__(self, outputs: Detections, target: Target, confidence: float) -> None:
        assert target.index is not None
        self._index, self._confidence, self._contrast = target.index, confidence, target.part == "contrast"
        self._boxes = boxes_of(outputs, target)  # (m, 4)

    def __call__(self, outputs: Detections) -> Answers:
        rows = [self._one(*pair) for pair in zip(outputs.scores, outputs.boxes.detach().float(), strict=True)]
        score, value = (torch.stack(column).double().cpu() for column in zip(*rows, strict=True))
        return Answers(score, value, score > self._confidence)

    def _one(self, scores: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and value, shape () each, of one picture's candidates: scores (K, N), boxes (N, 4)."""
        own = scores[self._index]
        there = torch.where(match_boxes(self._boxes, boxes), own, 0.0)  # (m, N)
        if not there.numel():
            zero = own.new_zeros(())
            return zero, zero
        score, at = there.max(1)
        if not self._contrast:
            return score.mean(), score.mean()
        others = scores.clone()
        others[self._index : self._index + 1] = 0
        return score.mean(), torch.where(score > 0, score - others[:, at].amax(0), 0.0).mean()
