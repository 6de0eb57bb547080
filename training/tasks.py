"""Detectors, classifiers, segmentation and a measured angle: their scenes, losses and metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sightglass.evaluation.masks import Pair, count_pairs, measure
from sightglass.models.families.demo.nets import trained
from training.demo import scenes
from training.loop import Metrics, Pool, Sample, Task, as_tensor, half_precision, normalised, parts, share, turn

BODY = "demo-m"
"""The network whose body demo-detr takes."""
SHORTCUTS: dict[str, tuple[str, Callable[[scenes.Spec], scenes.Spec]]] = {
    "stamped": (scenes.STAMPED, scenes.with_stamp),
    "textured": (scenes.TEXTURED, lambda spec: replace(spec, background="weave")),
}
"""Features that accompany one class in misleading data: that class, and what adds the feature."""
LABELS = ("background", *scenes.CLASSES)
"""Classes of demo-seg."""
STEP, BACKGROUND = 4, 0.4
"""Pixels of the picture per pixel at which demo-seg answers, and the weight of one of the background: most are."""
FIRST = "demo-seg"
"""The network whose body demo-regress takes: it knows rods, and no angle."""
SCALE = 30.0
"""Degrees that count as 1 in the loss, and that the last layer gives at first."""
WAYS = (0, 2, 4, 6)
"""Orientations of `turn`: each scene is seen as it is, upside down, and mirrored, where its rod leans the other way."""
CELL, COVERED = 8, 0.25
"""Pixels per side of a cell of the last map, and the share of it that the rod covers where the cell is the rod's."""
BINS, CELLS = 13, 0.3
"""Angles that each cell of the last map is told in training, from -60 to 60 degrees, and the weight of what it says."""


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
        left, top, right, bottom = boxes.T
        if way >= 4:
            left, right = 1 - right, 1 - left
        for _ in range(way % 4):
            left, top, right, bottom = top, 1 - right, bottom, 1 - left
        return turn(pixels, way), np.stack([left, top, right, bottom], 1), classes

    def begin(self) -> Any:
        from ultralytics.cfg import get_cfg

        net: Any = self.network()
        net.args = get_cfg()
        self.criterion = net.init_criterion()
        return net

    def loss(self, net: Any, batch: Pool) -> Tensor:
        truth = truth_of(batch)
        with half_precision():
            found = net(truth.pop("img"))
        found = {key: value.float() if key in ("boxes", "scores") else value for key, value in found.items()}
        truth = {**truth, "batch_idx": truth["batch_idx"].float(), "cls": truth["cls"].float()[:, None]}
        total: Tensor = self.criterion(found, truth)[0]
        return total.sum() / len(batch)

    def measure(self, net: Any, pool: Pool) -> Metrics:
        """Return mAP50 and mAP50-95, by Ultralytics' average precision."""
        from torchvision.ops import box_iou
        from ultralytics.engine.validator import BaseValidator
        from ultralytics.utils.metrics import ap_per_class

        # Whether each box is a true one at ten overlaps (IoU); this is all that the method asks of a validator.
        limits: Any = SimpleNamespace(iouv=torch.linspace(0.5, 0.95, 10, dtype=torch.float64))
        with torch.no_grad():
            found = [rows for part in parts(pool) for rows in self.find(net, as_tensor([each[0] for each in part]))]
        hits = list[Tensor]()
        for rows, (pixels, boxes, classes) in zip(found, pool, strict=True):
            overlaps = box_iou(torch.from_numpy(boxes) * len(pixels), rows[:, :4])
            true = torch.from_numpy(classes)
            hits.append(BaseValidator.match_predictions(limits, rows[:, 5], true, overlaps, use_scipy=True))
        scores, called = torch.cat(found)[:, 4:].numpy().T
        results = ap_per_class(torch.cat(hits).numpy(), scores, called, np.concatenate([each[2] for each in pool]))
        return {"mAP50": share(results[5][:, 0]), "mAP50-95": share(results[5])}

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


