"""Find the smallest patch whose blurring flips the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.phrases import percent
from sightglass.explain.proof.curves import BATCH_CPU, Perturber
from sightglass.explain.proof.filling import blur
from sightglass.explain.proof.scores import Answers, boxes_of, match_boxes, scorer
from sightglass.models.adapters.segmenter import Segmenter

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.common.files import Json
    from sightglass.common.work.progress import Progress
    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.result import Result
    from sightglass.models.adapter import Target

    Labels = NDArray[np.int32]

BUDGET = 200
"""Pictures that the model may be asked."""
SEGMENTS = 100
"""Superpixels of a picture, about."""


@dataclass(frozen=True, eq=False)
class Flip:
    """The region that was found, or that there is none."""

    label: str
    """Of the answer that is to go."""
    to: str
    """What the model answers instead; empty for a box that is gone, and where nothing was found."""
    region: NDArray[np.bool_] | None
    """(h, w) over the content of the model's input; None where hiding all superpixels changes nothing."""
    score: float
    """Of the answer, in the whole picture."""
    left: float
    """Of the same answer with the region blurred."""
    passes: int
    """Pictures that the model was asked."""

    @property
    def share(self) -> float | None:
        """Of the content, 0..1."""
        return None if self.region is None else float(self.region.mean())

    @property
    def sentence(self) -> str:
        """What has to be blurred and what comes of it, in measured numbers."""
        if self.share is None:
            return f"No blurred region that was tried changes {self.label}."
        outcome = f"makes it {self.to}" if self.to else "makes it go"
        return (
            f"Blurring {percent(self.share)} of the picture takes {self.label} from {percent(self.score)} to "
            f"{percent(self.left)} and {outcome}."
        )

    def summary(self) -> Json:
        """Return plain values, ready for JSON."""
        fields = ("label", "to", "share", "score", "left", "passes", "sentence")
        return {name: getattr(self, name) for name in fields}


