"""torchvision's classifiers (https://github.com/pytorch/vision, BSD-3-Clause), by their names there."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from PIL import Image as Pillow

from common.errors import ModelProblem, WeightsProblem
from common.suggestions import did_you_mean
from models import checkpoint, labels
from models.adapters.classifier import Classifier
from models.preprocess import Preprocessing
from models.weights import Progress, locate, sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn
    from torchvision.models import WeightsEnum

    from models.adapter import Layer, ModelSpec


class TorchvisionClassifier(Classifier):
    """A torchvision model: in its transformers the last layer that a map can be read from is not the last module."""

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        wanted = _transformer_layer(self.spec.arch, self.module)
        return (wanted,) if wanted in [layer.path for layer in layers] else super().default_layers(layers)


def load(spec: ModelSpec, progress: Progress | None = None) -> Classifier:
    """Build the model on the CPU with torchvision's default weights, or an operator's own state dict."""
    default = default_weights(spec.arch)
    if "path" in spec.weights:
        from models.families.custom import loader

        return loader.load(dataclasses.replace(spec, arch=f"torchvision/{spec.arch}"), progress)
    names = labels.own(spec) or tuple(default.meta["categories"])
    if "random" in spec.weights:
        module = build(spec.arch, weights=spec.weights, classes=len(names))
        names = tuple(f"{name} (untrained)" for name in names)
        return TorchvisionClassifier(spec, module, names, preprocessing_of(default, spec), checkpoint.digest(module))
    if not {"url", "path", "file", "package"} & spec.weights.keys():
        spec = dataclasses.replace(spec, weights={**spec.weights, "url": default.url})
    path = locate(spec, progress=progress)
    module = build(spec.arch, classes=len(names))
    try:
        module.load_state_dict(_modern(checkpoint.read(path)))
    except RuntimeError as problem:
        raise WeightsProblem(f"{path} does not hold the tensors of {spec.arch} with {len(names)} classes.") from problem
    if spec.arch == "googlenet":
        # Never trained, never run: without them the list of layers has only what works.
        vars(module)["aux_logits"] = False
        module.register_module("aux1", None)
        module.register_module("aux2", None)
    return TorchvisionClassifier(spec, module, names, preprocessing_of(default, spec), sha256_of(path))


def build(arch: str, *, weights: Mapping[str, Any] | None = None, classes: int = 1000) -> nn.Module:
    """The architecture without trained weights, the same ones again where `weights` is `{"random": seed}`."""
    import torchvision

    default = default_weights(arch)
    options: dict[str, Any] = {"num_classes": classes}
    if arch in ("googlenet", "inception_v3"):
        # As torchvision does for its trained weights, which hold the extra heads and expect another mean.
        options |= {"aux_logits": True, "transform_input": True, "init_weights": False}
    if arch.startswith("vit_"):
        options["image_size"] = default.meta["min_size"][0]

    def make() -> nn.Module:
        module: nn.Module = torchvision.models.get_model(arch, weights=None, **options)
        return module

    return checkpoint.seeded(make, weights["random"]) if weights else make()


def default_weights(arch: str) -> WeightsEnum:
    """torchvision's own choice among an architecture's weights."""
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if arch not in known:
        hint = did_you_mean(arch, known, n=3)
        raise ModelProblem(f"torchvision has no classifier {arch}{f': {hint}' if hint else '.'}")
    default: WeightsEnum = torchvision.models.get_model_weights(arch).DEFAULT
    return default


def preprocessing_of(weights: WeightsEnum, spec: ModelSpec) -> Preprocessing:
    """The preset that the weights were tested with, as ours, unless the operator's table says otherwise."""
    preset = weights.transforms()
    (size,), (short_side,) = preset.crop_size, preset.resize_size
    trained = Preprocessing(
        size=(size, size),
        short_side=short_side,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=Pillow.Resampling[preset.interpolation.name],
    )
    return trained.changed(spec.weights.get("preprocessing", {}))


def _modern(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """DenseNet's files are older than the rule that a module's name has no dot: `norm.1` is `norm1` now."""
    for name in list(tensors):
        renamed = re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)
        if renamed != name:
            tensors[renamed] = tensors.pop(name)
    return tensors


def _transformer_layer(arch: str, module: nn.Module) -> str:
    """Where a transformer's map is best read; empty for a CNN."""
    return f"blocks.{len(module.blocks) - 1}" if arch.startswith("maxvit_") else ""  # type: ignore[arg-type]
