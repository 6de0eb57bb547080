"""Load the towers of OpenCLIP's architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from sightglass.common.errors import ModelProblem, WeightsProblem, did_you_mean
from sightglass.models.adapter import freeze
from sightglass.models.checkpoints import checkpoint
from sightglass.models.checkpoints.weights import sha256_of
from sightglass.models.families.clip.classifier import MEAN, STD, ImageTower, Towers, nbytes
from sightglass.models.preprocess import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def towers(name: str, weights: Path, folder: Path | None) -> Towers:
    """Build an architecture by its name, or by the configuration in its folder, with the tensors of a file."""
    import open_clip

    if folder is None and open_clip.get_model_config(name) is None:
        hint = did_you_mean(name, open_clip.list_models(), "see open_clip.list_models().", n=3)
        raise ModelProblem(f"OpenCLIP has no architecture {name!r}: {hint}")
    net = open_clip.create_model(name, load_weights=False, pretrained_text=False)
    tensors = checkpoint.read(weights)
    if folder is None:
        tensors = open_clip.convert.convert_state_dict(net, tensors)
    # Older files keep the text's mask and the positions' numbers too.
    tensors = {key: value for key, value in tensors.items() if not key.endswith(("attn_mask", "position_ids"))}
    _fill(net, tensors, weights, name if folder is None else "its open_clip_config.json")
    freeze(net)
    visual, net.visual = net.visual, nn.Identity()
    preprocessing = _preprocessing(visual)
    bias = getattr(net, "logit_bias", None)
    tokenizer: Any = None

    def read(phrases: Sequence[str]) -> Tensor:
        nonlocal tokenizer
        if tokenizer is None:
            try:
                tokenizer = open_clip.get_tokenizer(name)
            except Exception as problem:
                raise ModelProblem(
                    f"The tokenizer of {name} is not on this machine: give a folder with open_clip_config.json and "
                    "tokenizer.json as weights.path."
                ) from problem
        rows: Tensor = net.encode_text(tokenizer(list(phrases)))
        return rows

    return Towers(
        ImageTower({"visual": visual}),
        read,
        net.logit_scale.exp().item(),
        None if bias is None else bias.item(),
        preprocessing,
        sha256_of(weights),
        text_bytes=nbytes(net),
    )


class _WithVisual:
    """What OpenCLIP asks for the preprocessing of."""

    def __init__(self, visual: nn.Module) -> None:
        self.visual = visual


def _preprocessing(visual: nn.Module) -> Preprocessing:
    import open_clip

    given = open_clip.get_model_preprocess_cfg(_WithVisual(visual))
    size = (given["size"],) * 2 if isinstance(given["size"], int) else tuple(given["size"])
    mean, std = tuple(given.get("mean", MEAN)), tuple(given.get("std", STD))
    crop = {"squash": "squash", "longest": "letterbox"}.get(given.get("resize_mode", ""), "centre")
    return Preprocessing(size, min(size), mean, std, given.get("interpolation", "bicubic"), crop=crop)


def _fill(net: nn.Module, tensors: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Load tensors; raise WeightsProblem with the first that is missing, too many or of another shape."""
    own = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    for key, shape in own.items():
        if key in tensors and tuple(tensors[key].shape) != shape:
            raise WeightsProblem(
                f"{path} does not fit {name}, whose {key} is {shape}, not {tuple(tensors[key].shape)}: say the "
                "architecture that it was trained as."
            )
    missing, many = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or many:
        what = f"the file lacks {missing[0]}" if missing else f"the model has no {many[0]}"
        raise WeightsProblem(f"{path} does not fit {name}: {what}; say the architecture that it was trained as.")
    net.load_state_dict(tensors)


def architectures(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return OpenCLIP's names of plain ViTs with the dimensions of these tensors, the shortest name first."""
    import open_clip

    if "visual.conv1.weight" not in tensors or "visual.proj" not in tensors:
        return ()
    width, _, patch, _ = tensors["visual.conv1.weight"].shape
    depth = len({key.split(".")[3] for key in tensors if key.startswith("visual.transformer.resblocks.")})
    side = round((len(tensors["visual.positional_embedding"]) - 1) ** 0.5) * patch
    found = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        vision, joint = config["vision_cfg"], config["embed_dim"]
        sides = (vision.get("width"), vision.get("patch_size"), vision.get("layers"), vision.get("image_size"), joint)
        if sides == (width, patch, depth, side, tensors["visual.proj"].shape[1]):
            found.append(name)
    return tuple(sorted(found, key=len))
