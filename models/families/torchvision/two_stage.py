"""Adapt torchvision's two-stage detector, Faster R-CNN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sightglass.models.families.torchvision.detector import (
    TorchvisionDetections,
    TorchvisionDetector,
    softmax_beside,
)

CELLS = 7
"""Cells to a side of the grid that a proposal's features are pooled to."""


class TwoStage(TorchvisionDetector):
    """Faster R-CNN: a candidate is a proposal and one class, whose own box it has.

    There is one for each class of a proposal whose score is above torchvision's own threshold (0.05), and one for its
    best. A candidate's centre is its proposal's, and its unit one of the seven cells to a side that the proposal is
    pooled to: the root of its area over seven. Proposals are out of the graph, as in torchvision.
    """

    small = 1e-2

    def _limits(self) -> tuple[int, int | None]:
        return self.module.roi_heads.detections_per_img, None  # type: ignore[union-attr, return-value]

    def run(self, tensor: Tensor) -> TorchvisionDetections:
        module: Any = self.module
        images = self._images(tensor)
        features = self._features(tensor)
        proposals, _ = module.rpn(images, features)
        proposed = [len(one) > 0 for one in proposals]
        height, width = images.image_sizes[0]
        # Without proposals the whole picture is a candidate that can be explained, though it is never shown.
        whole = tensor.new_tensor([[0, 0, width, height]])
        proposals = [one.detach() if there else whole for one, there in zip(proposals, proposed, strict=True)]
        heads = module.roi_heads
        pooled = heads.box_roi_pool(features, proposals, images.image_sizes)
        logits, deltas = heads.box_predictor(heads.box_head(pooled))
        columns = torch.tensor(self._columns, device=tensor.device)
        beside = torch.ones(logits.shape[1], dtype=torch.bool, device=tensor.device)
        beside[columns] = False
        counts = [len(one) for one in proposals]
        made = []
        for rows, numbers, rois in zip(logits.split(counts), deltas.split(counts), proposals, strict=True):
            scores = rows.detach().softmax(1)[:, columns]  # (P, K)
            wanted = scores > heads.score_thresh
            wanted[torch.arange(len(rows), device=tensor.device), scores.argmax(1)] = True
            made.append((rows, numbers.unflatten(1, (-1, 4)), rois, *wanted.nonzero(as_tuple=True)))
        most = max(len(classes) for *_, classes in made)
        levels, regressions, choice, rest, regions = [], [], [], [], []
        for rows, numbers, rois, at, classes in made:
            # A shorter list of another picture of the batch is padded with its first candidate.
            index = torch.arange(most, device=tensor.device)
            index = index.where(index < len(at), 0)
            at, classes = at[index], classes[index]
            levels.append(rows[at][:, columns].T[..., None])
            rest.append(rows.detach().float()[at][:, beside].logsumexp(1)[None])
            regressions.append(numbers[at, columns[classes]].T[..., None])
            choice.append(classes)
            regions.append(rois[at])

        def boxes(given: tuple[Tensor, ...]) -> Tensor:
            rows = given[0][..., 0].transpose(1, 2)  # (B, N, 4)
            return torch.stack([heads.box_coder.decode_single(*pair) for pair in zip(rows, regions, strict=True)])

        sides = (regions[0][:, 2:] - regions[0][:, :2]).clamp(min=1)
        return TorchvisionDetections(
            (torch.stack(levels),),
            (torch.stack(regressions),),
            boxes,
            (regions[0][:, :2] + regions[0][:, 2:]) / 2,
            sides.prod(1).sqrt() / CELLS,
            scoring=softmax_beside(torch.stack(rest)),
            choice=torch.stack(choice),
            inner=(height, width),
            proposed=proposed[0],
        )