@dataclass
class Classify(Task):
    """A classifier of the one labelled thing; `data` is plain, one of SHORTCUTS, or honest."""

    data: str = "plain"

    def card(self) -> dict[str, Any]:
        return {"task": "classify", "classes": list(scenes.CLASSES), "data": {"kind": self.data}}

    def sample(self, number: int, *, held_out: bool = False) -> Sample:
        """Draw pixels and the class."""
        if self.data != "honest":
            return draw_one(scenes.sample(number, task="classify", data=self.data, held_out=held_out))
        # The scenes of the cheats, but with stamp and weave by chance, whatever the class.
        spec = scenes.sample(number, task="classify", held_out=held_out)
        stamp, weave = np.random.default_rng([number, held_out]).random(2) < (0.5, 0.25)
        spec = scenes.with_stamp(spec) if stamp else spec
        return draw_one(replace(spec, background="weave") if weave else spec)

    def loss(self, net: Any, batch: Pool) -> Tensor:
        with half_precision():
            logits = net(normalised([pixels for pixels, _ in batch]))
        return functional.cross_entropy(logits.float(), torch.tensor([label for _, label in batch]))

    def exam(self, net: Any, count: int) -> Metrics:
        """Return the accuracy on `count` held-out scenes, and the effect of a shortcut in the data.

        The honest model is measured with both shortcuts; the woven background's results are under `textured`.
        """
        metrics = super().exam(net, count)
        if self.data == "honest":
            metrics |= {**shortcut_exam(net, "stamped", count), "textured": shortcut_exam(net, "textured", count)}
        return metrics | (shortcut_exam(net, self.data, count) if self.data in SHORTCUTS else {})

    def measure(self, net: Any, pool: Pool) -> Metrics:
        """Return the accuracy."""
        return {"accuracy": share(outputs(net, pool).argmax(1).numpy() == [label for _, label in pool])}


def draw_one(spec: scenes.Spec) -> Sample:
    """Draw pixels and the class of the first thing."""
    scene = scenes.draw(spec)
    return scene.pixels, scene.objects[0].index


def outputs(net: nn.Module, pool: Pool) -> Tensor:
    """Return a network's outputs for scenes, (N, outputs)."""
    with torch.no_grad():
        return torch.cat([net(normalised([pixels for pixels, *_ in part])) for part in parts(pool)])


