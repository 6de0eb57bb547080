"""Build and prepare torchvision's classifiers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem, did_you_mean
from sightglass.models.checkpoints import architectures
from sightglass.models.preprocess import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torchvision.models import WeightsEnum

    from sightglass.models.spec import ModelSpec


KINDS = {
    "classifier": ("", ("",)),
    "detector": ("detection", ("fasterrcnn_", "maskrcnn_", "retinanet_", "fcos_", "ssd300_", "ssdlite320_")),
    "segmentation network": ("segmentation", ("fcn_", "deeplabv3_", "lraspp_")),
}
"""Module of torchvision, and beginnings of the names of the architectures that are loaded, by their kind."""


def build(arch: str, *, classes: int = 1000) -> nn.Module:
    """Build a classifier without trained weights."""
    options: dict[str, Any] = {"num_classes": classes}
    if arch.startswith("vit_"):
        options["image_size"] = default_weights(arch).meta["min_size"][0]
    return architectures.build("torchvision", arch, blank=False, **options)


def build_dense(arch: str, *, classes: int) -> nn.Module:
    """Build a detector or segmentation network without trained weights; `classes` counts the background."""
    from torchvision.models import get_model

    module: nn.Module = get_model(arch, weights=None, weights_backbone=None, num_classes=classes)
    return module


def default_weights(arch: str, kind: str = "classifier") -> WeightsEnum:
    """Return the default weights of one of `KINDS`; raise ModelProblem if unknown."""
    import torchvision

    place, beginnings = KINDS[kind]
    known = torchvision.models.list_models(module=getattr(torchvision.models, place) if place else torchvision.models)
    known = [name for name in known if name.startswith(beginnings)]
    if arch not in known:
        hint = did_you_mean(arch, known, "" if kind == "classifier" else f"choose one of {', '.join(known)}.", n=3)
        raise ModelProblem(f"There is no {kind} of torchvision called {arch} here{f': {hint}' if hint else '.'}")
    return torchvision.models.get_model_weights(arch).DEFAULT


def load_published(spec: ModelSpec, default: WeightsEnum) -> ModelSpec:
    """Return the row with torchvision's default address, if it has none."""
    table = spec.weights
    if table.url or table.path or table.file or table.package or spec.untrained:
        return spec
    return spec.with_weights(url=default.url)


def preprocessing_of(weights: WeightsEnum) -> Preprocessing:
    """Return the preset that the weights were tested with."""
    preset: Any = weights.transforms()
    (short, *_), (size, *_) = preset.resize_size, getattr(preset, "crop_size", preset.resize_size)
    return Preprocessing((size, size), short, tuple(preset.mean), tuple(preset.std), preset.interpolation.value)


def modern(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename DenseNet's old tensors: `norm.1` is `norm1`."""
    for name in list(tensors):
        renamed = re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)
        if renamed != name:
            tensors[renamed] = tensors.pop(name)
    return tensors


def without_aux(arch: str, module: nn.Module) -> None:
    """Remove GoogLeNet's and Inception's auxiliary heads for training."""
    if arch not in ("googlenet", "inception_v3"):
        return
    vars(module)["aux_logits"] = False
    for name in ("aux1", "aux2", "AuxLogits"):
        if name in module._modules:
            module.register_module(name, None)
