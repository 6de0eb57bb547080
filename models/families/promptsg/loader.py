"""Load PromptSG checkpoints (`models.families.promptsg.network`); a .json or .yml beside them has their dimensions.

Without it they are those of CLIP's ViT-B/16 for 256 x 128 pixels. `names` there translates beginnings of tensors'
names, which differ between published versions.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json, note_files
from sightglass.models import labels
from sightglass.models.adapter import Progress, Record
from sightglass.models.adapters.attention import record_attention
from sightglass.models.adapters.classifier import Classifier, Embedder, PreparedAdapter
from sightglass.models.checkpoints import checkpoint, state_dicts
from sightglass.models.checkpoints.checkpoint import Checkpoint
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.demo.pictures import pictures
from sightglass.models.families.promptsg.network import AFTER, BEFORE, Config, PromptSG
from sightglass.models.layers import Layer
from sightglass.models.load import TableDraft
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec, read_table

READ = "mim.cross_attention.weighed"
TYPES = {"mim": READ, "vit_last": "image_encoder.transformer", "vit_proj": "image_encoder"}
"""Layer types with a map of their own."""
ALIASES = TYPES | dict.fromkeys(("mim.cross_attn", "bottleneck", "classifier"), READ)
"""The others are one vector for the whole picture: their map is that of the last tokens before it."""
BESIDE: dict[str, Callable[[str], Any]] = {".json": json.loads, ".yml": yaml.safe_load, ".yaml": yaml.safe_load}
"""Configurations beside the weights, the first that there is."""


class _PromptSG(PreparedAdapter):
    """PromptSG's layer types and attention map."""

    module: Any
    preprocessings: tuple[str, ...] = ("trained", "crop", "letterbox")
    subject = "persons"

    def _answer(self, tensor: Tensor) -> Tensor:
        outputs = self.module(tensor)
        answer: Tensor = outputs.logits if self.module.config.classes else outputs.embedding
        return answer

    def record_attention(self, record: Record) -> AbstractContextManager[None]:
        """Hand the weights over patches to `record`: the image encoder's and the interaction's."""
        patches = ("image_encoder.", "mim.cross_attention")
        return record_attention(self.module, lambda path, w: record(path, w) if path.startswith(patches) else w)

    def attention_map(self, pixels: NDArray[np.uint8] | Tensor) -> Any:
        """Return the attention of "A photo of a X person" to each patch, the mean of all heads, which sums to 1.

        `pixels`: a picture, uint8 (H, W, 3) RGB, for float32 (h_patches, w_patches); or normalised tensors (B, 3, H, W)
        of the model's size for a tensor (B, h_patches, w_patches).
        """
        if isinstance(pixels, Tensor):
            return self.forward_with_attention(pixels)["attention"]
        array = np.asarray(pixels)
        if array.ndim != 3 or array.dtype != np.uint8:
            raise ModelProblem("attention_map takes pixels: give Image.open(path).pixels, or normalised tensors.")
        return self.attention_map(self.prepare(array, "trained").tensor)[0].float().cpu().numpy()

    def forward_with_attention(self, x: Tensor) -> dict[str, Any]:
        """Return the `Outputs` of a pass by name, `attention`, `patch_tokens` and `cls_states`.

        These are (B, h_patches, w_patches), the image encoder's tokens (B, patches, embed), and the state (B, embed)
        after each block of the interaction, a list.

        `x`: normalised pictures (B, 3, H, W) of the model's size.
        """
        size = self.module.config.size
        if not isinstance(x, Tensor) or x.ndim != 4 or tuple(x.shape[1:]) != (3, *size):
            given = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ModelProblem(f"forward_with_attention takes tensors (B, 3, {size[0]}, {size[1]}), not {given}.")
        weights: dict[str, Tensor] = {}
        seen: list[Tensor] = []
        with ExitStack() as hooks:
            for part in (self.module.image_encoder, *self.module.mim.transformer.resblocks):
                hooks.callback(part.register_forward_hook(lambda _part, _inputs, output: seen.append(output)).remove)
            hooks.enter_context(torch.no_grad())
            hooks.enter_context(self.record_attention(lambda path, tensor: weights.setdefault(path, tensor)))
            outputs = self.module(x.to(next(self.module.parameters())))
        attention = weights["mim.cross_attention"].mean(1)[:, 0].reshape(-1, *self.module.config.grid)
        tokens, states = seen[0][:, 1:], [state[:, 0] for state in seen[1:]]
        return {**outputs._asdict(), "attention": attention, "patch_tokens": tokens, "cls_states": states}

    def alias(self, name: str) -> str:
        return ALIASES.get(name, name)

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        """Return the layer types with a map of their own, by the paths in the short list."""
        known = {layer.path for layer in layers}
        return {name: (path,) for name, path in TYPES.items() if path in known}

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        return (READ,)