@own_modes()
def flip(
    explanation: Result,
    index: int | str = 0,
    *,
    budget: int = BUDGET,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Flip:
    """Blur superpixels in the order of a map until the answer is another one, then show again all that need not go.

    Greedy: no single superpixel of the region can be left out, while another region may be smaller; where the budget
    ends first, the region is one that flips the answer, but may hold more than it must. Raises ModelProblem where the
    target is not the model's answer; Cancelled within one batch of a stop.
    """
    heatmap, evidence = explanation._map(index).measured, explanation.evidence
    if evidence.resident.adapter.spec.task == "embed":
        raise ModelProblem(f"{explanation.model.id} names nothing: there is no answer to change.")
    perturber = Perturber(evidence, scorer(evidence, heatmap.target, explanation.options), cancel)
    whole = perturber.answers_to(perturber.picture)
    if not bool(whole.stays[0]):
        raise ModelProblem(f"{heatmap.target.label} is not the model's answer here: there is nothing to change.")
    segments = superpixels(perturber.picture)
    numbers = np.unique(segments)
    strength = heatmap.strength
    heat = [float(strength[segments == number].mean()) for number in numbers]
    order = numbers[np.argsort(np.negative(heat), kind="stable")].tolist()
    search = _Search(perturber, segments, budget, progress, passes=1)
    hidden, left = search.first(order)
    if hidden:
        hidden, left = search.smaller(hidden, left)
    score, label = float(whole.score[0]), heatmap.target.label
    if not hidden:
        return Flip(label, "", None, score, left, search.passes)
    region = np.isin(segments, hidden)
    to = _answer(evidence, heatmap.target, explanation.options.confidence, search.picture(hidden), perturber)
    return Flip(label, to, region, score, left, search.passes + 1)


class _Search:
    """Asks the model about hidden sets of superpixels, within a budget."""

    def __init__(
        self, perturber: Perturber, segments: Labels, budget: int, progress: Progress | None, passes: int
    ) -> None:
        self._perturber, self._progress, self._budget = perturber, progress, budget
        self._segments = torch.from_numpy(segments).to(perturber.picture.device)
        self._fill = blur(perturber.picture)
        self.passes = passes

    def picture(self, hidden: Sequence[int]) -> Tensor:
        """Return the picture (1, C, h, w) with superpixels blurred."""
        gone = torch.isin(self._segments, torch.tensor(hidden, device=self._segments.device))
        return torch.where(gone, self._fill, self._perturber.picture)

    def _predict_sets(self, sets: Sequence[Sequence[int]]) -> Answers:
        self.passes += len(sets)
        if self._progress is not None:
            self._progress(min(self.passes / self._budget, 1.0), f"{self.passes} of at most {self._budget} passes")
        return self._perturber.answers_to(torch.cat([self.picture(one) for one in sets]))

    def first(self, order: Sequence[int]) -> tuple[list[int], float]:
        """Return the shortest beginning of `order` that flips the answer, and what is left of it; else nothing."""
        left = float("nan")
        for start in range(0, len(order), BATCH_CPU):
            stops = range(start + 1, min(start + BATCH_CPU, len(order)) + 1)[: max(self._budget - self.passes - 1, 0)]
            if not stops:
                break
            found = self._predict_sets([order[:stop] for stop in stops])
            left = float(found.score[-1])
            if not bool(found.stays.all()):
                at = int((~found.stays).int().argmax())
                return [*order[: stops[at]]], float(found.score[at])
        return [], left

    def smaller(self, hidden: list[int], left: float) -> tuple[list[int], float]:
        """Return the set without what need not be hidden, the coldest tried first, until nothing can be left out."""
        changed = True
        while changed:
            changed = False
            for one in reversed(hidden):
                # One pass is kept for what it flips to.
                if len(hidden) == 1 or self.passes >= self._budget - 1:
                    return hidden, left
                without = [each for each in hidden if each != one]
                found = self._predict_sets([without])
                if not bool(found.stays[0]):
                    hidden, left, changed = without, float(found.score[0]), True
        return hidden, left


def superpixels(picture: Tensor, count: int = SEGMENTS) -> Labels:
    """Return the number from 1 on of the superpixel of each pixel, int32 (h, w), of a picture (1, C, h, w).

    A watershed of the picture from seeds on a regular grid (as in Machairas et al. 2015, Waterpixels).
    """
    values = picture[0].detach().float().cpu().permute(1, 2, 0).numpy()
    values = values if values.shape[2] == 3 else values.mean(2, keepdims=True).repeat(3, 2)
    low, high = float(values.min()), float(values.max())
    pixels = np.ascontiguousarray(np.rint((values - low) / max(high - low, 1e-6) * 255).astype(np.uint8))
    height, width = pixels.shape[:2]
    rows = max(1, min(height // 3, round((count * height / width) ** 0.5)))
    columns = max(1, min(width // 3, round(count / rows)))
    markers = np.zeros((height, width), np.int32)
    down, across = ((np.arange(n) + 0.5) * side / n for n, side in ((rows, height), (columns, width)))
    seeds = np.arange(1, rows * columns + 1, dtype=np.int32).reshape(rows, columns)
    markers[np.ix_(down.astype(int), across.astype(int))] = seeds
    found = cv2.watershed(pixels, markers).astype(np.float32)
    # Lines between two of them belong to a neighbour.
    for _ in range(height + width):
        if not (missing := found < 1).any():
            break
        found = np.where(missing, cv2.dilate(found, np.ones((3, 3), np.uint8)), found)
    labels: Labels = np.maximum(found, 1).astype(np.int32)
    return labels


def _answer(evidence: Evidence, target: Target, confidence: float, picture: Tensor, perturber: Perturber) -> str:
    """Return the model's answer to a picture; of a detector the class of the box at the same place, if there is one."""
    adapter, seen = evidence.resident.adapter, []

    def record_outputs(outputs: Any) -> Answers:
        seen.append(outputs)
        nothing = torch.zeros(1, dtype=torch.float64)
        return Answers(nothing, nothing, nothing.bool())

    Perturber(evidence, record_outputs).answers_to(picture)
    outputs = seen[0]
    if isinstance(adapter, Segmenter):
        return adapter.labels[int(np.bincount(outputs.classes[adapter.pixels_of(evidence.outputs, target)]).argmax())]
    if not adapter.detects:
        return adapter.labels[int(adapter.class_logits(outputs)[0].argmax())]
    near = match_boxes(boxes_of(evidence.outputs, target)[:1], outputs.boxes[0])[0]
    scores = torch.where(near, outputs.scores[0].detach(), 0.0).amax(1)
    best = int(scores.argmax())
    return adapter.labels[best] if float(scores[best]) > confidence and best != target.index else ""
