"""Load any classifier of timm by its name (https://github.com/huggingface/pytorch-image-models, Apache-2.0)."""

import dataclasses
from pathlib import Path
from typing import Any

import timm
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from torch import nn

from sightglass.common.errors import ModelProblem, did_you_mean
from sightglass.models import labels
from sightglass.models.adapter import Progress
from sightglass.models.adapters.classifier import Classifier, Embedder
from sightglass.models.adapters.segmenter import Segmenter
from sightglass.models.checkpoints import checkpoint
from sightglass.models.checkpoints.architectures import timm_preprocessing
from sightglass.models.families.custom import loader as custom
from sightglass.models.spec import ModelSpec


def load(spec: ModelSpec, progress: Progress | None = None) -> Classifier | Embedder | Segmenter:
    """Build the model on the CPU; weights from a folder of the operator, the caches, or the hub."""
    try:
        config = timm.models.get_pretrained_cfg(spec.arch)
    except (RuntimeError, KeyError):
        config = None
    if config is None or not timm.is_model(spec.arch):
        hint = did_you_mean(spec.arch.partition(".")[0], timm.list_models(), n=3)
        raise ModelProblem(f"timm has no model {spec.arch}{f': {hint}' if hint else '.'}")
    if spec.task == "embed":
        options: dict[str, Any] = {"num_classes": 0}
        if spec.preprocessing.size and "vit" in spec.arch:
            # Its positions are learnt for one size, and timm resamples them for another.
            options["img_size"] = spec.preprocessing.size
        module, sha256 = _module(spec, config, progress, options, {})
        notes = ("It is untrained.",) if spec.untrained else ()
        preprocessing = timm_preprocessing(module).changed(spec.preprocessing)
        return Embedder(spec, module, (), preprocessing, sha256, notes=notes)
    if spec.weights.path:
        return custom.load(dataclasses.replace(spec, arch=f"timm/{spec.arch}"), progress)
    class_names = labels.stated_names(spec)
    if not (class_names or config.num_classes):
        raise ModelProblem(f'{spec.id} names no classes: give it task = "embed" in a table of models.toml.')
    count = {"num_classes": len(class_names)} if class_names and not spec.untrained else {}
    module, sha256 = _module(spec, config, progress, count, count)
    preprocessing = timm_preprocessing(module).changed(spec.preprocessing)
    return Classifier(spec, module, class_names or _names_of(module), preprocessing, sha256)


def _module(
    spec: ModelSpec, config: Any, progress: Progress | None, options: dict[str, Any], overlay: dict[str, Any]
) -> tuple[nn.Module, str]:
    """Build the network with `options`, its weights as the table says, and return its sha256 too."""
    if spec.weights.hub and config.hf_hub_id:
        spec = spec.with_weights(hub=config.hf_hub_id)

    def read(path: Path) -> nn.Module:
        merged = {"state_dict": checkpoint.read(path), "custom_load": False, **overlay}
        module: nn.Module = timm.create_model(spec.arch, pretrained=True, pretrained_cfg_overlay=merged, **options)
        # timm keeps its config, and with it every tensor twice.
        module.pretrained_cfg.pop("state_dict", None)  # type: ignore[operator, union-attr]
        return module

    return checkpoint.module_of(spec, progress, lambda: timm.create_model(spec.arch, **options), read)


def _names_of(module: nn.Module) -> tuple[str, ...]:
    """Return the classes of an ImageNet of any size, else plain numbers."""
    count: int = module.num_classes  # type: ignore[assignment]
    if count == len(labels.imagenet()):
        return labels.imagenet()
    subset = infer_imagenet_subset(module)
    if subset is None:
        return tuple(f"class {index}" for index in range(count))
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index).partition(",")[0].replace("_", " ") for index in range(count))