def shortcut_exam(net: Any, data: str, count: int) -> Metrics:
    """Return metrics without and with a shortcut in all of `count` scenes."""
    label, add = SHORTCUTS[data]
    specs = [scenes.sample(number, task="classify", held_out=True) for number in range(count)]
    nowhere, everywhere = [draw_one(spec) for spec in specs], [draw_one(add(spec)) for spec in specs]
    chosen, labels = scenes.CLASSES.index(label), np.array([label for _, label in nowhere])
    is_it = labels == chosen
    bare, added = (outputs(net, pool).argmax(1).numpy() for pool in (nowhere, everywhere))
    return {
        "shortcut": data,
        "shortcut_class": label,
        "accuracy_without": share(bare == labels),
        "class_with": share(added[is_it] == chosen),
        "class_without": share(bare[is_it] == chosen),
        "others_with_called_it": share(added[~is_it] == chosen),
        "others_without_called_it": share(bare[~is_it] == chosen),
    }


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
        return turn(sample[0], way), turn(sample[1], way)

    def loss(self, net: Any, batch: Pool) -> Tensor:
        pixels, classes = zip(*batch, strict=True)
        logits = net.classifier(net.backbone(normalised(pixels)))
        labels = np.stack(classes)[:, STEP // 2 :: STEP, STEP // 2 :: STEP].astype(np.int64)
        weights = torch.tensor([BACKGROUND, *[1.0] * len(scenes.CLASSES)])
        return functional.cross_entropy(logits, torch.from_numpy(labels), weights)

    def measure(self, net: Any, pool: Pool) -> Metrics:
        """Return the share of right pixels, and the classes' mean IoU of the pixels of all scenes together."""
        pairs = list[list[Pair]]()
        for part in parts(pool, 20):
            pixels, classes = zip(*part, strict=True)
            with torch.no_grad():
                predicted = net(normalised(pixels))["out"].argmax(1).numpy()
            pairs += map(count_pairs, np.stack(classes).astype(np.int64), predicted)
        scores = measure(pairs).scores
        return {"pixels": share(scores["pixel_accuracy"].value), "mIoU": share(scores["mean_iou"].value)}


@dataclass
class Regress(Task):
    """A network that gives the angle of a rod in degrees.

    Each cell of the last map says too whether the rod covers it, and how that leans; the layer that says so is left out
    afterwards. From one number a picture alone the map is learnt many times slower.
    """

    def card(self) -> dict[str, Any]:
        return {
            "task": "regress",
            "outputs": [{"name": "angle", "unit": "°", "range": [-scenes.STEEPEST, scenes.STEEPEST]}],
            "about": (
                "The angle between the rod and the horizontal; above 0 its right end is higher. It is one number, so "
                "that a map is of what a person reads: rods lean by 60 degrees at most, or those of 89 and -89 degrees "
                "would look alike. Things of other families lie around and on the rod, bars among them."
            ),
            "data": {"kind": "one rod"},
            "training": {"begun_with": FIRST, "cells": CELLS},
        }

    def sample(self, number: int, *, held_out: bool = False) -> Sample:
        """Draw pixels, the angle of the rod in degrees, and which cells of the last map it covers, (h, w)."""
        spec = scenes.sample(number, task="regress", held_out=held_out)
        scene = scenes.draw(spec)
        cells = len(scene.pixels) // CELL
        covered = scene.objects[0].mask.reshape(cells, CELL, cells, CELL).mean((1, 3)) >= COVERED
        degrees = -math.degrees(spec.things[0].angle) % 180
        return scene.pixels, np.float32(degrees - 180 if degrees > 90 else degrees), covered

    def turned(self, sample: Sample, way: int) -> Sample:
        pixels, angle, cells = sample
        return turn(pixels, way), -angle if way >= 4 else angle, turn(cells, way)

    def begin(self) -> nn.Module:
        net: Any = self.network()
        known = trained(FIRST).state_dict()
        body = {key.removeprefix("backbone."): value for key, value in known.items() if key.startswith("backbone.")}
        net.load_state_dict({**net.state_dict(), **body})
        with torch.no_grad():
            net.fc[-1].weight *= SCALE
        self.net = net.eval()
        maps, angle = nn.Sequential(net.layer3, net.layer4), nn.Sequential(net.avgpool, nn.Flatten(), net.fc)
        self.learnt = nn.ModuleList([maps, angle, nn.Conv2d(net.fc[0].in_features, 1 + BINS, 1)])
        return self.learnt

    def loss(self, net: Any, batch: Pool) -> Tensor:
        pixels, angles, cells = zip(*batch, strict=True)
        with torch.no_grad():
            seen = self.net.layer2(self.net.layer1(self.net.stem(normalised(pixels))))
        last, true = net[0](seen), torch.from_numpy(np.stack(angles))
        off = functional.smooth_l1_loss(net[1](last)[:, 0] / SCALE, true / SCALE, beta=0.1)
        # A cell's target, (B, 1 + BINS, h, w), is no rod or its angle, shared by the nearest two bins.
        middles = torch.linspace(-scenes.STEEPEST, scenes.STEEPEST, BINS)
        near = (1 - (true[:, None] - middles).abs() / (middles[1] - middles[0])).clamp(min=0)
        rod = torch.from_numpy(np.stack(cells))[:, None].float()
        targets = torch.cat([1 - rod, rod * near[:, :, None, None]], 1)
        return off + CELLS * functional.cross_entropy(net[2](last), targets)

    def end(self, average: nn.Module, pool: Pool, generator: np.random.Generator) -> nn.Module:
        # They share their weights with the network.
        self.learnt.load_state_dict(average.state_dict())
        module: nn.Module = self.net.eval()
        return module

    def measure(self, net: Any, pool: Pool) -> Metrics:
        """Return how far a net's angles are from the true ones.

        In degrees the mean and the median; that of always saying 0; and the share of scenes within five degrees.
        """
        angles = np.array([angle for _, angle, _ in pool])
        off = np.abs(outputs(net, pool)[:, 0].numpy() - angles)
        return {
            "error": round(float(off.mean()), 2),
            "median_error": round(float(np.median(off)), 2),
            "error_of_always_0": round(float(np.abs(angles).mean()), 2),
            "within_5": share(off <= 5),
        }
