"""Identify architectures of torchvision and timm by tensors (index: `training.architectures`), and build them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem, did_you_mean
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import PreprocessingTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn
    from torchvision.models import WeightsEnum

    from sightglass.models.spec import ModelSpec

INDEX = Path(__file__).with_name("architectures.json")
HEADS = ("fc", "classifier", "head", "heads", "head_dist", "last_linear", "aux1", "aux2", "AuxLogits", "aux_logits")
"""Top-level names of layers that are replaced for other classes, or used only in training."""
POSITIONS = ("pos_embed", "encoder.pos_embedding")
"""Names of a transformer's position embeddings: timm's, and torchvision's."""
SIDES = (224, 384, 256, 240, 448, 512, 518, 336, 196, 160, 288)
"""Usual input sizes of transformers in pixels."""
KINDS = {
    "classifier": ("", ("",)),
    "detector": ("detection", ("fasterrcnn_", "maskrcnn_", "retinanet_", "fcos_", "ssd300_", "ssdlite320_")),
    "segmentation network": ("segmentation", ("fcn_", "deeplabv3_", "lraspp_")),
}
"""Module of torchvision.models, and beginnings of the names of the architectures that are loaded, by their kind."""
_BUFFERS = re.compile(r"(num_batches_tracked|relative_position_index|relative_coords_table|attn_mask)$")


