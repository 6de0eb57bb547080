"""Adapt Ultralytics' detectors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.common.legible import legible
from sightglass.models.adapter import Joint, JointTarget, Prediction, Target
from sightglass.models.adapters.detector import MAX_BOXES, SIDES, Detections, Detector
from sightglass.models.adapters.queries import QueryDetections, QueryDetector, make_detections
from sightglass.models.families.ultralytics.heads import BODY, LIMBS, reader
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import Layer, Section, name_presets
from sightglass.models.spec import ModelSpec

MIN_HALVED = 512
"""Pixels of a side from which a model may see pictures at half its size: of smaller ones, objects would be too few."""
CAM_SCRIPTS = (10, 12, 14, 16, 18)
"""Layers that widely copied YOLO CAM scripts explain together."""


def fit_letterbox(
    pixels: NDArray[np.uint8], size: int, stride: int, *, auto: bool = True, squash: bool = False
) -> ModelInput:
    """Prepare RGB pixels (H, W, 3) as `predict` does, values in 0..1.

    `auto`: bars are as small as the stride allows; else the input is a square. `squash`: it is one without bars.
    """
    from ultralytics.data.augment import LetterBox

    box = LetterBox(size, auto=auto, scale_fill=squash, stride=stride)
    placed = np.asarray(box(image=pixels))
    (height, width), (h, w) = pixels.shape[:2], placed.shape[:2]
    ratio = min(size / height, size / width)
    inner = (h, w) if squash else (max(round(height * ratio), 1), max(round(width * ratio), 1))
    # An odd pixel of bar goes to the bottom or the right.
    offset = (float((h - inner[0]) // 2), float((w - inner[1]) // 2))
    geometry = Geometry((height, width), (h, w), (inner[0] / height, inner[1] / width), offset)
    tensor = torch.from_numpy(np.ascontiguousarray(placed.transpose(2, 0, 1))).float().div_(255)
    return ModelInput(tensor.unsqueeze(0), geometry)


def trained_size(module: Any) -> tuple[int, int]:
    """Return the side in pixels that a model was trained with, and the stride that it is a multiple of."""
    stride = max(int(module.stride.max()), 32)
    size = int(np.max((getattr(module, "args", None) or {}).get("imgsz", 640)))
    return -(-size // stride) * stride, stride


class NumberedLayers:
    """Mixin for a model made of one `Sequential` of numbered steps."""

    module: Any
    _size: int
    """Pixels of a side of the model's own input."""

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        """Return choices of target layers among `layers`, the maps that the head reads first."""
        inputs = [f"model.{source}" for source in self.module.model[-1].f]
        backbone = [f"model.{index}" for index in range(self._backbone)]
        presets = name_presets(layers, inputs, backbone, self._size)
        scripts = tuple(f"model.{index}" for index in CAM_SCRIPTS)
        if {layer.path for layer in layers}.issuperset(scripts):
            presets[f"Ultralytics' {' '.join(map(str, CAM_SCRIPTS))}"] = scripts
        return presets or {"last map": (layers[-1].path,)}

    def sections(self, layers: Sequence[Layer]) -> dict[str, Section]:
        """Return the numbered steps in order."""
        return {f"model.{index}": self._section(index) for index in range(len(self.module.model))}

    def alias(self, name: str) -> str:
        """Return `model.10` for `10`, `model[10]`, `model.model.10` or a negative index; else the name itself."""
        match = re.fullmatch(r"(?:model\.)*(?:model\[)?(-?\d{1,9})\]?((?:\..+)?)", name.strip())
        count = len(self.module.model)
        if match is None or not -count <= int(match[1]) < count:
            return name
        return f"model.{int(match[1]) % count}{match[2]}"

    @property
    def _backbone(self) -> int:
        """Number of steps of the backbone."""
        return len(self.module.yaml["backbone"])

    def _section(self, index: int) -> Section:
        if index == len(self.module.model) - 1:
            return "head"
        return "backbone" if index < self._backbone else "neck"


