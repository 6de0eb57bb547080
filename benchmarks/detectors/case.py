"""One detector and one picture, the same for every contender."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.case import Case, seeded
from benchmarks.timing import SEED
from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.layers import find
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Target
from sightglass.models.adapters.detector import Detector
from sightglass.models.catalog import spec
from sightglass.models.checkpoints.weights import locate
from sightglass.models.families.ultralytics.detectors import CAM_SCRIPTS
from sightglass.models.families.yolox import NECK
from sightglass.models.load import load
from sightglass.models.spec import PreprocessingTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from sightglass.models.spec import ModelSpec

SIZE = 640
"""Pixels of the input's longer side, of every model: YOLOX nano's own is 416."""
TWINS = {"yolo11s": "yolo11n", "yolox_s": "yolox_nano"}
"""Sizes whose weights may be missing, and the trained one whose boxes are taken: the candidates are numbered alike."""
WEAK = 0.01
"""Confidence from which a box may be among the ten: there are not always ten sure ones."""


@dataclass(frozen=True, eq=False)
class DetectorCase(Case):
    """The strongest boxes of a picture, one target a box, strongest first, and the layers to explain them at."""

    scales: tuple[str, ...]
    """On which scale each box was found, P3 to P5."""
    group: Target
    """All of them that are of the commonest class."""

    @classmethod
    def build(cls, model: str, path: Path, count: int) -> DetectorCase:
        row, weights = _row(model)
        adapter = load(row)
        if not isinstance(adapter, Detector):
            raise ModelProblem(f"{model} is no detector.")
        resident, image = Resident(adapter, torch.device("cpu")), Image.open(path)
        given = adapter.prepare(image.pixels, adapter.preprocessings[0])
        paths = tuple(NECK.values()) if _yolox(row) else tuple(f"model.{index}" for index in CAM_SCRIPTS)
        if weights == "random":
            like = cls.build(TWINS[model], path, count)
            boxes, scales = like.targets, like.scales
        else:
            with torch.no_grad():
                outputs = adapter.run(resident.move_input(given.tensor))
            anchors, classes = adapter.select_boxes(outputs, WEAK, 0.7)
            pairs = list(zip(anchors.tolist(), classes.tolist(), strict=True))[:count]
            boxes = tuple(Target(index, adapter.labels[index], (anchor,)) for anchor, index in pairs)
            scales = tuple(scale(outputs.levels, anchor) for anchor, _ in pairs)
        commonest = statistics.mode(box.index for box in boxes)
        mine = [box for box in boxes if box.index == commonest]
        group = replace(mine[0], anchors=tuple(anchor for box in mine for anchor in box.anchors))
        layers = find(resident, paths)
        return cls(path, image, resident, weights, given, layers, boxes, scales, group)

    @property
    def adapter(self) -> Detector:
        adapter: Any = self.resident.adapter
        found: Detector = adapter
        return found

    @property
    def yolox(self) -> bool:
        return _yolox(self.adapter.spec)

    def file(self) -> Path:
        return locate(self.adapter.spec)

    def module(self) -> nn.Module:
        """Return a new network as its own library runs it: Ultralytics' fused, libreyolo's YOLOX as it is."""
        row = self.adapter.spec
        if self.yolox:
            from libreyolo.models.yolox.nn import LibreYOLOXModel

            from sightglass.models.checkpoints import checkpoint
            from sightglass.models.families.yolox import build_untrained as untrained_yolox

            made: nn.Module = LibreYOLOXModel(row.arch.removeprefix("yolox_")[0])
            random = self.weights == "random"
            made.load_state_dict(
                untrained_yolox(row.arch, SEED).state_dict() if random else checkpoint.read(self.file())
            )
            return made.eval().requires_grad_(False)
        from sightglass.models.families.ultralytics.loader import build_untrained, import_quietly

        import_quietly()
        from ultralytics import YOLO

        built: Any = build_untrained(row.arch, SEED) if self.weights == "random" else YOLO(str(self.file())).model
        fused: nn.Module = built.eval().fuse(verbose=False)
        return fused.requires_grad_(False)


def _yolox(row: ModelSpec) -> bool:
    return row.loader == "yolox"


def _row(model: str) -> tuple[ModelSpec, str]:
    """Return a row of the catalogue at the benchmark's size, and whether its weights are `real` or `random`."""
    row, weights = seeded(spec(model))
    if weights == "random" and model not in TWINS:
        raise ModelProblem(f"The weights of {model} are not on this machine: SIGHTGLASS_WEIGHTS names their folder.")
    if weights == "real" and _yolox(row):
        row = row.with_weights(preprocessing=PreprocessingTable(size=SIZE))
    return row, weights


def level(levels: Sequence[Tensor], anchor: int) -> int:
    """Return which of the scales a candidate is on, 0 the finest."""
    start = 0
    for number, one in enumerate(levels):
        start += one.shape[2] * one.shape[3]
        if anchor < start:
            return number
    raise ValueError(f"There is no candidate {anchor}: this input has {start}.")


def scale(levels: Sequence[Tensor], anchor: int) -> str:
    """Return the name of a candidate's scale, of three whose finest has a stride of 8."""
    return f"P{3 + level(levels, anchor)}"