def identify(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return `library/name` of each architecture with these tensors, whatever its head; torchvision's first."""
    return next((names for variant in _variants(tensors) if (names := _index().get(fingerprint(variant)))), ())


def _variants(tensors: Mapping[str, Tensor]) -> Iterator[Mapping[str, Tensor]]:
    """Yield the tensors, then variants with three input channels and, for transformers, other input sizes."""
    yield tensors
    # The first convolution may have another number of channels.
    stem = next((name for name, tensor in tensors.items() if tensor.ndim == 4), None)
    if stem is None or tensors[stem].is_quantized:
        return
    yield {**tensors, stem: tensors[stem][:, :1].expand(-1, 3, -1, -1)}
    # A transformer's positions may be for another input size.
    positions = next((name for name in POSITIONS if name in tensors and tensors[name].ndim == 3), None)
    if positions is None:
        return
    for side, prefix in product(SIDES, range(6)):
        count = (side // tensors[stem].shape[-1]) ** 2 + prefix
        yield {**tensors, positions: tensors[positions][:, :1].expand(-1, count, -1)}


def library_of(arch: str) -> tuple[str, str]:
    """Return an architecture's library, and its name there; ModelProblem, with similar names, where none has it."""
    import timm
    import torchvision

    library, _, name = arch.rpartition("/")
    classifiers = torchvision.models.list_models(module=torchvision.models)
    if library in ("", "torchvision") and name in classifiers:
        return "torchvision", name
    if library in ("", "timm") and timm.is_model(name):
        return "timm", name
    if library != "timm" and name in torchvision.models.list_models():
        raise ModelProblem(
            f"{name} of torchvision is not built by its name: build it, load the file into it, and give the module."
        )
    names = {*classifiers, *timm.list_models()}
    hint = did_you_mean(name, names, "for a class of yours say their_file.py:ClassName.", n=3)
    raise ModelProblem(f"Neither torchvision nor timm has an architecture {arch}: {hint}")


def build(library: str, name: str, *, blank: bool = True, **options: Any) -> nn.Module:
    """Build an untrained architecture; `blank`: on the device meta, without values, if that is possible."""
    import torch

    if library == "torchvision":
        from torchvision.models import get_model as make
    else:
        from timm import create_model as make
    if library == "torchvision" and name in ("googlenet", "inception_v3"):
        # As torchvision does for its trained weights, which have the extra heads and expect another mean.
        options |= {"aux_logits": True, "transform_input": True, "init_weights": False}
    module: nn.Module | None = None
    if blank:
        # A few architectures need real values while they are built.
        with suppress(NotImplementedError, RuntimeError), torch.device("meta"):
            module = make(name, **options)
    return make(name, **options) if module is None else module


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return the index's digest of an architecture's tensors."""
    lines = [
        f"{name} {tuple(tensor.shape)}"
        for name, tensor in sorted(tensors.items())
        if name.partition(".")[0] not in HEADS and not _BUFFERS.search(name)
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:10]


@cache
def _index() -> dict[str, tuple[str, ...]]:
    index: dict[str, tuple[str, ...]] = {}
    for name, digest in json.loads(INDEX.read_text("utf-8")).items():
        index[digest] = (*index.get(digest, ()), name)
    return index


def is_own_class(arch: str) -> bool:
    """Return whether an architecture is a class in a Python file."""
    file, _, name = arch.rpartition(":")
    return file.endswith(".py") and name.isidentifier()


def build_classifier(arch: str, *, classes: int) -> nn.Module:
    """Build a classifier without trained weights."""
    options: dict[str, Any] = {"num_classes": classes}
    if arch.startswith("vit_"):
        options["image_size"] = default_weights(arch).meta["min_size"][0]
    return build("torchvision", arch, blank=False, **options)


def build_dense(arch: str, *, classes: int) -> nn.Module:
    """Build a detector or segmentation network without trained weights; `classes` counts the background."""
    from torchvision.models import get_model

    module: nn.Module = get_model(arch, weights=None, weights_backbone=None, num_classes=classes)
    return module


def default_weights(arch: str, kind: str = "classifier") -> WeightsEnum:
    """Return the default weights of one of `KINDS`; raise ModelProblem if unknown."""
    import torchvision

    submodule, beginnings = KINDS[kind]
    module = getattr(torchvision.models, submodule) if submodule else torchvision.models
    known = torchvision.models.list_models(module=module)
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


def weights_preprocessing(weights: WeightsEnum) -> Preprocessing:
    """Return the preset that weights of torchvision were tested with."""
    preset: Any = weights.transforms()
    (short, *_), (size, *_) = preset.resize_size, getattr(preset, "crop_size", preset.resize_size)
    return Preprocessing((size, size), short, tuple(preset.mean), tuple(preset.std), preset.interpolation.value)


def timm_preprocessing(module: nn.Module) -> Preprocessing:
    """Return the preprocessing of timm's evaluation transform, pixel by pixel, for the size that it was built for."""
    from timm.data.config import resolve_model_data_config

    config: dict[str, Any] = resolve_model_data_config(module)
    # A network built with `img_size` keeps the configuration of its weights.
    patches = getattr(module, "patch_embed", None)
    built_for = getattr(patches, "img_size", None) if getattr(patches, "strict_img_size", True) else None
    size = tuple(built_for or config["input_size"][1:])
    fit = timm_fit(size, config["crop_pct"], config["crop_mode"])
    return Preprocessing(size, mean=config["mean"], std=config["std"], interpolation=config["interpolation"], **fit)


def timm_fit(size: tuple[int, int], share: float, mode: str | None) -> dict[str, Any]:
    """Return the keys by which timm's evaluation transform fits a picture to an input (h, w).

    `share` is timm's `crop_pct`, `mode` its `crop_mode`: anything else than `squash` and `border` is a centre crop.
    """
    frame = (math.floor(size[0] / share), math.floor(size[1] / share))
    keys: dict[str, Any] = {"short_side": min(frame)}
    if mode == "border":
        return keys | {"crop": "letterbox", "resized": frame, "bars": "mean"}
    if mode == "squash":
        return keys | ({"crop": "squash"} if frame == size else {"crop": "square", "resized": frame})
    # Resize has another rounding than ResizeKeepRatio, which timm takes where the sides differ.
    return keys | {"crop": "centre"} | ({} if frame[0] == frame[1] else {"resized": frame})


def usual_preprocessing(library: str, name: str, module: nn.Module, side: int | None) -> Preprocessing:
    """Return the preprocessing of published weights' training, for inputs of a `side` where it is stated."""
    usual = timm_preprocessing(module) if library == "timm" else weights_preprocessing(default_weights(name))
    return usual if side is None or usual.size == (side, side) else usual.changed(PreprocessingTable(size=side))


def rename_old(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
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
