"""Load PromptSG checkpoints (`models.families.promptsg.network`); a missing configuration is read off the shapes.

The encoders' tensors may have CLIP's own names (`visual.`, `transformer.`) or CLIP-ReID's (`image_encoder.`,
`text_encoder.`); the sentence around X its own tensors, or CLIP's whole table of tokens. Other parts have other names
in each published version: the configuration's `names` maps them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.common.files import Json
from sightglass.models import labels
from sightglass.models.adapter import Progress, Record
from sightglass.models.adapters.attention import record_attention
from sightglass.models.adapters.classifier import Classifier, Embedded, Embedder, PreparedAdapter
from sightglass.models.checkpoints import checkpoint, state_dicts
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.demo.pictures import pictures
from sightglass.models.families.promptsg.network import AFTER, BEFORE, TOKENS, Config, PromptSG
from sightglass.models.inspect import TableDraft, Unknown
from sightglass.models.layers import Layer
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

MEAN = STD = (0.5, 0.5, 0.5)
KNOWN = {"prompt": "composed", "guidance": "attend"}
"""Keys of configurations of former versions, with the one value that is still there."""


class _PromptSG(PreparedAdapter):
    """PromptSG's layer types and attention map."""

    module: Any
    preprocessings: tuple[str, ...] = ("trained", "crop", "letterbox")
    subject = "persons"

    def attentions(self) -> tuple[str, ...]:
        """Return the paths of attentions over the picture: the image encoder's and the interaction's."""
        config: Config = self.module.config
        paths = [f"image_encoder.transformer.resblocks.{i}.attn" for i in range(config.layers)]
        return (*paths, "mim.cross_attention")

    def record_attention(self, record: Record) -> AbstractContextManager[None]:
        """Hand the weights of `attentions()` alone to `record`."""
        paths = self.attentions()
        return record_attention(self.module, lambda path, weights: record(path, weights) if path in paths else weights)

    def attention_map(self, pixels: NDArray[np.uint8] | Tensor) -> Any:
        """Return the attention of "A photo of a X person" to each patch, the mean of all heads, which sums to 1.

        `pixels`: a picture, uint8 (H, W, 3) RGB, for float32 (h_patches, w_patches); or normalised tensors (B, 3, H, W)
        of the model's size for a tensor (B, h_patches, w_patches).
        """
        if isinstance(pixels, Tensor):
            return self.forward_with_attention(pixels)["attention"]
        attention: Tensor = self.attention_map(self.prepare(np.asarray(pixels), "trained").tensor)
        return attention[0].float().cpu().numpy()

    def forward_with_attention(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs of a pass by name, and `attention` (B, h_patches, w_patches).

        `x`: normalised pictures (B, 3, H, W) of the model's size. The others are those of `Outputs`.
        """
        size = tuple(self.module.config.size)
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, *size):
            raise ModelProblem(f"x has the shape {tuple(x.shape)}: give (B, 3, {size[0]}, {size[1]}), normalised.")
        weights: dict[str, Tensor] = {}
        with torch.no_grad(), self.record_attention(lambda path, tensor: weights.setdefault(path, tensor)):
            outputs = self.module(x.to(next(self.module.parameters())))
        attention = weights["mim.cross_attention"].mean(1)[:, 0]
        return {**outputs._asdict(), "attention": attention.reshape(-1, *self.module.config.grid)}

    def _types(self) -> dict[str, str]:
        last = f"image_encoder.transformer.resblocks.{self.module.config.layers - 1}"
        read = "mim.cross_attention.weighed"
        return {
            "mim": read,
            "mim.cross_attn": read,
            "vit_last": last,
            "vit_proj": "image_encoder.projected",
            # Each is one vector for the whole picture: its map is that of the last tokens before it.
            "bottleneck": read,
            "classifier": read,
        }

    def alias(self, name: str) -> str:
        """Return the path of a layer type: `mim`, `vit_last`, `vit_proj`, `bottleneck`, `classifier`."""
        return self._types().get(name, name)

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        """Return the layer types with a map of their own, by the paths in the short list."""
        known = {layer.path for layer in layers}
        paths: dict[str, tuple[str, ...]] = {}
        for name in ("mim", "vit_last", "vit_proj"):
            path = self._types()[name]
            while path and path not in known:
                # A module's last output is listed as its parent's.
                path = path.rpartition(".")[0]
            if path:
                paths[name] = (path,)
        return paths

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        return (self._types()["mim"],)


class PromptClassifier(_PromptSG, Classifier):
    """A PromptSG with its classifier of the training identities."""

    def _answer(self, tensor: Tensor) -> Tensor:
        logits: Tensor = self.module(tensor).logits
        return logits


class PromptEmbedder(_PromptSG, Embedder):
    """A PromptSG without its classifier of training identities."""

    def run(self, tensor: Tensor) -> Embedded:
        return Embedded(self.module(tensor).embedding)


def load(spec: ModelSpec, progress: Progress | None = None) -> PromptClassifier | PromptEmbedder:
    """Build the model on the CPU.

    Raises WeightsProblem for a missing or misshapen tensor, ModelProblem for a wrong configuration.
    """
    path = locate(spec, progress=progress)
    settings = read_settings(path, spec.weights.config)
    tensors = rename_tensors(checkpoint.read(path), settings.get("names", {}))
    config, notes = read_config(tensors, settings, path.name)
    module = PromptSG(config)
    more = state_dicts.put(path, tensors, module, "a PromptSG")
    mean, std = spec.preprocessing.mean or MEAN, spec.preprocessing.std or STD
    preprocessing = Preprocessing(config.size, min(config.size), mean, std, "bicubic", crop="squash")
    sha256 = sha256_of(path)
    adapter: PromptClassifier | PromptEmbedder
    if config.classes:
        persons = [f"person {number}" for number in range(config.classes)]
        names, _ = labels.for_classes(spec, config.classes, otherwise=persons)
        adapter = PromptClassifier(spec, module, names, preprocessing, sha256)
    else:
        adapter = PromptEmbedder(spec, module, (), preprocessing, sha256)
    adapter.notes = (*settings.get("notes", ()), *notes, *more)
    if spec.weights.package == "sightglass.models.demo":
        # It knows drawn persons alone, so its scores are measured by such.
        adapter.controls = lambda: pictures("compared")[3:]
    return adapter


def inspect(path: Path) -> TableDraft | None:
    """Draft the table of a PromptSG's file of tensors; None for any other file."""
    if not path.is_file() or path.suffix not in (".safetensors", ".pth", ".pt", ".ckpt", ".th", ".bin"):
        return None
    try:
        config_file = read_settings(path)
        tensors = rename_tensors(checkpoint.read(path), config_file.get("names", {}))
    except WeightsProblem:
        return None
    if not {"image_encoder.conv1.weight", "mim.cross_attention.in_proj_weight"} <= tensors.keys():
        return None
    config, notes = read_config(tensors, config_file, path.name)
    table = {"task": "classify" if config.classes else "embed", "weights": {"path": str(path)}}
    unknown: tuple[Unknown, ...] = ()
    if config.classes:
        question = f"Where are the names of its {config.classes} people (a text file, one a line)?"
        unknown = (Unknown("weights.labels", question, needed=False),)
    return TableDraft("promptsg", "promptsg", table, unknown, notes)


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


def read_settings(path: Path, config: str | None = None) -> Json:
    """Read the configuration: the file `config`, or one beside the weights, empty without any."""
    file = path.with_suffix(".json") if config is None else Path(config)
    try:
        table = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        if config is None:
            return {}
        raise ModelProblem(f"The configuration of {path.name} cannot be read from {config}: is it JSON?") from problem
    while isinstance(table, dict) and isinstance(inner := table.get("net", table.get("config")), dict):
        table = inner
    names = table.get("names", {}) if isinstance(table, dict) else None
    return table if isinstance(names, dict) else {}


def rename_tensors(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Rename tensors to `PromptSG`'s own names."""
    named: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        for theirs, ours in (*names.items(), *_CLIP.items()):
            if key.startswith(theirs):
                key = ours + key.removeprefix(theirs)
                break
        named[key] = tensor
    table = next(
        (named[key] for key in ("token_embedding.weight", "text_encoder.token_embedding.weight") if key in named), None
    )
    for name, words in (("token_prefix", BEFORE), ("token_suffix", AFTER)):
        key = f"text_encoder.{name}"
        if key in named:
            # CLIP-ReID keeps them as (1, n, width), the suffix with all that follows the end.
            rows = named[key].flatten(0, -2)
            named[key] = rows[: len(words)]
        elif table is not None and len(table) > max(TOKENS.values()):
            named[key] = table[[TOKENS[word] for word in words]]
    return {key: value for key, value in named.items() if not key.removeprefix("text_encoder.").startswith(_UNUSED)}


def read_config(tensors: Mapping[str, Tensor], stated: Mapping[str, Any], name: str) -> tuple[Config, tuple[str, ...]]:
    """Return the configuration by shapes and `stated`, and notes."""
    known = {field.name for field in fields(Config)}
    if wrong := [key for key in stated if key not in known | {"names", "notes"} and KNOWN.get(key) != stated[key]]:
        raise ModelProblem(
            f"The configuration of {name} has an unknown key {wrong[0]}: it may have "
            f"{', '.join(sorted(known))}, names, notes."
        )
    for key in known & stated.keys():
        if type(stated[key]) is not (list if key == "size" else int):
            raise ModelProblem(f"{key} in the configuration of {name} is of the wrong kind ({stated[key]!r}).")

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
    }
    read["stride"] = read["patch"]
    notes: tuple[str, ...] = ()
    unsaid = [key for key in ("size", "heads", "mim_heads") if key not in stated]
    if unsaid:
        notes = (
            f"Inferred from shapes, or as CLIP has it: {', '.join(unsaid)}. A .json beside the weights can say it.",
        )
    values = read | {key: value for key, value in stated.items() if key in known}
    values["size"] = tuple(values.get("size", Config().size))
    config, patches = Config(**values), side("image_encoder.positional_embedding", 0) - 1
    if math.prod(config.grid) != patches:
        raise WeightsProblem(
            f"{name} has {patches} patches of {config.patch} pixels, and not those of {config.size[0]} x "
            f"{config.size[1]}: say size and stride in its configuration."
        )
    return config, notes


def write(config: Config) -> Json:
    """Return a configuration as it is written to JSON."""
    return {**asdict(config), "size": list(config.size)}
