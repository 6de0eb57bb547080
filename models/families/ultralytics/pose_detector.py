"""Adapt Ultralytics' pose networks: boxes with joints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.common.legible import legible
from sightglass.models.adapter import Joint, JointTarget
from sightglass.models.families.ultralytics.detectors import YoloDetector
from sightglass.models.families.ultralytics.pose import BODY, LIMBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightglass.models.adapter import Prediction, Target
    from sightglass.models.adapters.detector import Detections
    from sightglass.models.geometry import Geometry
    from sightglass.models.spec import ModelSpec


class PoseDetector(YoloDetector):
    """A detector whose candidates have joints: x and y, and with three numbers a joint how visible it is."""

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        super().__init__(spec, module, labels, weights_sha256)
        count, numbers = self._head.kpt_shape
        self.sees_visibility = numbers == 3
        own = getattr(module, "kpt_names", None)
        named = next(iter(own.values()), None) if isinstance(own, dict) else own
        if isinstance(named, (list, tuple)) and len(named) == count:
            self.joints = tuple(legible(str(name)).replace("_", " ") for name in named)
        else:
            self.joints = BODY if count == len(BODY) else tuple(f"joint {place}" for place in range(count))
        self.limbs = LIMBS if count == len(BODY) else ()

    def predictions(
        self, outputs: Detections, geometry: Geometry, anchors: Sequence[int], classes: Sequence[int]
    ) -> list[Prediction]:
        found = super().predictions(outputs, geometry, anchors, classes)
        rows = outputs.joints[0, list(anchors)].detach().float()  # type: ignore[attr-defined]
        return [replace(one, joints=self._joints(row, geometry)) for one, row in zip(found, rows, strict=True)]

    def _joints(self, row: Tensor, geometry: Geometry) -> tuple[Joint, ...]:
        """Return a candidate's joints, from (K, D)."""
        places = geometry.points_to_original(row[:, :2].tolist())
        seen = row[:, 2].sigmoid().tolist() if self.sees_visibility else [None] * len(row)
        return tuple(
            Joint(name, x, y, visibility) for name, (x, y), visibility in zip(self.joints, places, seen, strict=True)
        )

    def scalar(self, outputs: Detections, target: Target) -> Tensor:
        """Return a joint's x or y in pixels of the input, or its visibility's logit, shape (); or what a box has.

        Of several candidates the sum; for `lowers` with the other sign.
        """
        if not isinstance(target, JointTarget):
            return super().scalar(outputs, target)
        if target.axis == "visibility" and not self.sees_visibility:
            raise ModelProblem(f"{self.spec.id} does not say whether a joint can be seen: ask for its x or y.")
        place = ("x", "y", "visibility").index(target.axis)
        rows: Tensor = outputs.joints[0, list(target.anchors), target.joint, place]  # type: ignore[attr-defined]
        total = rows.sum()
        return -total if target.part == "lowers" else total
