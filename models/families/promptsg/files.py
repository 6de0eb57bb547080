"""Read a PromptSG's configuration, from JSON or off the tensors' shapes, and its tensors by one set of names."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import ModelProblem, WeightsProblem
from models.families.promptsg.network import AFTER, BEFORE, TOKENS, Config, PromptSG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from models.adapter import ModelSpec

SIZES = ((256, 128), (384, 128), (384, 192), (320, 160), (192, 96), (128, 64), (96, 48), (224, 224))
"""(h, w) that such models are trained with, the likeliest first."""
_CLIP = {
    "visual.": "image_encoder.",
    "transformer.": "text_encoder.transformer.",
    "positional_embedding": "text_encoder.positional_embedding",
    "ln_final.": "text_encoder.ln_final.",
    "text_projection": "text_encoder.text_projection",
    "prompt_learner.token_prefix": "text_encoder.token_prefix",
    "prompt_learner.token_suffix": "text_encoder.token_suffix",
}
_UNUSED = ("logit_scale", "input_resolution", "context_length", "vocab_size", "token_embedding.", "text_encoder.dtype")


def configured(spec: ModelSpec, path: Path) -> dict[str, Any]:
    """Read the configuration: the file in the table, else the .json beside the weights, else nothing."""
    given = spec.weights.get("config")
    if given is None:
        return beside(path)
    try:
        return _parsed(Path(given))
    except (OSError, ValueError) as problem:
        raise ModelProblem(f"The configuration of {spec.id} cannot be read from {given}: is it JSON?") from problem


def beside(path: Path) -> dict[str, Any]:
    """Read the .json beside the weights; empty where there is none."""
    try:
        return _parsed(path.with_suffix(".json"))
    except (OSError, ValueError):
        return {}


def _parsed(path: Path) -> dict[str, Any]:
    held = json.loads(path.read_text("utf-8"))
    while isinstance(held, dict) and isinstance(inner := held.get("net", held.get("config")), dict):
        held = inner
    if not isinstance(held, dict) or not isinstance(held.get("names", {}), dict):
        raise ValueError(f"{path} holds no table")
    return held


def named(held: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Rename tensors to `PromptSG`'s own names."""
    found: dict[str, Tensor] = {}
    for key, tensor in held.items():
        for theirs, ours in (*names.items(), *_CLIP.items()):
            if key.startswith(theirs):
                key = ours + key.removeprefix(theirs)
                break
        found[key] = tensor
    table = next(
        (found[key] for key in ("token_embedding.weight", "text_encoder.token_embedding.weight") if key in found), None
    )
    for name, words in (("token_prefix", BEFORE), ("token_suffix", AFTER)):
        key = f"text_encoder.{name}"
        if key in found:
            # CLIP-ReID keeps them as (1, n, width), the suffix with all that follows the end.
            rows = found[key].flatten(0, -2)
            found[key] = rows[: len(words)]
        elif table is not None and len(table) > max(TOKENS.values()):
            found[key] = table[[TOKENS[word] for word in words]]
    return {key: value for key, value in found.items() if not key.removeprefix("text_encoder.").startswith(_UNUSED)}


def read_config(tensors: Mapping[str, Tensor], given: Mapping[str, Any], name: str) -> tuple[Config, tuple[str, ...]]:
    """Return the configuration by the tensors' shapes, changed by `given`, and notes on what no shape says."""
    known = {field.name for field in fields(Config)}
    if wrong := given.keys() - known - {"names", "notes"}:
        raise ModelProblem(
            f"The configuration of {name} has an unknown key {sorted(wrong)[0]}: it may have "
            f"{', '.join(sorted(known))}, names, notes."
        )
    for key in known & given.keys():
        if type(given[key]) is not {"size": list, "prompt": str, "guidance": str}.get(key, int):
            raise ModelProblem(f"{key} in the configuration of {name} is of the wrong kind ({given[key]!r}).")

    def side(key: str, axis: int) -> int:
        if key not in tensors:
            raise WeightsProblem(
                f"{name} has no tensor {key}, as a PromptSG has: say in its configuration's names what stands for it."
            )
        return tensors[key].shape[axis]

    def count(prefix: str) -> int:
        return len({key.removeprefix(prefix).partition(".")[0] for key in tensors if key.startswith(prefix)})

    width, embed = side("image_encoder.conv1.weight", 0), side("image_encoder.proj", 1)
    text_width = side("text_encoder.ln_final.weight", 0)
    read: dict[str, Any] = {
        "patch": side("image_encoder.conv1.weight", 2),
        "width": width,
        "layers": count("image_encoder.transformer.resblocks."),
        "heads": max(width // 64, 1),
        "embed": embed,
        "text_width": text_width,
        "text_layers": count("text_encoder.transformer.resblocks."),
        "text_heads": max(text_width // 64, 1),
        "context": side("text_encoder.positional_embedding", 0),
        "mim_heads": max(embed // 64, 1),
        "mim_layers": count("mim.transformer.resblocks."),
        "classes": tensors["classifier.weight"].shape[0] if "classifier.weight" in tensors else 0,
        "prompt": "composed" if "inversion.fc1.weight" in tensors else "simplified",
    }
    size, stride = _cut(
        side("image_encoder.positional_embedding", 0) - 1, given.get("patch", read["patch"]), given, name
    )
    read |= {"size": size, "stride": stride}
    notes: tuple[str, ...] = ()
    unsaid = [key for key in ("size", "heads", "mim_heads", "guidance") if key not in given]
    if unsaid:
        notes = (
            f"Inferred from shapes, or as CLIP has it: {', '.join(unsaid)}. A .json beside the weights can say it.",
        )
    values = read | {key: value for key, value in given.items() if key in known}
    values["size"] = tuple(values["size"])
    return Config(**values), notes


def _cut(patches: int, patch: int, given: Mapping[str, Any], name: str) -> tuple[tuple[int, int], int]:
    """Return the input's (h, w) and the stride that give this number of patches."""
    sizes = (tuple(given["size"]),) if "size" in given else SIZES
    strides = (given["stride"],) if "stride" in given else (patch, patch * 3 // 4, patch // 2)
    for stride in strides:
        for h, w in sizes:
            if ((h - patch) // stride + 1) * ((w - patch) // stride + 1) == patches:
                return (h, w), stride
    raise WeightsProblem(
        f"{name} has {patches} patches of {patch} pixels, as no usual input gives: say size and stride in its "
        f"configuration."
    )


def fill(module: PromptSG, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load the tensors; raise WeightsProblem for the first that is missing or of another shape."""
    wanted = module.state_dict()
    optional = () if module.config.prompt == "composed" else ("inversion.",)
    for key, tensor in wanted.items():
        if key.endswith("num_batches_tracked") or key.startswith(optional) or not tensor.numel():
            continue
        if key not in tensors:
            raise WeightsProblem(
                f"{name} has no tensor {key}, {tuple(tensor.shape)}: say in its configuration's names what stands "
                f"for it."
            )
        if tensors[key].shape != tensor.shape:
            raise WeightsProblem(
                f"{key} in {name} is {tuple(tensors[key].shape)} and should be {tuple(tensor.shape)}: is its "
                f"configuration that of these weights?"
            )
    module.load_state_dict(
        {key: tensors[key] for key in wanted if key in tensors and wanted[key].shape == tensors[key].shape},
        strict=False,
    )


def written(config: Config) -> dict[str, Any]:
    """Return a configuration as it is written to JSON."""
    return {**asdict(config), "size": list(config.size)}
