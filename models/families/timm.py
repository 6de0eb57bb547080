"""Any classifier of timm (https://github.com/huggingface/pytorch-image-models, Apache-2.0), by its name."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from PIL import Image as Pillow

from common.errors import ModelProblem
from common.suggestions import did_you_mean
from models import checkpoint, labels
from models.adapters.classifier import Classifier
from models.adapters.embedder import Embedder
from models.preprocess import Preprocessing
from models.weights import Progress, locate, sha256_of

if TYPE_CHECKING:
    from torch import nn

    from models.adapter import ModelSpec

FITS = {"squash": "squash", "border": "letterbox"}
"""timm's word for how pictures were fitted, where that was no crop, and ours."""


def load(spec: ModelSpec, progress: Progress | None = None) -> Classifier | Embedder:
    """Build the model on the CPU; weights from a folder of the operator, the caches, or the hub."""
    import timm

    try:
        config = timm.models.get_pretrained_cfg(spec.arch)
    except (RuntimeError, KeyError):
        config = None
    if config is None or not timm.is_model(spec.arch):
        raise ModelProblem(f"timm has no model {spec.arch}{_meant(spec.arch)}")
    if spec.task == "embed":
        return _embedder(spec, config, progress)
    if "path" in spec.weights:
        from models.families.custom import loader

        return loader.load(dataclasses.replace(spec, arch=f"timm/{spec.arch}"), progress)
    own = labels.own(spec)
    if not (own or config.num_classes):
        raise ModelProblem(f'{spec.id} names no classes: give it task = "embed" in a table of models.toml.')
    if "random" in spec.weights:
        module = checkpoint.seeded(lambda: timm.create_model(spec.arch), spec.weights["random"])
        sha256, suffix = checkpoint.digest(module), " (untrained)"
    else:
        if "hub" in spec.weights and config.hf_hub_id:
            spec = dataclasses.replace(spec, weights={**spec.weights, "hub": config.hf_hub_id})
        path = locate(spec, progress=progress)
        overlay = {"state_dict": checkpoint.read(path), "custom_load": False}
        if own:
            overlay["num_classes"] = len(own)
        module = timm.create_model(
            spec.arch, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=len(own) or None
        )
        # timm keeps what it was given, and with it every tensor a second time.
        module.pretrained_cfg.pop("state_dict", None)
        sha256, suffix = sha256_of(path), ""
    names = own or names_of(module)
    preprocessing = preprocessing_of(module).changed(spec.weights.get("preprocessing", {}))
    return Classifier(spec, module, [name + suffix for name in names], preprocessing, sha256, fit=fit_of(module))


def _embedder(spec: ModelSpec, config: Any, progress: Progress | None) -> Embedder:
    """A timm model without its last layer: DINOv2 and the like, or any other's features."""
    given = spec.weights.get("preprocessing", {})
    options: dict[str, Any] = {"num_classes": 0}
    if "size" in given and "vit" in spec.arch:
        # Its places are learnt for one size, and timm brings them to another.
        options["img_size"] = given["size"]
    notes: tuple[str, ...] = ()
    if "random" in spec.weights:
        module = checkpoint.seeded(lambda: timm_model(spec.arch, **options), spec.weights["random"])
        sha256, notes = checkpoint.digest(module), ("It is untrained.",)
    else:
        if "hub" in spec.weights and config.hf_hub_id:
            spec = dataclasses.replace(spec, weights={**spec.weights, "hub": config.hf_hub_id})
        path = locate(spec, progress=progress)
        overlay = {"state_dict": checkpoint.read(path), "custom_load": False}
        module = timm_model(spec.arch, pretrained=True, pretrained_cfg_overlay=overlay, **options)
        module.pretrained_cfg.pop("state_dict", None)
        sha256 = sha256_of(path)
    preprocessing = preprocessing_of(module).changed(given)
    return Embedder(spec, module, preprocessing, sha256, fit=fit_of(module), notes=notes)


def timm_model(arch: str, **options: Any) -> Any:
    import timm

    return timm.create_model(arch, **options)


def config_of(module: nn.Module) -> dict[str, Any]:
    """timm's data configuration of a model: what it was tested with."""
    from timm.data.config import resolve_model_data_config

    config: dict[str, Any] = resolve_model_data_config(module)
    return config


def fit_of(module: nn.Module) -> str:
    """The way of `models.preprocess` that a model was trained with."""
    return FITS.get(config_of(module)["crop_mode"], "trained")


def preprocessing_of(module: nn.Module) -> Preprocessing:
    """timm's configuration as ours: its evaluation transform, pixel by pixel."""
    config = config_of(module)
    size = config["input_size"][1:]
    return Preprocessing(
        size=size,
        short_side=int(min(size) / config["crop_pct"]),
        mean=config["mean"],
        std=config["std"],
        interpolation=Pillow.Resampling[config["interpolation"].upper()],
    )


def names_of(module: nn.Module) -> tuple[str, ...]:
    """The classes of an ImageNet of any size, else plain numbers."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    count: int = module.num_classes  # type: ignore[assignment]
    if count == len(labels.imagenet()):
        return labels.imagenet()
    subset = infer_imagenet_subset(module)
    if subset is None:
        return tuple(f"class {index}" for index in range(count))
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index).partition(",")[0].replace("_", " ") for index in range(count))


def _meant(name: str) -> str:
    import timm

    hint = did_you_mean(name.partition(".")[0], timm.list_models(), n=3)
    return f": {hint}" if hint else "."
