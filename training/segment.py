"""Train demo-seg, a segmentation network, on the exact masks of drawn scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from training.demo import scenes
from training.loop import Task, normalised, parts, share, turned

if TYPE_CHECKING:
    from torch import Tensor

    from training.loop import Metrics, Pool, Sample

LABELS = ("background", *scenes.CLASSES)
STEP = 4
"""Pixels of the picture per pixel at which the network answers."""
BACKGROUND = 0.4
"""Weight of a pixel of the background: most are."""


@dataclass
class Segment(Task):
    """A segmentation network. It learns at a quarter of the side, where its head answers: enlarging costs much."""

    def card(self) -> dict[str, Any]:
        training = {"background": BACKGROUND}
        return {"task": "segment", "classes": list(LABELS), "data": {"kind": "plain"}, "training": training}

    def sample(self, number: int, *, held_out: bool = False) -> Sample:
        """Draw pixels and their classes, uint8 (side, side): 0 background, else index + 1."""
        scene = scenes.draw(scenes.sample(number, task="segment", held_out=held_out))
        classes = np.zeros(scene.background.shape, np.uint8)
        for thing in scene.objects:
            classes[thing.mask] = 1 + thing.index
        return scene.pixels, classes

    def turned(self, sample: Sample, way: int) -> Sample:
        return turned(sample[0], way), turned(sample[1], way)

    def loss(self, net: Any, batch: Pool) -> Tensor:
        pixels, classes = zip(*batch, strict=True)
        logits = net.classifier(net.backbone(normalised(pixels)))
        labels = np.stack(classes)[:, STEP // 2 :: STEP, STEP // 2 :: STEP].astype(np.int64)
        weights = torch.ones(len(LABELS))
        weights[0] = BACKGROUND
        return functional.cross_entropy(logits, torch.from_numpy(labels), weights)

    def measure(self, net: Any, pool: Pool) -> Metrics:
        """Return the share of right pixels, and of each class the IoU of its pixels in all scenes together."""
        pairs = np.zeros((len(LABELS), len(LABELS)), np.int64)
        for part in parts(pool, 20):
            pixels, classes = zip(*part, strict=True)
            with torch.no_grad():
                predicted = net(normalised(pixels))["out"].argmax(1).numpy()
            both = np.stack(classes).astype(np.int64) * len(LABELS) + predicted
            pairs += np.bincount(both.ravel(), minlength=pairs.size).reshape(pairs.shape)
        shared = pairs.diagonal()
        iou = shared / np.maximum(pairs.sum(0) + pairs.sum(1) - shared, 1)
        return {
            "pixels": share(shared.sum() / pairs.sum()),
            "mIoU": share(iou),
            "IoU_per_class": {label: share(value) for label, value in zip(LABELS, iou, strict=True)},
        }
