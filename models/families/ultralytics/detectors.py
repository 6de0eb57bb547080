"""Adapt Ultralytics' detectors: grids of candidates, upright or rotated, and the queries of RT-DETR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from models.adapter import ModelSpec
from models.adapters.detector import MAX_BOXES, SIDES, Detections, Detector
from models.families.ultralytics.heads import Queries, reader
from models.families.ultralytics.layers import NumberedLayers
from models.geometry import Geometry, ModelInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.adapter import Prediction


class YoloDetector(NumberedLayers, Detector):
    """A module from float32 (B, 3, h, w), 0..1, to `Detections`."""

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        from ultralytics.nn.modules.head import YOLOEDetect

        self._head = module.model[-1]
        super().__init__(spec, module, labels, weights_sha256)
        self._head.forward = reader(self._head)
        self._stride = max(int(module.stride.max()), 32)
        size = int(np.max((getattr(module, "args", None) or {}).get("imgsz", 640)))
        self._size = -(-size // self._stride) * self._stride
        if getattr(self._head, "proto", None) is not None:
            self.parts = ("class", "contrast", "box", *SIDES, "mask", "all")
        self.nms = not getattr(self._head, "end2end", False)
        # The strongest pairs of a candidate and a class are shown where nothing is suppressed.
        self.multi_label = not self.nms
        # As `predict` of a YOLOE does: words of an open vocabulary often mean the same thing.
        self.multi_class_nms = not isinstance(self._head, YOLOEDetect)

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        from ultralytics.data.augment import LetterBox

        self.check_preprocessing(preprocessing)
        squash = self._squashes(preprocessing)
        auto = preprocessing == "trained" and not squash
        box = LetterBox(self._size, auto=auto, scale_fill=squash, stride=self._stride)
        placed = np.asarray(box(image=pixels))
        (height, width), (h, w) = pixels.shape[:2], placed.shape[:2]
        ratio = min(self._size / height, self._size / width)
        inner = (h, w) if squash else (max(round(height * ratio), 1), max(round(width * ratio), 1))
        # An odd pixel of bar goes to the bottom or the right.
        offset = (float((h - inner[0]) // 2), float((w - inner[1]) // 2))
        geometry = Geometry((height, width), (h, w), (inner[0] / height, inner[1] / width), offset)
        tensor = torch.from_numpy(np.ascontiguousarray(placed.transpose(2, 0, 1))).float().div_(255)
        return ModelInput(tensor.unsqueeze(0), geometry)

    def _squashes(self, preprocessing: str) -> bool:
        return preprocessing == "squash"

    def run(self, tensor: Tensor) -> Detections:
        found: Detections = self.module(tensor)
        return found

    def kept(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        from ultralytics.utils.nms import non_max_suppression

        scores = outputs.scores[:1]  # (1, K, N)
        if not self.nms:
            return _strongest_pairs(scores[0], self._head if self.multi_class_nms else None, confidence)
        # The library's suppression reads many single numbers, each of which would make a GPU wait.
        found = torch.cat(self._rows(outputs, scores), 1).cpu()
        (rows,), (anchors,) = non_max_suppression(
            found,
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
        """Return the first picture's input of the library's suppression, (1, C, N) each: boxes, scores and angles."""
        from ultralytics.utils.ops import xyxy2xywh

        return xyxy2xywh(outputs.boxes[:1].detach().float()).transpose(1, 2), scores


class TurnedDetector(YoloDetector):
    """An OBB model: `box` of a prediction is the upright rectangle around its corners."""

    def _rows(self, outputs: Detections, scores: Tensor) -> tuple[Tensor, ...]:
        assert outputs.corners_of is not None
        corners = outputs.corners_of(tuple(level[:1] for level in outputs.regressions)).detach().float()
        turned = _xywhr(corners).transpose(1, 2)  # (1, 5, N)
        return turned[:, :4], scores, turned[:, 4:]

    def overlap(self, a: Prediction, b: Prediction) -> float:
        from ultralytics.utils.metrics import batch_probiou

        one, other = (_xywhr(torch.tensor([prediction.corners])) for prediction in (a, b))
        return float(batch_probiou(one, other))


class RtDetr(YoloDetector):
    """RT-DETR, also within a YOLO: queries that are shown as they come, on a picture squeezed to a square."""

    preprocessings = ("trained", "letterbox")
    parts = ("class", "contrast", "box", *SIDES, "all")

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        super().__init__(spec, module, labels, weights_sha256)
        self.nms, self.multi_label = False, True

    def _squashes(self, preprocessing: str) -> bool:
        return preprocessing == "trained"

    def run(self, tensor: Tensor) -> Detections:
        found: Queries = self.module(tensor)
        return found.detections(tensor.shape[2], tensor.shape[3])

    def kept(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        pairs = outputs.scores[0].t().flatten()  # (N * K,)
        best = pairs.topk(min(MAX_BOXES, len(pairs)))
        shown = best.indices[best.values > confidence]
        count = outputs.scores.shape[1]
        return shown // count, shown % count


def _strongest_pairs(scores: Tensor, head: Any, confidence: float) -> tuple[Tensor, Tensor]:
    """Return candidates and classes, long (n,) each, as an end-to-end head picks them from (K, N)."""
    if head is None:
        values, classes = scores.max(0)
        best = values.topk(min(MAX_BOXES, len(values)))
        shown = best.indices[best.values > confidence]
        return shown, classes[shown]
    best, classes, anchors = head.get_topk_index(scores.t()[None], MAX_BOXES)
    kept = best[0, :, 0] > confidence
    return anchors[0, kept].flatten(), classes[0, kept].flatten().long()


def _xywhr(corners: Tensor) -> Tensor:
    """Return (..., 5) centre, sides and angle of rectangles (..., 4, 2) in Ultralytics' order of corners."""
    centre = corners.mean(-2)
    along = (corners[..., 0, :] + corners[..., 1, :]) / 2 - centre
    across = (corners[..., 0, :] - corners[..., 1, :]) / 2
    sides = torch.stack((2 * along.norm(dim=-1), 2 * across.norm(dim=-1)), -1)
    return torch.cat((centre, sides, torch.atan2(along[..., 1], along[..., 0])[..., None]), -1)
