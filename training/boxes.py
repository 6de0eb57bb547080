"""Train the detectors: demo-s, demo-m and demo-l, and demo-detr, whose boxes are queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sightglass.models.families.demo.nets import trained
from training.demo import scenes
from training.loop import Task, as_tensor, half_precision, parts, turned

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from training.loop import Metrics, Pool, Sample

BODY = "demo-m"
IOUS = np.linspace(0.5, 0.95, 10)


def turned_boxes(boxes: NDArray[np.float32], way: int) -> NDArray[np.float32]:
    """Return boxes (n, 4), xyxy shares, moved as by `turned`."""
    left, top, right, bottom = boxes.T
    if way >= 4:
        left, right = 1 - right, 1 - left
    for _ in range(way % 4):
        left, top, right, bottom = top, 1 - right, bottom, 1 - left
    return np.stack([left, top, right, bottom], 1)


def matched(boxes: Tensor, called: Tensor, true_boxes: Tensor, labels: Tensor) -> NDArray[np.bool_]:
    """Return whether boxes match true ones at each of `IOUS`, (n, 10)."""
    from scipy.optimize import linear_sum_assignment
    from torchvision.ops import box_iou

    overlap = (box_iou(boxes, true_boxes) * (called[:, None] == labels)).numpy()
    hits = np.zeros((len(boxes), len(IOUS)), bool)
    for column, least in enumerate(IOUS):
        pairs = linear_sum_assignment(np.where(overlap >= least, overlap, 0), maximize=True)
        hits[pairs[0], column] = overlap[pairs] >= least
    return hits


@dataclass
class Detect(Task):
    """A YOLO, by Ultralytics' own loss."""

    def card(self) -> dict[str, Any]:
        return {"task": "detect", "classes": list(scenes.CLASSES), "data": {"kind": "plain"}}

    def sample(self, number: int, *, held_out: bool = False) -> Sample:
        """Draw pixels, boxes (n, 4) xyxy as shares of the side, and classes (n,)."""
        scene = scenes.draw(scenes.sample(number, task="detect", held_out=held_out))
        boxes = np.array([thing.box for thing in scene.objects], np.float32).reshape(-1, 4)
        classes = np.array([thing.index for thing in scene.objects], np.int64)
        return scene.pixels, boxes / np.float32(len(scene.pixels)), classes

    def turned(self, sample: Sample, way: int) -> Sample:
        pixels, boxes, classes = sample
        return turned(pixels, way), turned_boxes(boxes, way), classes

    def begin(self) -> Any:
        from ultralytics.cfg import get_cfg

        net: Any = self.network()
        net.args = get_cfg()
        self.criterion = net.init_criterion()
        return net

    def loss(self, net: Any, batch: Pool) -> Tensor:
        truth = truth_of(batch)
        with half_precision():
            outputs = net(truth.pop("img"))
        outputs = {key: value.float() if key in ("boxes", "scores") else value for key, value in outputs.items()}
        truth = {**truth, "batch_idx": truth["batch_idx"].float(), "cls": truth["cls"].float()[:, None]}
        total: Tensor = self.criterion(outputs, truth)[0]
        return total.sum() / len(batch)

    def measure(self, net: Any, pool: Pool) -> Metrics:
        """Return mAP50, mAP50-95 and AP50 of each class, by Ultralytics' average precision."""
        from ultralytics.utils.metrics import ap_per_class

        with torch.no_grad():
            found = [rows for part in parts(pool) for rows in self.find(net, as_tensor([each[0] for each in part]))]
        hits = [
            matched(rows[:, :4], rows[:, 5], torch.from_numpy(boxes) * len(pixels), torch.from_numpy(classes))
            for rows, (pixels, boxes, classes) in zip(found, pool, strict=True)
        ]
        scores, called = torch.cat(found)[:, 4:].numpy().T
        results = ap_per_class(np.concatenate(hits), scores, called, np.concatenate([each[2] for each in pool]))
        ap, seen = results[5], results[6]
        return {
            "mAP50": round(float(ap[:, 0].mean()), 4),
            "mAP50-95": round(float(ap.mean()), 4),
            "AP50_per_class": {
                scenes.CLASSES[index]: round(float(value), 4) for index, value in zip(seen, ap[:, 0], strict=True)
            },
        }

    def find(self, net: Any, pixels: Tensor) -> list[Tensor]:
        """Return each picture's (n, 6): xyxy in pixels, score, class."""
        from ultralytics.utils.nms import non_max_suppression

        # Its default time limit would skip pictures on a busy machine.
        rows: list[Tensor] = non_max_suppression(net(pixels)[0], 0.001, 0.6, max_det=50, max_time_img=60)
        return rows


@dataclass
class DetectByQueries(Detect):
    """An RT-DETR. It begins with the body of demo-m: a decoder alone is learnt in minutes, both together in hours."""

    def card(self) -> dict[str, Any]:
        return {**super().card(), "training": {"begins_with": BODY}}

    def begin(self) -> Any:
        net: Any = self.network()
        body: Any = trained(BODY)
        for layer, trained_layer in zip(net.model[:-1], body.model[:-1], strict=True):
            layer.load_state_dict(trained_layer.state_dict())
        return net

    def loss(self, net: Any, batch: Pool) -> Tensor:
        total: Tensor = net.loss(truth_of(batch))[0]
        return total

    def find(self, net: Any, pixels: Tensor) -> list[Tensor]:
        from ultralytics.utils.ops import xywh2xyxy

        rows = net(pixels)[0]  # (B, n, 6), boxes as shares
        return [*torch.cat((xywh2xyxy(rows[..., :4]) * pixels.shape[-1], rows[..., 4:]), 2)]


def truth_of(batch: Pool) -> dict[str, Tensor]:
    """Return a batch as Ultralytics' losses take it."""
    pixels, boxes, classes = zip(*batch, strict=True)
    corners = torch.from_numpy(np.concatenate(boxes))
    sides = corners[:, 2:] - corners[:, :2]
    return {
        "img": as_tensor(pixels),
        "batch_idx": torch.arange(len(batch)).repeat_interleave(torch.tensor([len(each) for each in boxes])),
        "cls": torch.from_numpy(np.concatenate(classes)),
        "bboxes": torch.cat([corners[:, :2] + sides / 2, sides], 1),
    }