class YoloDetector(NumberedLayers, Detector):
    """A module from float32 (B, 3, h, w), 0..1, to `Detections`."""

    preprocessings: tuple[str, ...] = ("trained", "letterbox", "squash", "half")

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        from ultralytics.nn.modules.head import YOLOEDetect

        self._head = module.model[-1]
        super().__init__(spec, module, labels, weights_sha256)
        self._head.forward = reader(self._head)
        self._size, self._stride = trained_size(module)
        if self._size < MIN_HALVED:
            self.preprocessings = tuple(way for way in self.preprocessings if way != "half")
        if getattr(self._head, "proto", None) is not None:
            self.parts = ("class", "contrast", "box", *SIDES, "mask", "all")
        self.nms = not getattr(self._head, "end2end", False)
        # As `predict` of a YOLOE does: words of an open vocabulary often mean the same thing.
        self.multi_class_nms = not isinstance(self._head, YOLOEDetect)
        # Without suppression the strongest pairs of candidate and class are shown.
        self.multi_label = not self.nms and self.multi_class_nms

    @property
    def resizing(self) -> str:
        way = f"squeezed to {self._size}" if self._squashes("trained") else f"long side → {self._size}, with bars"
        return f"{way}, bilinear, no antialias"

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        self.check_preprocessing(preprocessing)
        squash = self._squashes(preprocessing)
        auto = preprocessing in ("trained", "half") and not squash
        # Any multiple of the stride will do, and as many pixels fewer as it is smaller are as much time less.
        size = -(-self._size // (2 * self._stride)) * self._stride if preprocessing == "half" else self._size
        return fit_letterbox(pixels, size, self._stride, auto=auto, squash=squash)

    def _squashes(self, preprocessing: str) -> bool:
        return preprocessing == "squash"

    def run(self, tensor: Tensor) -> Detections:
        detections: Detections = self.module(tensor)
        return detections

    def select_boxes(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        from ultralytics.utils.nms import non_max_suppression

        scores = outputs.scores[:1]  # (1, K, N)
        if self.multi_label and getattr(self._head, "end2end", False):
            best, classes, pairs = self._head.get_topk_index(scores.transpose(1, 2), MAX_BOXES)
            sure = best[0, :, 0] > confidence
            return pairs[0, sure].flatten(), classes[0, sure].flatten().long()
        if not self.nms:
            return super().select_boxes(outputs, confidence, iou)
        # On a CPU: the library's suppression reads many single numbers, each a GPU synchronisation.
        candidates = torch.cat(self._rows(outputs, scores), 1).cpu()
        (rows,), (anchors,) = non_max_suppression(
            candidates,
            confidence,
            iou,
            agnostic=not self.multi_class_nms,
            max_det=MAX_BOXES,
            nc=scores.shape[1],
            rotated=outputs.corners_of is not None,
            return_idxs=True,
        )
        return anchors.flatten().long(), rows[:, 5].long()

    def _rows(self, outputs: Detections, scores: Tensor) -> tuple[Tensor, ...]:
        """Return the suppression's input of the first picture, (1, C, N) each."""
        from ultralytics.utils.ops import xyxy2xywh

        return xyxy2xywh(outputs.boxes[:1].detach().float()).transpose(1, 2), scores


class RotatedDetector(YoloDetector):
    """An OBB model: `box` of a prediction is the upright rectangle around its corners."""

    def _rows(self, outputs: Detections, scores: Tensor) -> tuple[Tensor, ...]:
        assert outputs.corners_of is not None
        corners = outputs.corners_of(tuple(level[:1] for level in outputs.regressions)).detach().float()
        rotated = _xywhr(corners).transpose(1, 2)  # (1, 5, N)
        return rotated[:, :4], scores, rotated[:, 4:]

    def overlap(self, a: Prediction, b: Prediction) -> float:
        from ultralytics.utils.metrics import batch_probiou

        first, second = (_xywhr(torch.tensor([prediction.corners])) for prediction in (a, b))
        return float(batch_probiou(first, second))


class PoseDetector(YoloDetector):
    """A detector with joints: x, y and maybe visibility."""

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        super().__init__(spec, module, labels, weights_sha256)
        count, numbers = self._head.kpt_shape
        self.sees_visibility = numbers == 3
        names = getattr(module, "kpt_names", None)
        named = next(iter(names.values()), None) if isinstance(names, dict) else names
        if isinstance(named, (list, tuple)) and len(named) == count:
            self.joints = tuple(legible(str(name)).replace("_", " ") for name in named)
        else:
            self.joints = BODY if count == len(BODY) else tuple(f"joint {place}" for place in range(count))
        self.limbs = LIMBS if count == len(BODY) else ()

    def predictions(
        self, outputs: Detections, geometry: Geometry, anchors: Sequence[int], classes: Sequence[int]
    ) -> list[Prediction]:
        predictions = super().predictions(outputs, geometry, anchors, classes)
        rows = outputs.joints[0, list(anchors)].detach().float()  # type: ignore[attr-defined]
        return [replace(p, joints=self._joints(row, geometry)) for p, row in zip(predictions, rows, strict=True)]

    def _joints(self, row: Tensor, geometry: Geometry) -> tuple[Joint, ...]:
        """Return a candidate's joints, from (K, D)."""
        places = geometry.points_to_original(row[:, :2].tolist())
        seen = row[:, 2].sigmoid().tolist() if self.sees_visibility else [None] * len(row)
        return tuple(
            Joint(name, x, y, visibility) for name, (x, y), visibility in zip(self.joints, places, seen, strict=True)
        )

    def scalar(self, outputs: Detections, target: Target) -> Tensor:
        """Return a joint's x, y or visibility logit, or the box's scalar.

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


class RtDetr(QueryDetector, YoloDetector):
    """RT-DETR, also within a YOLO, on pictures squeezed to a square."""

    preprocessings = ("trained", "letterbox")
    parts = ("class", "contrast", "box", *SIDES, "all")

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        super().__init__(spec, module, labels, weights_sha256)
        self.nms, self.multi_label = False, True
        last = len(self._head.decoder.layers) - 1
        self.cross_attention = f"model.{len(module.model) - 1}.decoder.layers.{last}.cross_attn"

    def _squashes(self, preprocessing: str) -> bool:
        return preprocessing == "trained"

    def read_queries(self, tensor: Tensor) -> QueryDetections:
        logits, boxes, proposals = self.module(tensor)
        return make_detections(logits, boxes, (tensor.shape[2], tensor.shape[3]), proposals=proposals)


def _xywhr(corners: Tensor) -> Tensor:
    """Return (..., 5) centre, sides and angle of rectangles (..., 4, 2) in Ultralytics' order of corners."""
    centre = corners.mean(-2)
    along = (corners[..., 0, :] + corners[..., 1, :]) / 2 - centre
    across = (corners[..., 0, :] - corners[..., 1, :]) / 2
    sides = torch.stack((2 * along.norm(dim=-1), 2 * across.norm(dim=-1)), -1)
    return torch.cat((centre, sides, torch.atan2(along[..., 1], along[..., 0])[..., None]), -1)
