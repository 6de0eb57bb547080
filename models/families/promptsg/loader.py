"""Load PromptSG checkpoints (`models.families.promptsg.network`); a missing configuration is read off the shapes.

The encoders' tensors may have CLIP's own names (`visual.`, `transformer.`) or CLIP-ReID's (`image_encoder.`,
`text_encoder.`); the sentence around X its own tensors, or CLIP's whole table of tokens. Other parts have other names
in each published version: the configuration's `names` maps them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from common.errors import ModelProblem, WeightsProblem
from models import checkpoint, labels
from models.adapters.attention import record_attention
from models.adapters.classifier import Classifier
from models.adapters.embedder import Embedded, Embedder, PreparedAdapter
from models.families.promptsg.files import beside, configured, fill, named, read_config
from models.families.promptsg.network import Config, PromptSG
from models.preprocess import Preprocessing
from models.weights import Progress, locate, sha256_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from models.adapter import Layer, ModelSpec
    from models.adapters.attention import Record
    from models.inspect import TableDraft

MEAN = STD = (0.5, 0.5, 0.5)


class _PromptSG(PreparedAdapter):
    """A PromptSG's layer types, and the map of its own attention; a person is squeezed into its upright input."""

    module: Any
    preprocessings: tuple[str, ...] = ("trained", "crop", "letterbox")
    subject = "persons"

    def attentions(self) -> tuple[str, ...]:
        """Return the paths of attentions over the picture: the image encoder's and the interaction's."""
        config: Config = self.module.config
        paths = [f"image_encoder.transformer.resblocks.{i}.attn" for i in range(config.layers)]
        paths.append("mim.cross_attention")
        if config.guidance == "reweight":
            paths += [f"mim.transformer.resblocks.{i}.attn" for i in range(config.mim_layers)]
        return tuple(paths)

    def record_attention(self, record: Record) -> AbstractContextManager[None]:
        """Hand the weights of `attentions()` alone to `record`."""
        wanted = self.attentions()
        return record_attention(self.module, lambda path, weights: record(path, weights) if path in wanted else weights)

    def attention_map(self, pixels: NDArray[np.uint8], preprocessing: str = "trained") -> NDArray[np.float32]:
        """Return how much the sentence "A photo of a X person" attends to each patch, without a gradient.

        `pixels` uint8 (H, W, 3) RGB; returns float32 (h_patches, w_patches), the mean of all heads; it sums to 1.
        """
        seen: list[Tensor] = []

        def keep(path: str, weights: Tensor) -> Tensor:
            if path == "mim.cross_attention":
                seen.append(weights)
            return weights

        tensor = self.prepare(pixels, preprocessing).tensor.to(next(self.module.parameters()).device)
        with torch.no_grad(), self.record_attention(keep):
            self.module(tensor)
        found: NDArray[np.float32] = seen[0][0].mean(0)[0].reshape(self.module.config.grid).float().cpu().numpy()
        return found

    def _types(self) -> dict[str, str]:
        last = f"image_encoder.transformer.resblocks.{self.module.config.layers - 1}"
        read = "mim.cross_attention.weighed"
        return {
            "mim": read,
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
        found: dict[str, tuple[str, ...]] = {}
        for name in ("mim", "vit_last", "vit_proj"):
            path = self._types()[name]
            while path and path not in known:
                # A module's last output is listed as its parent's.
                path = path.rpartition(".")[0]
            if path:
                found[name] = (path,)
        return found

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        return (self._types()["mim"],)


class PromptClassifier(_PromptSG, Classifier):
    """A PromptSG with its classifier of the training identities."""

    def _answer(self, tensor: Tensor) -> Tensor:
        logits: Tensor = self.module(tensor).logits
        return logits


class PromptEmbedder(_PromptSG, Embedder):
    """A PromptSG without its classifier, which is of no use for persons it has never seen."""

    def run(self, tensor: Tensor) -> Embedded:
        return Embedded(self.module(tensor).embedding)


def load(spec: ModelSpec, progress: Progress | None = None) -> PromptClassifier | PromptEmbedder:
    """Build the model on the CPU.

    Raises WeightsProblem where a tensor is missing or of another shape, ModelProblem where the configuration is wrong:
    one sentence each, with what would help.
    """
    path = locate(spec, progress=progress)
    given = configured(spec, path)
    tensors = named(checkpoint.read(path), given.get("names", {}))
    config, notes = read_config(tensors, given, path.name)
    module = PromptSG(config)
    fill(module, tensors, path.name)
    stated = spec.weights.get("preprocessing", {})
    mean, std = (tuple(stated.get(key, MEAN)) for key in ("mean", "std"))
    preprocessing = Preprocessing(config.size, min(config.size), mean, std)
    sha256 = sha256_of(path)
    adapter: PromptClassifier | PromptEmbedder
    if config.classes:
        names = labels.own(spec) or tuple(f"person {number}" for number in range(config.classes))
        if len(names) != config.classes:
            raise ModelProblem(
                f"{spec.id} knows {config.classes} persons and has {len(names)} labels: give one for each, in order."
            )
        adapter = PromptClassifier(spec, module, names, preprocessing, sha256, fit="squash")
    else:
        adapter = PromptEmbedder(spec, module, (), preprocessing, sha256, fit="squash")
    adapter.notes = (*given.get("notes", ()), *notes)
    if spec.weights.get("package") == "models.demo":
        # It knows drawn persons alone, so its scores are measured by such.
        adapter.controls = _drawn
    return adapter


def _drawn() -> list[NDArray[np.uint8]]:
    """Draw unrelated persons."""
    from models.demo import person_scenes

    return [
        person_scenes.draw(person_scenes.sample(person_scenes.HELD_OUT + 2 * i, 0, held_out=True)).pixels
        for i in range(4)
    ]


def inspect(path: Path) -> TableDraft | None:
    """Draft the table of a PromptSG's file of tensors; None for any other file."""
    from models.inspect import TableDraft, Unknown

    if not path.is_file() or path.suffix not in (".safetensors", ".pth", ".pt", ".ckpt", ".th", ".bin"):
        return None
    try:
        given = beside(path)
        tensors = named(checkpoint.read(path), given.get("names", {}))
    except WeightsProblem:
        return None
    if not {"image_encoder.conv1.weight", "mim.cross_attention.in_proj_weight"} <= tensors.keys():
        return None
    config, notes = read_config(tensors, given, path.name)
    table: dict[str, Any] = {
        "loader": "promptsg",
        "arch": "promptsg",
        "task": "classify" if config.classes else "embed",
        "weights": {"path": str(path)},
    }
    unknown: tuple[Unknown, ...] = ()
    if config.classes:
        question = f"Where are the names of its {config.classes} persons (a text file, one a line)?"
        unknown = (Unknown("weights.labels", question, needed=False),)
    return TableDraft("promptsg", "promptsg", table, unknown, notes)
