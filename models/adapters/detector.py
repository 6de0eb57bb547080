"""Adapter of detectors: candidates, selection, targets.

A family's file loads, prepares and runs; it returns `Detections` from `run` and inherits the rest from `Detector`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Self

import torch
from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.models.adapter import Adapter, CandidateReason, Part, Prediction, Target
from sightglass.models.geometry import Box, Geometry, intersection_over_union
from sightglass.models.layers import Layer

MAX_BOXES = 300
"""Maximum number of boxes shown, as in `predict` of Ultralytics; torchvision's detectors show 100 to 300."""
IN_CELL: tuple[Part, ...] = ("class", "contrast", "objectness")
"""Parts of a candidate that are read from its own cell alone."""
SIDES: tuple[Part, ...] = ("left", "top", "right", "bottom")
Decoding = Callable[[tuple[Tensor, ...]], Tensor]
"""From maps of the head, one per scale, to what they say of each candidate; differentiable."""


def sigmoid_scores(logits: Tensor, objectness: Tensor | None) -> Tensor:
    """Return (B, K, N) in 0..1 from class and any objectness logits."""
    scores = logits.sigmoid()
    return scores if objectness is None else scores * objectness.sigmoid()


def _first_pose(poses: tuple[Tensor, ...]) -> Tensor:
    return poses[0]


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a decoding has given, in its place."""

    values: Tensor

    def __call__(self, *_: object) -> Tensor:
        return self.values


@dataclass(frozen=True, eq=False)
class Detections:
    """All N raw candidates of a batch, with K classes each.

    Tensors are the outputs of the head's towers, one map per scale, so that a gradient starts in one cell. Candidates
    without a grid have one scale of N rows and one column. Numbers count by scale, then by row.
    """

    levels: tuple[Tensor, ...]
    """Class logits per scale, (B, K, h, w), background not among them."""
    regressions: tuple[Tensor, ...]
    """The numbers that boxes are decoded from, per scale, (B, R, h, w); in the graph."""
    boxes_of: Decoding
    """From `regressions` to (B, N, 4) xyxy in pixels of the input."""
    centres: Tensor
    """(N, 2) xy in pixels of the input: where each candidate's own cell, or proposal, is."""
    units: Tensor
    """(N,) size of a cell in pixels of the input: the unit of a box's sides."""
    objectness: tuple[Tensor, ...] = ()
    """Logits per scale, (B, 1, h, w), of models that have them."""
    coefficients: tuple[Tensor, ...] = ()
    """Mask coefficients per scale, (B, M, h, w), of models that have masks."""
    prototypes: Tensor | None = None
    """(B, M, H, W): a candidate's mask logits are its coefficients times these."""
    mask_unit: float = 1.0
    """Size of a prototype's cell in pixels of the input."""
    scoring: Callable[[Tensor, Tensor | None], Tensor] = sigmoid_scores
    """From class logits (B, K, N) and objectness (B, 1, N) to the score that the model shows."""
    choice: Tensor | None = None
    """(B, N) long: the single class of a candidate with a class-specific box."""
    corners_of: Decoding | None = None
    """From `regressions` to (B, N, 4, 2) xy corners in pixels of the input, of models with rotated boxes."""
    poses: tuple[Tensor, ...] = ()
    """The numbers that J joints are decoded from, per scale, (B, J * D, h, w), of models of poses; in the graph."""
    joints_of: Decoding = _first_pose
    """From `poses` to (B, N, J, D): x and y in pixels of the input and, where D is 3, the visibility's logit."""

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """All outputs of the network in a fixed order: where a target's gradient starts."""
        extra = () if self.prototypes is None else (self.prototypes,)
        return (*self.levels, *self.regressions, *self.objectness, *self.coefficients, *extra, *self.poses)

    def _score(self) -> Tensor:
        """Return what `scoring` gives for all classes, out of the graph."""
        objectness = _rows(self.objectness).detach().float() if self.objectness else None
        return self.scoring(self.logits.detach().float(), objectness)

    def decoded(self) -> Self:
        """Return the same candidates as data, all decodings carried out."""
        corners_of = None if self.corners_of is None else Decoded(self.corners_of(self.regressions).detach())
        return replace(
            self,
            boxes_of=Decoded(self.boxes.detach()),
            scoring=Decoded(self._score()),
            corners_of=corners_of,
            joints_of=Decoded(self.joints.detach()) if self.poses else _first_pose,
        )

    def with_leaves(self, leaves: Sequence[Tensor]) -> Self:
        """Return the same candidates made of other tensors, in the order of `leaves`."""
        remaining = iter(leaves)
        return replace(
            self,
            levels=tuple(next(remaining) for _ in self.levels),
            regressions=tuple(next(remaining) for _ in self.regressions),
            objectness=tuple(next(remaining) for _ in self.objectness),
            coefficients=tuple(next(remaining) for _ in self.coefficients),
            prototypes=None if self.prototypes is None else next(remaining),
            poses=tuple(remaining),
        )

    @cached_property
    def logits(self) -> Tensor:
        """(B, K, N)."""
        return _rows(self.levels)

    @cached_property
    def boxes(self) -> Tensor:
        """(B, N, 4) xyxy in pixels of the input."""
        return self.boxes_of(self.regressions)

    @cached_property
    def joints(self) -> Tensor:
        """(B, N, J, D) as `joints_of` gives them."""
        return self.joints_of(self.poses)

    @cached_property
    def scores(self) -> Tensor:
        """(B, K, N) in 0..1, float32, out of the graph."""
        scores = self._score()
        if self.choice is None:
            return scores
        return torch.zeros_like(scores).scatter(1, self.choice[:, None], scores.gather(1, self.choice[:, None]))

    def best(self, anchors: Tensor | Sequence[int] | int) -> Tensor:
        """Return the first picture's best class at each of some candidates, long."""
        return self.scores[0][:, anchors].argmax(0)

    @property
    def count(self) -> int:
        """N."""
        return sum(level.shape[2] * level.shape[3] for level in self.levels)

    def cell(self, anchor: int) -> tuple[Self, int, int, int]:
        """Return one candidate of the first picture as maps (1, C, 1, 1), and its scale, row and column.

        It has the parts that are read from the cell (`IN_CELL`), and neither box nor mask nor score nor joints. Raises
        ModelProblem where there is no such candidate.
        """
        start = 0
        for scale, level in enumerate(self.levels):
            height, width = level.shape[2:]
            if start <= anchor < start + height * width:
                y, x = divmod(anchor - start, width)
                window = slice(1), slice(None), slice(y, y + 1), slice(x, x + 1)
                objectness = (self.objectness[scale][window],) if self.objectness else ()
                bare = replace(self, regressions=(), coefficients=(), prototypes=None, choice=None, poses=())
                return replace(bare, levels=(level[window],), objectness=objectness), scale, y, x
            start += height * width
        raise ModelProblem(f"This input has {start} candidates, and {anchor} is not among them.")

    def rows_of(self, maps: Sequence[Tensor], anchors: Sequence[int]) -> Tensor:
        """Return the rows (n, C) of candidates from maps (B, C, h, w), without touching other scales."""
        rows: dict[int, Tensor] = {}
        start = 0
        if not anchors:
            return maps[0].new_zeros(0, maps[0].shape[1])
        for level in maps:
            cells, width = level.shape[2] * level.shape[3], level.shape[3]
            indices = [i for i, anchor in enumerate(anchors) if start <= anchor < start + cells]
            if indices:
                cells_at = torch.tensor([anchors[i] - start for i in indices], device=level.device)
                rows |= dict(zip(indices, level[0][:, cells_at // width, cells_at % width].unbind(1), strict=True))
            start += cells
        if len(rows) < len(anchors):
            invalid = next(anchor for i, anchor in enumerate(anchors) if i not in rows)
            raise ModelProblem(f"This input has {start} candidates, and {invalid} is not among them.")
        return torch.stack([rows[i] for i in range(len(anchors))])


def cell_grid(
    shapes: Sequence[tuple[int, int]], strides: Sequence[float], like: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the centres (N, 2) and sides (N,) in pixels of the cells of maps (h, w), of the type of `like`."""
    device, dtype = (torch.device("cpu"), torch.float32) if like is None else (like.device, like.dtype)
    return _cell_grid(tuple(shapes), tuple(strides), device, dtype)


# Cached, as a copy to a GPU cannot be part of a recorded pass; made in inference mode it would serve no gradient later.
@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def _cell_grid(
    shapes: tuple[tuple[int, int], ...], strides: tuple[float, ...], device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    centres, sides = [], []
    for (height, width), stride in zip(shapes, strides, strict=True):
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centres.append((torch.stack((x, y), -1).reshape(-1, 2) + 0.5) * stride)
        sides.append(torch.full((height * width,), float(stride)))
    return torch.cat(centres).to(device, dtype), torch.cat(sides).to(device, dtype)


def _rows(maps: Sequence[Tensor]) -> Tensor:
    """Join maps (B, C, h, w) into (B, C, N)."""
    return torch.cat([level.flatten(2) for level in maps], 2)


class Detector(Adapter):
    """Base of detectors: families implement `prepare`, and `run` where the module returns no `Detections`."""

    detects = True
    preprocessings: tuple[str, ...] = ("trained", "letterbox", "squash")
    parts: tuple[Part, ...] = ("class", "contrast", "box", *SIDES, "all")
    """Parts of a candidate that can be a target; heads with objectness or masks have more."""
    multi_label = False
    """Whether a candidate is shown once for each class above the threshold, or only for its best one."""
    multi_class_nms = True
    """Whether boxes suppress only boxes of their own class."""
    nms = True
    """Whether boxes suppress others, or are shown as the model returns them."""

    def forward(self, tensor: Tensor) -> Detections:
        detections: Detections = self.module(tensor)
        return detections

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        return {"last map": (layers[-1].path,)}

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        return next(iter(self.presets(layers).values()))

    def decode(
        self, outputs: Detections, geometry: Geometry, *, top_k: int, confidence: float, iou: float
    ) -> list[Prediction]:
        """Return all boxes above `confidence` after suppression, best first.

        Raises AnswerProblem for boxes and masks that are not finite.
        """
        # Before any suppression, which can drop such a box.
        self.require_finite(outputs.boxes[0, outputs.scores[0].amax(0) > confidence])
        anchors, classes = self.select_boxes(outputs, confidence, iou)
        if outputs.prototypes is not None:
            self.require_finite(outputs.prototypes[0], outputs.rows_of(outputs.coefficients, anchors.tolist()))
        return self.predictions(outputs, geometry, anchors.tolist(), classes.tolist())

    def select_boxes(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        """Return the first picture's shown candidates and classes, best first."""
        from torchvision.ops import batched_nms

        scores = outputs.scores[0]  # (K, N)
        if not self.nms:
            rows = scores.t().flatten() if self.multi_label else scores.amax(0)
            best = rows.topk(min(MAX_BOXES, len(rows)))
            shown = best.indices[best.values > confidence]
            return (shown // len(scores), shown % len(scores)) if self.multi_label else (shown, outputs.best(shown))
        if self.multi_label:
            classes, anchors = (scores > confidence).nonzero(as_tuple=True)
        else:
            anchors = (scores.amax(0) > confidence).nonzero().squeeze(1)
            classes = outputs.best(anchors)
        boxes, box_scores = outputs.boxes[0, anchors].detach().float(), scores[classes, anchors]
        group = classes if self.multi_class_nms else torch.zeros_like(classes)
        shown = batched_nms(boxes, box_scores, group, iou)[:MAX_BOXES]
        return anchors[shown], classes[shown]

    def predictions(
        self, outputs: Detections, geometry: Geometry, anchors: Sequence[int], classes: Sequence[int]
    ) -> list[Prediction]:
        """Return candidates of the first picture as predictions, shown or not."""
        rows, columns = list(anchors), list(classes)
        boxes = outputs.boxes[0, rows].detach().float().tolist()
        scores = outputs.scores[0, columns, rows].tolist()
        corners = None if outputs.corners_of is None else outputs.corners_of(outputs.regressions)[0, rows].detach()
        return [
            Prediction(
                self.labels[index],
                index,
                score,
                geometry.box_to_original(tuple(box)),
                anchor,
                corners=None if corners is None else geometry.points_to_original(corners[i].tolist()),
            )
            for i, (index, score, box, anchor) in enumerate(zip(columns, scores, boxes, rows, strict=True))
        ]

    def strongest(self, outputs: Detections, ratio: float) -> tuple[int, ...]:
        """Return the best `ratio` of all candidates, at least one, in order."""
        return tuple(outputs.scores[0].amax(0).topk(max(1, round(ratio * outputs.count))).indices.tolist())

    def candidate(
        self, outputs: Detections, geometry: Geometry, where: Box | None, index: int | None = None
    ) -> tuple[int, int] | None:
        """Return the strongest candidate at a place and its class, or None.

        `where` is xyxy in original pixels, or None. For a point the best score over it counts, for a rectangle the best
        product of score and overlap.
        """
        scores = outputs.scores[0].amax(0) if index is None else outputs.scores[0, index]
        eligible, worth = torch.ones_like(scores, dtype=torch.bool), scores
        if where is not None:
            x0, y0, x1, y1 = geometry.box_to_input(where)
            boxes = outputs.boxes[0].detach().float()
            if x1 - x0 > 1 and y1 - y0 > 1:
                from torchvision.ops import box_iou

                overlap = box_iou(boxes, boxes.new_tensor([[x0, y0, x1, y1]]))[:, 0]
                eligible, worth = overlap > 0.1, scores * overlap
            else:
                x, y = (x0 + x1) / 2, (y0 + y1) / 2
                eligible = (boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])
        if not bool(eligible.any()):
            return None
        anchor = int(worth.masked_fill(~eligible, -1).argmax())
        return anchor, int(outputs.best(anchor)) if index is None else index

    def why(
        self,
        outputs: Detections,
        predictions: Sequence[Prediction],
        candidate: Prediction,
        confidence: float,
        iou: float,
    ) -> CandidateReason:
        """Return why a candidate is shown or not."""
        for number, prediction in enumerate(predictions):
            if (prediction.anchor, prediction.index) == (candidate.anchor, candidate.index):
                return CandidateReason("shown", number, 1.0)
        if candidate.score <= confidence:
            return CandidateReason("below")
        assert candidate.anchor is not None
        if not self.multi_label and (best := int(outputs.best(candidate.anchor))) != candidate.index:
            score = float(outputs.scores[0, best, candidate.anchor])
            winner = replace(candidate, label=self.labels[best], index=best, score=score)
            same = (i for i, p in enumerate(predictions) if (p.anchor, p.index) == (winner.anchor, best))
            return CandidateReason("class", next(same, None), winner=winner)
        if not self.nms:
            return CandidateReason("beyond")
        rivals = [
            (self.overlap(p, candidate), number)
            for number, p in enumerate(predictions)
            if p.index == candidate.index or not self.multi_class_nms
        ]
        overlap, number = max(rivals, default=(0.0, 0))
        # Clipped boxes overlap a little differently from the suppressed ones.
        return CandidateReason("suppressed", number, overlap) if overlap > 0.9 * iou else CandidateReason("beyond")

    def overlap(self, a: Prediction, b: Prediction) -> float:
        """Return how much two boxes overlap, 0..1, as suppression measures it."""
        return intersection_over_union(a.box, b.box) if a.box and b.box else 0.0

    def check_answer(self, outputs: Detections) -> None:
        if outputs.count:
            super().check_answer(outputs)

    def class_logits(self, outputs: Detections) -> Tensor:
        return outputs.logits.amax(2)

    def class_scores(self, outputs: Detections) -> Tensor:
        return outputs.scores.amax(2)

    def scalar(self, outputs: Detections, target: Target) -> Tensor:
        """Return the sum of the target's part over its candidates, shape ().

        `class` is the class logit; `contrast` that logit minus the logsumexp of the other classes' at the same
        candidate; a side is its distance from the candidate's own centre in cells, `box` the sum of all four; `mask`
        the mean mask logit over the predicted mask; `all` the sum of what there is but the contrast.
        """
        part = target.part
        self.check_part(part)
        anchors = target.anchors
        if not anchors:
            if target.index is None:
                raise ModelProblem("A target without a class needs candidates: ask for a share of the strongest.")
            anchors = (int(outputs.logits[0, target.index].argmax()),)
        terms = []
        if part in ("class", "contrast", "all"):
            terms.append(self._class(outputs, target.index, anchors, contrast=part == "contrast"))
        if part in ("objectness", "all") and outputs.objectness:
            terms.append(outputs.rows_of(outputs.objectness, anchors).sum())
        if part in ("box", "all", *SIDES):
            terms.append(_sides(outputs, anchors, part))
        if part in ("mask", "all") and outputs.prototypes is not None:
            terms.append(_mask(outputs, anchors))
        return torch.stack(terms).sum()

    def _class(self, outputs: Detections, index: int | None, anchors: Sequence[int], *, contrast: bool) -> Tensor:
        rows = outputs.rows_of(outputs.levels, anchors)  # (n, K)
        if index is None:
            classes = outputs.best(anchors)[:, None]
        else:
            classes = torch.full((len(anchors), 1), index, device=rows.device)
        logits = rows.gather(1, classes).sum()
        if not contrast or rows.shape[1] < 2:
            return logits
        return logits - rows.scatter(1, classes, float("-inf")).logsumexp(1).sum()


def _sides(outputs: Detections, anchors: Sequence[int], part: Part) -> Tensor:
    rows = list(anchors)
    boxes, centres, units = outputs.boxes[0, rows], outputs.centres[rows], outputs.units[rows]
    cx, cy = centres.unbind(1)
    left, top, right, bottom = boxes.unbind(1)
    distances = torch.stack((cx - left, cy - top, right - cx, bottom - cy), 1) / units[:, None]  # (n, 4)
    return distances[:, SIDES.index(part)].sum() if part in SIDES else distances.sum()


def _mask(outputs: Detections, anchors: Sequence[int]) -> Tensor:
    assert outputs.prototypes is not None
    prototypes = outputs.prototypes[0]  # (M, H, W)
    ratio, total = 1 / outputs.mask_unit, prototypes.new_zeros(())
    for row, box in zip(outputs.rows_of(outputs.coefficients, anchors), outputs.boxes[0, list(anchors)], strict=True):
        logits = torch.einsum("m,mhw->hw", row, prototypes)
        x0, y0, x1, y1 = (round(edge) for edge in (box.detach() * ratio).tolist())
        inside = torch.zeros_like(logits, dtype=torch.bool)
        inside[max(y0, 0) : max(y1, y0 + 1, 1), max(x0, 0) : max(x1, x0 + 1, 1)] = True
        positive = inside & (logits.detach() > 0)
        total = total + logits[positive if bool(positive.any()) else inside].mean()
    return total
