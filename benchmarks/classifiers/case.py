"""One classifier and one picture, the same for every contender."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmarks import case
from benchmarks.case import seeded
from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.layers import find
from sightglass.explain.evidence.resident import Residency, Resident
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Target
from sightglass.models.catalog import spec
from sightglass.models.geometry import ModelInput
from sightglass.models.load import load

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from sightglass.common.work.progress import Progress
    from sightglass.models.layers import Layer
    from sightglass.models.spec import ModelSpec

MODELS = ("resnet18", "resnet50", "efficientnet_b0", "efficientnet-lite0")
WEIGHED = ("resnet18", "efficientnet-lite0")
"""For memory: 300 calls of a slow peer on a large model take very long."""


class _One(Residency):
    """A residency with a single model, so that an Explainer takes the case's own."""

    def __init__(self, resident: Resident) -> None:
        super().__init__()
        self._resident = resident

    def get(self, spec: ModelSpec, device: torch.device, progress: Progress | None = None) -> Resident:
        return self._resident

    def residents(self) -> list[Resident]:
        return [self._resident]


@dataclass(frozen=True, eq=False)
class Case(case.Case):
    """What is explained: the model's best classes for the picture, at the model's default layer."""

    other: Target
    """The next best class, which no contender explains before."""

    @classmethod
    def build(cls, model: str, path: Path, device: torch.device, classes: int) -> Case:
        row, weights = seeded(spec(model))
        if row.task != "classify":
            raise ModelProblem(f"{model} is no classifier: the peers are compared on classifiers.")
        made, image = load(row), Image.open(path)
        resident = Resident(made, device)
        layers = find(resident, resident.default_layers)
        given = made.prepare(image.pixels, made.preprocessings[0])
        given = ModelInput(given.tensor.to(device), given.geometry)
        with torch.no_grad():
            best = made.run(resident.move_input(given.tensor)).logits[0].topk(classes + 1).indices.tolist()
        *targets, other = (Target(index, made.labels[index]) for index in best)
        return cls(path, image, resident, weights, given, layers, tuple(targets), other)

    @property
    def layer(self) -> Layer:
        (only,) = self.layers
        return only

    @property
    def indices(self) -> tuple[int, ...]:
        return tuple(target.index for target in self.targets if target.index is not None)

    @property
    def residency(self) -> Residency:
        return _One(self.resident)

    def module(self) -> nn.Module:
        """Return the model as its library's users have it: in eval mode, contiguous, parameters that need gradients.

        New every time: hooks and gradients of one contender do not affect the others.
        """
        adapter = self.resident.adapter
        arch, classes = adapter.spec.arch, len(adapter.labels)
        if adapter.spec.loader == "torchvision.classifiers":
            from sightglass.models.families.torchvision.networks import build

            module = build(arch, classes=classes)
        else:
            import timm

            module = timm.create_model(arch, num_classes=classes)
        shapes = {name: own.shape for name, own in module.state_dict().items()}
        # Ours may have zeros before a kernel's own numbers.
        given = {
            name: values[tuple(slice(-side, None) for side in shapes.get(name, values.shape))]
            if values.ndim
            else values
            for name, values in adapter.module.state_dict().items()
        }
        module.load_state_dict(given)
        return module.eval().to(self.device)
