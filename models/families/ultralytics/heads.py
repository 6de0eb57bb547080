"""Make Ultralytics' heads return all candidates.

The library's own forwards cache anchors on the head (after a call in inference mode later gradients fail), write the
vocabulary into it, and drop all but the strongest candidates of an end-to-end head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from sightglass.models.adapters.detector import Detections

_PAIRED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
BODY = ("nose", *(f"{side} {part}" for part in _PAIRED for side in ("left", "right")))
"""COCO's joints of a person, in their order."""
LIMBS = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
"""COCO's lines between them."""


@dataclass(frozen=True, eq=False)
class PoseDetections(Detections):
    """Candidates of a detector, each with the joints of a body."""

    poses: tuple[Tensor, ...] = ()
    """The numbers that joints are decoded from, per scale, (B, K * D, h, w); in the graph."""
    joints_of: Callable[[tuple[Tensor, ...]], Tensor] = lambda poses: poses[0]
    """From `poses` to (B, N, K, D): x and y in pixels of the input and, where D is 3, the visibility's logit."""

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        return (*super().leaves, *self.poses)

    def with_leaves(self, leaves: Sequence[Tensor]) -> Detections:
        first = len(leaves) - len(self.poses)
        return replace(super().with_leaves(leaves[:first]), poses=tuple(leaves[first:]))  # type: ignore[call-arg]

    @cached_property
    def joints(self) -> Tensor:
        """(B, N, K, D) as `joints_of` gives them."""
        return self.joints_of(self.poses)


def add_joints(head: Any, branch: Mapping[str, Any], maps: Sequence[Tensor], detections: Detections) -> PoseDetections:
    """Return a pose head's candidates with their joints; `maps`: the head's inputs."""
    from ultralytics.nn.modules.head import Pose26

    poses = [tower(x) for tower, x in zip(branch["pose_head"], maps, strict=True)]
    if "kpts_head" in branch:
        poses = [last(x) for last, x in zip(branch["kpts_head"], poses, strict=True)]
    count, numbers = head.kpt_shape
    step, shift = (1.0, 0.0) if isinstance(head, Pose26) else (2.0, -0.5)
    strides = detections.units[:, None, None]
    cells = detections.centres[:, None] / strides

    def joints_of(levels: tuple[Tensor, ...]) -> Tensor:
        rows = torch.cat([level.flatten(2) for level in levels], 2).transpose(1, 2)
        rows = rows.reshape(*rows.shape[:2], count, numbers)
        places = (rows[..., :2] * step + cells + shift) * strides
        return torch.cat((places, rows[..., 2:]), 3)

    values = {field.name: getattr(detections, field.name) for field in fields(detections)}
    return PoseDetections(**values, poses=tuple(poses), joints_of=joints_of)


Decode = tuple["Callable[[tuple[Tensor, ...]], Tensor]", "Callable[[tuple[Tensor, ...]], Tensor] | None"]


def reader(head: Any) -> MethodType | None:
    """Return a head's forward to `Detections` or `queries`; None if unknown."""
    from ultralytics.nn.modules.head import Detect, RTDETRDecoder

    if isinstance(head, RTDETRDecoder):
        return MethodType(queries, head)
    if not isinstance(head, Detect):
        return None
    return MethodType(prompt_free if hasattr(head, "lrpc") else grid, head)


