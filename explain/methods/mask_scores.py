"""Score targets in masked pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from sightglass.common.errors import ModelProblem
from sightglass.models.adapters.detector import Detections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.models.adapter import Target

Scorer = Callable[[Any], "Tensor"]
"""From the outputs of B masked pictures to (B, k) scores in 0..1, or the numbers of a regression."""
FLOOR = 0.01
"""Candidates of a masked picture that score no more than this are noise, and their boxes fit anything."""
ROWS = 512
"""Target boxes compared at once, so that memory stays flat where all candidates are targets."""
PARTS = ("class", "box", "all")


def scorer(evidence: Evidence, targets: Sequence[Target]) -> Scorer:
    """Return the function that scores these targets; raises ModelProblem for one that masks cannot explain."""
    adapter = evidence.resident.adapter
    detects = isinstance(evidence.outputs, Detections)
    for target in targets:
        # A share of all classes is a contrast to the others by itself.
        answers = ("class", "contrast") if adapter.spec.task == "classify" else adapter.parts
        if target.part not in (PARTS if detects else answers):
            can = ", ".join(PARTS) if detects else "its numbers" if adapter.spec.measures else "its classes"
            raise ModelProblem(f"Masks cannot explain the {target.part} of {adapter.spec.id}: they explain {can}.")
        if target.index is None and (not detects or not target.anchors):
            raise ModelProblem("A target without a class needs candidates: ask for a share of the strongest.")
    if detects:
        return _Similarity(evidence.outputs, targets)
    indices = [target.index for target in targets]
    signs = torch.tensor([-1.0 if target.part == "lowers" else 1.0 for target in targets])

    def shown(outputs: Any) -> Tensor:
        if adapter.spec.task == "classify":
            return adapter.class_logits(outputs).float().softmax(1)[:, indices]
        scores = adapter.class_scores(outputs)[:, indices]
        return scores * signs.to(scores)

    return shown


class _Similarity:
    """How much of each target a detector still finds in a masked picture, 0..1; D-RISE's equation 2.

    A target is one or several boxes; its score is the mean over them of the best match among all candidates, before
    suppression. A match is, for `all`, IoU * cosine of the class probabilities * score, as in the paper; for `class`
    IoU * the probability of that class; for `box` the IoU alone.
    """

    def __init__(self, outputs: Detections, targets: Sequence[Target]) -> None:
        scores, boxes = outputs.scores[0], outputs.boxes[0].detach().float()
        anchors = [target.anchors or (int(scores[target.index].argmax()),) for target in targets]
        count = scores.shape[1]
        flat = [anchor for given in anchors for anchor in given]
        if lost := [anchor for anchor in flat if not 0 <= anchor < count]:
            raise ModelProblem(f"This input has {count} candidates, and {lost[0]} is not among them.")
        owner = [i for i, given in enumerate(anchors) for _ in given]
        owners, device = [targets[i] for i in owner], scores.device
        self._owner = torch.tensor(owner, device=device)
        self._sizes = torch.tensor([len(given) for given in anchors], device=device)
        self._boxes = boxes[flat]  # (m, 4)
        best = outputs.best[0, flat]
        given = torch.tensor([-1 if target.index is None else target.index for target in owners], device=device)
        self._classes = torch.where(given < 0, best, given)  # (m,)
        vectors = scores[:, flat].T  # (m, K)
        # For another class than the box's own, the similarity to that class counts.
        other = torch.zeros_like(vectors).scatter(1, self._classes[:, None], 1.0)
        vectors = torch.where((self._classes == best)[:, None], vectors, other)
        self._vectors = torch.nn.functional.normalize(vectors, dim=1)
        self._product = torch.tensor([target.part == "all" for target in owners], device=device)[:, None]
        self._overlap = torch.tensor([target.part == "box" for target in owners], device=device)[:, None]
        # A box that was itself looked up below the floor is still to be found.
        strongest = min(float(scores[:, list(given)].amax()) for given in anchors)
        self._floor = min(FLOOR, strongest / 2)

    def __call__(self, outputs: Detections) -> Tensor:
        """(B, k)."""
        rows = []
        for scores, boxes in zip(outputs.scores, outputs.boxes.float(), strict=True):
            alive = scores.amax(0) > self._floor
            rows.append(self._one(scores[:, alive], boxes[alive]))
        return torch.stack(rows)

    def _one(self, scores: Tensor, boxes: Tensor) -> Tensor:
        """(k,) for one picture's n candidates: scores (K, n), boxes (n, 4)."""
        from torchvision.ops import box_iou

        found = scores.new_zeros(len(self._boxes))
        if len(boxes):
            units = torch.nn.functional.normalize(scores, dim=0)
            for start in range(0, len(found), ROWS):
                part = slice(start, start + ROWS)
                overlap = box_iou(self._boxes[part], boxes)  # (m, n)
                product = (self._vectors[part] @ units) * scores.amax(0)
                worth = torch.where(self._product[part], product, scores[self._classes[part]])
                worth = torch.where(self._overlap[part], 1.0, worth)
                found[part] = (overlap * worth).amax(1)
        return found.new_zeros(len(self._sizes)).index_add(0, self._owner, found) / self._sizes
