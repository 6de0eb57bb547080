"""Build torchvision's classifiers, adapt them, and tell how their weights want a picture prepared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from PIL import Image as Pillow

from common.errors import ModelProblem
from common.suggestions import did_you_mean
from models import architectures, checkpoint
from models.adapters.classifier import Classifier
from models.preprocess import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn
    from torchvision.models import WeightsEnum

    from models.adapter import Layer


class TorchvisionClassifier(Classifier):
    """A torchvision model; in a MaxViT the last layer with a usable map is not the last module."""

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        if self.spec.arch.startswith("maxvit_"):
            wanted = f"blocks.{len(self.module.blocks) - 1}"  # type: ignore[arg-type]
            if wanted in [layer.path for layer in layers]:
                return (wanted,)
        return super().default_layers(layers)


def build(arch: str, *, weights: Mapping[str, Any] | None = None, classes: int = 1000) -> nn.Module:
    """Build the architecture without trained weights; `{"random": seed}` gives the same ones for the same seed."""
    options: dict[str, Any] = {"num_classes": classes}
    if arch.startswith("vit_"):
        options["image_size"] = default_weights(arch).meta["min_size"][0]

    def make() -> nn.Module:
        return architectures.build("torchvision", arch, blank=False, **options)

    return checkpoint.seeded(make, weights["random"]) if weights else make()


def default_weights(arch: str) -> WeightsEnum:
    """Return torchvision's own choice among an architecture's weights; raise ModelProblem where it has no such one."""
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if arch not in known:
        hint = did_you_mean(arch, known, n=3)
        raise ModelProblem(f"torchvision has no classifier {arch}{f': {hint}' if hint else '.'}")
    default: WeightsEnum = torchvision.models.get_model_weights(arch).DEFAULT
    return default


def preprocessing_of(weights: WeightsEnum) -> Preprocessing:
    """Return the preset that the weights were tested with."""
    preset = weights.transforms()
    (size,), (short_side,) = preset.crop_size, preset.resize_size
    return Preprocessing(
        size=(size, size),
        short_side=short_side,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=Pillow.Resampling[preset.interpolation.name],
    )


def modern(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename DenseNet's tensors, whose files predate the rule that a module's name has no dot: `norm.1` is `norm1`."""
    for name in list(tensors):
        renamed = re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)
        if renamed != name:
            tensors[renamed] = tensors.pop(name)
    return tensors


def without_aux(arch: str, module: nn.Module) -> None:
    """Remove the heads of GoogLeNet and Inception that only training uses, and which their files may lack."""
    if arch not in ("googlenet", "inception_v3"):
        return
    vars(module)["aux_logits"] = False
    for name in ("aux1", "aux2", "AuxLogits"):
        if name in module._modules:
            module.register_module(name, None)
