"""Load torchvision's detectors by their names there (https://github.com/pytorch/vision, BSD-3-Clause).

Each runs by its own modules, up to the logits and the numbers that boxes are decoded from; torchvision's postprocessing
is repeated here, so that each box keeps its candidate.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.ssd import SSD

from sightglass.models import labels
from sightglass.models.adapter import Progress
from sightglass.models.checkpoints import checkpoint, state_dicts
from sightglass.models.families.torchvision.detector import (
    FcosDetector,
    RetinaNetDetector,
    SsdDetector,
    TorchvisionDetector,
    TwoStage,
)
from sightglass.models.families.torchvision.networks import build_dense, default_weights, load_published
from sightglass.models.spec import ModelSpec


def load(spec: ModelSpec, progress: Progress | None = None) -> TorchvisionDetector:
    """Build the model on the CPU with torchvision's COCO weights, or an operator's own state dict and labels.

    Raises ModelProblem for an architecture that torchvision has not, WeightsProblem where the file does not fit it.
    """
    default = default_weights(spec.arch, "detector")
    class_names = labels.own(spec)
    # Class 0 is the background; COCO's own numbers have gaps.
    named = dict(enumerate(class_names, 1)) if class_names else labels.coco()
    count = len(class_names) + 1 if class_names else len(default.meta["categories"])

    def read(path: Path) -> nn.Module:
        module, tensors = build_dense(spec.arch, classes=count), checkpoint.read(path)
        # Frozen norms count no batches; torch fills that in here.
        frozen = not any(name.endswith(".num_batches_tracked") for name in tensors)
        state_dicts.put(path, tensors, module, f"{spec.arch} with {count - 1} classes and the background")
        if frozen and spec.arch in ("fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn"):
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eps = 0.0
        return module

    module, sha256 = checkpoint.module_of(
        load_published(spec, default), progress, lambda: build_dense(spec.arch, classes=count), read
    )
    return adapt(spec, module, named, sha256)


def adapt(spec: ModelSpec, module: Any, named: Mapping[int, str], weights_sha256: str) -> TorchvisionDetector:
    """Adapt a torchvision detector; `named` are its classes, by their numbers there."""
    kinds = {FasterRCNN: TwoStage, RetinaNet: RetinaNetDetector, FCOS: FcosDetector, SSD: SsdDetector}
    for part in module.modules():
        if getattr(part, "inplace", None) is True:
            part.inplace = False
    return kinds[type(module)](spec, module, named, weights_sha256)
