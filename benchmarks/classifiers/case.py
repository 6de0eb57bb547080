"""One model and one picture, on one device, as every contender meets them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from common.errors import ModelProblem
from common.packaged import photograph
from explain.evidence.layers import find
from explain.evidence.resident import Residency, Resident
from explain.picture.image import Image
from models.adapter import Target
from models.catalog import available, spec
from models.geometry import ModelInput
from models.load import load

if TYPE_CHECKING:
    from torch import Tensor, nn

    from explain.progress import Progress
    from models.adapter import Adapter, Layer, ModelSpec

MODELS = ("resnet18", "resnet50", "efficientnet_b0", "efficientnet-lite0")
WEIGHED = ("resnet18", "efficientnet-lite0")
"""For memory: 300 calls of a slow peer on a large model take very long."""
SEED = 0


def picture() -> Path:
    """A street with a bus, 810x1080, that the Ultralytics package carries."""
    path = photograph("bus")
    if path is None:
        raise ModelProblem("The picture of the benchmarks is in the package ultralytics: install it or name another.")
    return path


def adapter(model: str) -> tuple[Adapter, str]:
    """A classifier of the catalogue with its trained weights, else with seeded ones; and which: `real` or `random`."""
    row = spec(model)
    if row.task != "classify":
        raise ModelProblem(f"{model} is no classifier: the peers are compared on classifiers.")
    if available(row):
        return load(row), "real"
    return load(replace(row, weights={"random": SEED})), "random"


class _One(Residency):
    """A residency that gives out one model, so that an Explainer takes the case's own."""

    def __init__(self, resident: Resident) -> None:
        super().__init__()
        self._resident = resident

    def get(self, spec: ModelSpec, device: torch.device, progress: Progress | None = None) -> Resident:
        return self._resident

    def residents(self) -> list[Resident]:
        return [self._resident]


@dataclass(frozen=True, eq=False)
class Case:
    """What is explained: the model's best classes for the picture, at the model's default layer."""

    path: Path
    image: Image
    device: torch.device
    resident: Resident
    weights: str
    """`real` or `random`."""
    given: ModelInput
    """Already on the device."""
    layer: Layer
    targets: tuple[Target, ...]
    other: Target
    """The next best class, that nobody has asked for yet."""

    @classmethod
    def build(cls, model: str, path: Path, device: torch.device, classes: int) -> Case:
        made, weights = adapter(model)
        resident = Resident(made, device)
        (layer,) = find(resident.layers[0], resident.default_layers, made.module)
        image = Image.open(path)
        given = made.prepare(image.pixels, made.preprocessings[0])
        given = ModelInput(given.tensor.to(device), given.geometry)
        with torch.no_grad():
            best = made.run(resident.place(given.tensor)).logits[0].topk(classes + 1).indices.tolist()
        *targets, other = (Target(index, made.labels[index]) for index in best)
        return cls(path, image, device, resident, weights, given, layer, tuple(targets), other)

    @property
    def indices(self) -> tuple[int, ...]:
        return tuple(target.index for target in self.targets if target.index is not None)

    @property
    def tensor(self) -> Tensor:
        return self.given.tensor

    @property
    def residency(self) -> Residency:
        return _One(self.resident)

    def module(self) -> nn.Module:
        """The model as its library's users have it: in eval mode, contiguous, parameters that want gradients.

        Fresh every time: hooks and gradients of one contender are nothing to the others.
        """
        adapter = self.resident.adapter
        arch, classes = adapter.spec.arch, len(adapter.labels)
        if adapter.spec.loader == "torchvision.classifiers":
            from models.families.torchvision.networks import build

            module = build(arch, classes=classes)
        else:
            import timm

            module = timm.create_model(arch, num_classes=classes)
        shapes = {name: held.shape for name, held in module.state_dict().items()}
        # Ours may have zeros before a kernel's own numbers.
        given = {
            name: held[tuple(slice(-side, None) for side in shapes.get(name, held.shape))] if held.ndim else held
            for name, held in adapter.module.state_dict().items()
        }
        module.load_state_dict(given)
        return module.eval().to(self.device)