class PromptClassifier(_PromptSG, Classifier):
    """A PromptSG with its classifier of the training identities."""


class PromptEmbedder(_PromptSG, Embedder):
    """A PromptSG without its classifier of training identities."""


def load(spec: ModelSpec, progress: Progress | None = None) -> PromptClassifier | PromptEmbedder:
    """Build the model on the CPU; raise WeightsProblem for unfitting tensors, ModelProblem for the configuration."""
    path = locate(spec, progress=progress)
    settings = read_settings(path)
    tensors = rename_tensors(checkpoint.read(path), settings.get("names", {}))
    config = read_config(tensors, settings, path.name)
    module = PromptSG(config)
    known = module.state_dict()
    state_dicts.load_into(path, {key: value for key, value in tensors.items() if key in known}, module, "a PromptSG")
    half = (0.5, 0.5, 0.5)
    mean, std = spec.preprocessing.mean or half, spec.preprocessing.std or half
    preprocessing = Preprocessing(config.size, min(config.size), mean, std, "bicubic", crop="squash")
    notes, sha256 = tuple(settings.get("notes", ())), sha256_of(path)
    kind: type[PromptClassifier | PromptEmbedder] = PromptClassifier if config.classes else PromptEmbedder
    persons = [f"person {number}" for number in range(config.classes)]
    names = labels.for_classes(spec, config.classes, otherwise=persons)[0] if persons else ()
    adapter = kind(spec, module, names, preprocessing, sha256, notes=notes)
    if spec.weights.package == "sightglass.models.demo":
        # It knows drawn persons alone, so its scores are measured by such.
        adapter.controls = lambda: pictures("compared")[3:]
    return adapter


def draft(path: Path, saved: Checkpoint) -> TableDraft | None:
    """Draft the table of a PromptSG's checkpoint; None for any other."""
    settings = read_settings(path)
    tensors = rename_tensors(saved.tensors, settings.get("names", {}))
    if not {"image_encoder.conv1.weight", "mim.cross_attention.in_proj_weight"} <= tensors.keys():
        return None
    classes = read_config(tensors, settings, path.name).classes
    table = {"task": "classify" if classes else "embed", "weights": {"path": str(path)}}
    return TableDraft("promptsg", "promptsg", table, unnamed=bool(classes))


def read_settings(path: Path) -> Json:
    """Read the configuration beside the weights, empty without any; of PromptSG's own .yml the sizes."""
    table: Any = {}
    note_files(map(path.with_suffix, BESIDE))
    for ending, parse in BESIDE.items():
        with suppress(OSError, ValueError, RecursionError, yaml.YAMLError):
            table = parse(path.with_suffix(ending).read_text("utf-8"))
            break
    if isinstance(table, dict) and isinstance(picture := table.get("INPUT"), dict):
        network = table.get("MODEL")
        stride = network.get("STRIDE_SIZE") if isinstance(network, dict) else None
        known = {
            "size": picture.get("SIZE_TEST") or picture.get("SIZE_TRAIN"),
            "stride": stride[0] if isinstance(stride, list) and stride else stride,
        }
        return {key: value for key, value in known.items() if value}
    while isinstance(table, dict) and isinstance(inner := table.get("net", table.get("config")), dict):
        table = inner
    return table if isinstance(table, dict) and isinstance(table.get("names", {}), dict) else {}


def rename_tensors(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Rename tensors to `PromptSG`'s own names, by the beginnings of theirs."""
    renamed: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        theirs = next((beginning for beginning in names if key.startswith(beginning)), "")
        renamed[f"{names.get(theirs, '')}{key.removeprefix(theirs)}"] = tensor
    for name, count in (("text_encoder.token_prefix", BEFORE), ("text_encoder.token_suffix", AFTER)):
        if name in renamed:
            # CLIP-ReID keeps them as (1, n, width), the suffix with all that follows the end.
            renamed[name] = renamed[name].flatten(0, -2)[:count]
    return renamed


def read_config(tensors: Mapping[str, Tensor], stated: Mapping[str, Any], name: str) -> Config:
    """Return the stated configuration with the file's number of classes; raise ModelProblem for a wrong key."""
    table = {key: value for key, value in stated.items() if key not in ("names", "notes")}
    table["classes"] = len(tensors["classifier.weight"]) if "classifier.weight" in tensors else 0
    return read_table(Config, table, "the configuration", name)
