"""One model and one picture, the same for every contender."""

from __future__ import annotations

import statistics
from bisect import bisect
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.timing import CPU, SEED
from sightglass.common.errors import ModelProblem
from sightglass.common.packaged import photograph
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.maps.heatmap import scale_maps
from sightglass.explain.methods import METHODS
from sightglass.explain.methods.gradient import compute
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Target
from sightglass.models.adapters.detector import Detector
from sightglass.models.catalog import available, spec
from sightglass.models.checkpoints.weights import locate
from sightglass.models.families.ultralytics.detectors import CAM_SCRIPTS
from sightglass.models.families.yolox import NECK
from sightglass.models.geometry import ModelInput
from sightglass.models.load import load
from sightglass.models.spec import PreprocessingTable, WeightsTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from sightglass.explain.methods.method import Method
    from sightglass.models.layers import Layer

FAST = tuple(method for method in METHODS.values() if method.compute_name)
"""The methods that are functions of Evidence."""
SIZE = 640
"""Pixels of the input's longer side, of every detector: YOLOX nano's own is 416."""
WEAK = 0.01
"""Confidence from which a box may be among the ten: there are not always ten sure ones."""


def picture() -> Path:
    """Return a street with a bus, 810x1080, from the Ultralytics package."""
    path = photograph("bus")
    if path is None:
        raise ModelProblem("The picture of the benchmarks is in the package ultralytics: install it or name another.")
    return path


@dataclass(frozen=True, eq=False)
class Case:
    """What is explained: some targets in a picture, at some layers."""

    path: Path
    image: Image
    loaded: LoadedModel
    weights: str
    """`real` or `random`."""
    model_input: ModelInput
    """The picture as the model takes it, on the device."""
    layers: tuple[Layer, ...]
    targets: tuple[Target, ...]

    @property
    def device(self) -> torch.device:
        return self.loaded.device

    @property
    def tensor(self) -> Tensor:
        return self.model_input.tensor

    def evidence(self) -> Evidence:
        return Evidence(self.loaded, self.model_input, self.layers)

    def maps(self, methods: Sequence[Method], targets: Sequence[Target] | None = None) -> list[Tensor]:
        """Return each method's maps (k, h, w), 0..1, from one pass."""
        return maps_of(self.evidence(), self.targets if targets is None else targets, methods)


def raws_of(evidence: Evidence, targets: Sequence[Target], methods: Sequence[Method]) -> list[list[Tensor]]:
    """Return the maps on the layers' own grids for each method."""
    compute(evidence, methods, targets)
    return [[*method.run(evidence, targets).maps] for method in methods]


def maps_of(evidence: Evidence, targets: Sequence[Target], methods: Sequence[Method]) -> list[Tensor]:
    """Return each method's maps (k, h, w), 0..1, at input size."""
    return [
        scale_maps(raws, evidence.geometry, "own", evidence.paths)[0] for raws in raws_of(evidence, targets, methods)
    ]


@dataclass(frozen=True, eq=False)
class ClassifierCase(Case):
    """What is explained: the model's best classes for the picture, at the model's default layer."""

    other: Target
    """The next best class, which no contender explains before."""

    @classmethod
    def build(cls, model: str, path: Path, device: torch.device, classes: int) -> ClassifierCase:
        row, weights = spec(model), "real"
        if not available(row):
            row, weights = replace(row, weights=WeightsTable(random=SEED)), "random"
        if row.task != "classify":
            raise ModelProblem(f"{model} is no classifier: the peers are compared on classifiers.")
        adapter, image = load(row), Image.open(path)
        loaded = LoadedModel(adapter, device)
        layers = layers_at(loaded, loaded.default_layers)
        prepared = adapter.prepare(image.pixels, adapter.preprocessings[0])
        model_input = ModelInput(prepared.tensor.to(device), prepared.geometry)
        with torch.no_grad():
            best = adapter.run(loaded.move_input(model_input.tensor)).logits[0].topk(classes + 1).indices.tolist()
        *targets, other = (Target(index, adapter.labels[index]) for index in best)
        return cls(path, image, loaded, weights, model_input, layers, tuple(targets), other)

    @property
    def layer(self) -> Layer:
        (only,) = self.layers
        return only

    @property
    def indices(self) -> tuple[int, ...]:
        return tuple(target.index for target in self.targets if target.index is not None)

    def module(self) -> nn.Module:
        """Return the model as used in its library, with gradients.

        New every time: hooks and gradients of one contender do not affect the others.
        """
        adapter = self.loaded.adapter
        arch, classes = adapter.spec.arch, len(adapter.labels)
        if adapter.spec.loader == "torchvision.classifiers":
            from sightglass.models.checkpoints.architectures import build_classifier

            module = build_classifier(arch, classes=classes)
        else:
            import timm

            module = timm.create_model(arch, num_classes=classes)
        shapes = {name: values.shape for name, values in module.state_dict().items()}
        # The adapter's kernels may begin with rows and columns of zeros.
        state = {
            name: values[tuple(slice(-side, None) for side in shapes.get(name, values.shape))]
            if values.ndim
            else values
            for name, values in adapter.module.state_dict().items()
        }
        module.load_state_dict(state)
        return module.eval().to(self.device)