def grid(head: Any, feats: Sequence[Tensor], text: Tensor | None = None) -> Detections:
    """Return a candidate per cell. `feats`: a map per scale, and of YOLOE its vocabulary last; `text`: YOLO-World's."""
    branch = head.one2one if head.end2end else head.one2many
    maps = list(feats[: head.nl])
    logits = [tower(x) for tower, x in zip(branch["cls_head"], maps, strict=True)]
    if text is not None:
        logits = [tower(x, text) for tower, x in zip(head.cv4, logits, strict=True)]
    elif "contrastive_head" in branch:
        logits = [tower(x, feats[-1]) for tower, x in zip(branch["contrastive_head"], logits, strict=True)]
    regressions = [tower(x) for tower, x in zip(branch["box_head"], maps, strict=True)]
    if "angle_head" in branch:
        angles = [tower(x) for tower, x in zip(branch["angle_head"], maps, strict=True)]
        regressions = [torch.cat(both, 1) for both in zip(regressions, angles, strict=True)]
    coefficients = [tower(x) for tower, x in zip(branch.get("mask_head", ()), maps, strict=False)]
    centres, strides = _cells(head, maps)
    detections = _detections(head, maps, (logits, regressions, coefficients), (centres, strides))
    return add_joints(head, branch, maps, detections) if "pose_head" in branch else detections


def prompt_free(head: Any, feats: Sequence[Tensor]) -> Detections:
    """Run a YOLOE with a built-in vocabulary, on cells passing its filter.

    Each scale has n rows and one column. In a batch cells pass for any picture; for the others their logit is -inf.
    """
    maps = list(feats[: head.nl])
    box_head, class_head = (head.one2one_cv2, head.one2one_cv3) if head.end2end else (head.cv2, head.cv3)
    filters = head.one2one_lrpc if head.end2end and hasattr(head, "one2one_lrpc") else head.lrpc
    mask_head = getattr(head, "one2one_cv5" if head.end2end else "cv5", None)
    logits, regressions, coefficients, through = [], [], [], []
    for i, (x, last) in enumerate(zip(maps, filters, strict=True)):
        features = class_head[i](x)
        if last.enabled:
            passed = last.pf(features)[:, 0].flatten(1).sigmoid() > getattr(head, "conf", 0.001)  # (B, N)
            chosen = passed.any(0)
            rows = last.vocab(features.flatten(2).transpose(1, 2)[:, chosen])  # (B, n, K)
            level = rows.masked_fill(~passed[:, chosen, None], float("-inf")).transpose(1, 2)
        else:
            level = last.vocab(features).flatten(2)
            chosen = torch.ones(level.shape[2], dtype=torch.bool, device=level.device)
        logits.append(level[..., None])
        regressions.append(last.loc(box_head[i](x)).flatten(2)[..., chosen, None])
        if mask_head is not None:
            coefficients.append(mask_head[i](x).flatten(2)[..., chosen, None])
        through.append(chosen)
    centres, strides = (cells[torch.cat(through)] for cells in _cells(head, maps))
    return _detections(head, maps, (logits, regressions, coefficients), (centres, strides))


def _detections(
    head: Any,
    maps: list[Tensor],
    towers: tuple[list[Tensor], list[Tensor], list[Tensor]],
    cells: tuple[Tensor, Tensor],
) -> Detections:
    """Build `Detections` from the towers' logits, boxes and mask coefficients, and the cells' centres and strides."""
    (logits, regressions, coefficients), (centres, strides) = towers, cells
    boxes_of, corners_of = _decoding(head, centres, strides)
    prototypes, unit = _prototypes(head, maps)
    return Detections(
        tuple(logits),
        tuple(regressions),
        boxes_of,
        centres * strides,
        strides[:, 0],
        coefficients=tuple(coefficients),
        prototypes=prototypes,
        mask_unit=unit,
        corners_of=corners_of,
    )


