"""Any classifier of timm (https://github.com/huggingface/pytorch-image-models, Apache-2.0), by its name."""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any

from PIL import Image as Pillow

from models import checkpoint, labels
from models.classifier import Classifier
from models.errors import ModelProblem
from models.preprocess import Preprocessing
from models.weights import Progress, locate, sha256_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from models.adapter import Layer, ModelSpec

# timm's word for how the picture was fitted, and the ways that are as good or better; the first is the trained one.
WAYS = {"squash": ("squash", "crop", "letterbox"), "border": ("letterbox", "squash", "crop")}


class TimmClassifier(Classifier):
    """A timm model: its transformers are read where gradients still reach every patch."""

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        blocks = getattr(self.module, "blocks", None)
        # After the last norm1 a token still mixes with the others; later only the class token counts.
        wanted = f"blocks.{len(blocks) - 1}.norm1" if blocks is not None and hasattr(self.module, "patch_embed") else ""
        return (wanted,) if wanted in [layer.path for layer in layers] else super().default_layers(layers)


def load(spec: ModelSpec, progress: Progress | None = None) -> Classifier:
    """Build the model on the CPU; weights from a folder of the operator, the caches, or the hub."""
    import timm

    try:
        config = timm.models.get_pretrained_cfg(spec.arch)
    except (RuntimeError, KeyError):
        config = None
    if config is None or not timm.is_model(spec.arch):
        raise ModelProblem(f"timm has no model {spec.arch}{_meant(spec.arch)}")
    own = labels.own(spec)
    if not (own or config.num_classes):
        raise ModelProblem(f"{spec.id} names no classes, so there is nothing to explain: take one that was fine-tuned.")
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
    adapter = TimmClassifier(spec, module, [name + suffix for name in names], preprocessing, sha256)
    adapter.preprocessings = WAYS.get(config_of(module)["crop_mode"], adapter.preprocessings)
    return adapter


def config_of(module: nn.Module) -> dict[str, Any]:
    """timm's data configuration of a model: what it was tested with."""
    from timm.data.config import resolve_model_data_config

    config: dict[str, Any] = resolve_model_data_config(module)
    return config


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

    close = difflib.get_close_matches(name.partition(".")[0], timm.list_models(), 3)
    return f": did you mean {' or '.join(close)}?" if close else "."