@dataclass(frozen=True, eq=False)
class DetectorCase(Case):
    """The strongest boxes of a picture, one target a box, strongest first, and the layers to explain them at."""

    scales: tuple[str, ...]
    """On which scale each box was found, P3 to P5."""
    group: Target
    """All of them that are of the commonest class."""

    @classmethod
    def build(cls, model: str, path: Path, count: int) -> DetectorCase:
        row = spec(model)
        if not available(row):
            raise ModelProblem(f"The weights of {model} are not on this machine: SIGHTGLASS_WEIGHTS is their folder.")
        yolox = row.loader == "yolox"
        adapter = load(row.with_weights(preprocessing=PreprocessingTable(size=SIZE)) if yolox else row)
        if not isinstance(adapter, Detector):
            raise ModelProblem(f"{model} is no detector.")
        loaded, image = LoadedModel(adapter, CPU), Image.open(path)
        model_input = adapter.prepare(image.pixels, adapter.preprocessings[0])
        paths = NECK if yolox else tuple(f"model.{index}" for index in CAM_SCRIPTS)
        with torch.no_grad():
            outputs = adapter.run(loaded.move_input(model_input.tensor))
        anchors, classes = adapter.select_boxes(outputs, WEAK, 0.7)
        pairs = list(zip(anchors.tolist(), classes.tolist(), strict=True))[:count]
        boxes = tuple(Target(index, adapter.labels[index], (anchor,)) for anchor, index in pairs)
        ends = list(accumulate(scores.shape[2] * scores.shape[3] for scores in outputs.levels))
        scales = tuple(f"P{3 + bisect(ends, anchor)}" for anchor, _ in pairs)
        commonest = statistics.mode(box.index for box in boxes)
        same = [box for box in boxes if box.index == commonest]
        group = replace(same[0], anchors=tuple(anchor for box in same for anchor in box.anchors))
        layers = layers_at(loaded, paths)
        return cls(path, image, loaded, "real", model_input, layers, boxes, scales, group)

    @property
    def adapter(self) -> Detector:
        adapter: Any = self.loaded.adapter
        return adapter

    @property
    def yolox(self) -> bool:
        return self.adapter.spec.loader == "yolox"

    def module(self) -> nn.Module:
        """Return a new network in its library's own form."""
        if self.yolox:
            from libreyolo.models.yolox.nn import LibreYOLOXModel

            from sightglass.models.checkpoints import checkpoint

            module: nn.Module = LibreYOLOXModel(self.adapter.spec.arch.removeprefix("yolox_")[0])
            module.load_state_dict(checkpoint.read(locate(self.adapter.spec)))
            return module.eval().requires_grad_(False)
        from sightglass.models.families.ultralytics.loader import import_quietly

        import_quietly()
        from ultralytics import YOLO

        built: Any = YOLO(str(locate(self.adapter.spec))).model
        fused: nn.Module = built.eval().fuse(verbose=False)
        return fused.requires_grad_(False)