def _cells(head: Any, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return centres (N, 2) in cells of their own scale, and strides (N, 1) in pixels."""
    from ultralytics.utils.tal import make_anchors

    centres, strides = make_anchors(maps, head.stride, 0.5)
    return centres, strides


def _decoding(head: Any, centres: Tensor, strides: Tensor) -> Decode:
    """Return functions from regressions to boxes and, for rotated ones, to corners."""
    from ultralytics.nn.modules.head import OBB, OBB26
    from ultralytics.utils.ops import xywhr2xyxyxyxy
    from ultralytics.utils.tal import dist2bbox, dist2rbox

    def distances(levels: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return (B, N, 4) in cells, and the rest (B, N, R)."""
        rows = torch.cat([level.flatten(2) for level in levels], 2)
        width = 4 * head.reg_max
        return head.dfl(rows[:, :width]).transpose(1, 2), rows[:, width:].transpose(1, 2)

    def upright(levels: tuple[Tensor, ...]) -> Tensor:
        boxes: Tensor = dist2bbox(distances(levels)[0], centres, xywh=False) * strides
        return boxes

    def corners(levels: tuple[Tensor, ...]) -> Tensor:
        sides, raw = distances(levels)
        angle = raw if isinstance(head, OBB26) else (raw.sigmoid() - 0.25) * torch.pi
        points: Tensor = xywhr2xyxyxyxy(torch.cat((dist2rbox(sides, angle, centres) * strides, angle), 2))
        return points

    def hull(levels: tuple[Tensor, ...]) -> Tensor:
        points = corners(levels)  # (B, N, 4, 2)
        return torch.cat((points.amin(2), points.amax(2)), 2)

    return (hull, corners) if isinstance(head, OBB) else (upright, None)


def _prototypes(head: Any, maps: list[Tensor]) -> tuple[Tensor | None, float | None]:
    """Return mask prototypes (B, M, H, W), and input pixels per cell."""
    from ultralytics.nn.modules.block import Proto26

    proto = getattr(head, "proto", None)
    if proto is None:
        return None, None
    prototypes: Tensor = proto(maps if isinstance(proto, Proto26) else maps[0])
    return prototypes, float(head.stride[0]) * maps[0].shape[3] / prototypes.shape[3]


def queries(head: Any, feats: Sequence[Tensor], batch: object = None) -> tuple[Tensor, Tensor, Tensor]:
    """Run RT-DETR's decoder in eval mode; `batch` is for its training.

    Returns logits (B, Q, K), and as shares boxes (B, Q, 4) as cx, cy, w, h and the first picture's proposals (Q, 4):
    the cells that its queries came from.
    """
    tokens, shapes = head._get_encoder_input(list(feats))
    cells = torch.cat([_proposals(h, w, tokens) for h, w in shapes])  # (N, 4)
    sizes = torch.cat([tokens.new_full((h * w, 1), 0.05 * 2.0**i) for i, (h, w) in enumerate(shapes)])
    anchors = torch.cat((cells[:, :2], sizes, sizes), 1)
    valid = ((anchors > 0.01) & (anchors < 0.99)).all(1, keepdim=True)
    features = head.enc_output(valid * tokens)  # (B, N, C)
    scores = head.enc_score_head(features).amax(2)
    best = scores.topk(min(head.num_queries, scores.shape[1]), 1).indices  # (B, Q)
    chosen = features.gather(1, best[..., None].expand(-1, -1, features.shape[2]))
    start = torch.logit(anchors).masked_fill(~valid, float("inf"))[best]
    decoder_queries = chosen
    if head.learnt_init_query:
        decoder_queries = head.tgt_embed.weight[: best.shape[1]].expand(len(best), -1, -1)
    boxes, logits = head.decoder(
        decoder_queries,
        head.enc_bbox_head(chosen) + start,
        tokens,
        shapes,
        head.dec_bbox_head,
        head.dec_score_head,
        head.query_pos_head,
    )
    return logits[-1], boxes[-1], cells[best[0]]


def _proposals(height: int, width: int, like: Tensor) -> Tensor:
    """Return (h * w, 4): centre and size of each cell, as shares."""
    ys, xs = (torch.arange(count).to(like) + 0.5 for count in (height, width))
    grid_y, grid_x = torch.meshgrid(ys / height, xs / width, indexing="ij")
    size = torch.tensor([1 / width, 1 / height]).to(like).expand(height * width, 2)
    return torch.cat((torch.stack((grid_x, grid_y), -1).view(-1, 2), size), 1)
