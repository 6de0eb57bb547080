"""Read the joints of Ultralytics' pose heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sightglass.models.adapters.detector import Detections

if TYPE_CHECKING:
    from collections.abc import Mapping


BODY = (
    "nose",
    "left eye",
    "right eye",
    "left ear",
    "right ear",
    "left shoulder",
    "right shoulder",
    "left elbow",
    "right elbow",
    "left wrist",
    "right wrist",
    "left hip",
    "right hip",
    "left knee",
    "right knee",
    "left ankle",
    "right ankle",
)
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


def add_joints(head: Any, branch: Mapping[str, Any], maps: Sequence[Tensor], found: Detections) -> PoseDetections:
    """Return a pose head's candidates with their joints; `maps`: what the head reads, one per scale."""
    from ultralytics.nn.modules.head import Pose26

    poses = [tower(x) for tower, x in zip(branch["pose_head"], maps, strict=True)]
    if "kpts_head" in branch:
        poses = [last(x) for last, x in zip(branch["kpts_head"], poses, strict=True)]
    count, numbers = head.kpt_shape
    step, shift = (1.0, 0.0) if isinstance(head, Pose26) else (2.0, -0.5)
    strides = found.units[:, None, None]
    cells = found.centres[:, None] / strides

    def joints_of(given: tuple[Tensor, ...]) -> Tensor:
        rows = torch.cat([level.flatten(2) for level in given], 2).transpose(1, 2)
        rows = rows.reshape(*rows.shape[:2], count, numbers)
        places = (rows[..., :2] * step + cells + shift) * strides
        return torch.cat((places, rows[..., 2:]), 3)

    own = {one.name: getattr(found, one.name) for one in fields(found)}
    return PoseDetections(**own, poses=tuple(poses), joints_of=joints_of)
