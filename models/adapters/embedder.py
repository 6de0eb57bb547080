"""The adapter of models without classes: a picture in, one vector out, made to be compared with another picture's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from common.errors import ModelProblem
from models.adapters.attentive import default_layers, revealed
from models.adapters.classifier import freeze
from models.adapters.stages import outermost
from models.preprocess import CLASSIFIER_WAYS, Preprocessing, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from models.adapter import Geometry, Layer, ModelInput, ModelSpec, Part, Prediction, Stage, Target
    from models.adapters.attentive import Record


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a model without classes answers."""

    vector: Tensor
    """(B, D), not normalised."""


class Embedder:
    """A module from float32 (B, 3, h, w) to vectors (B, D), as an `Adapter`.

    It names nothing, so it has no predictions; of a single picture the length of its own vector is explained: what
    that vector is made of.
    """

    preprocessings: tuple[str, ...] = CLASSIFIER_WAYS
    parts: tuple[Part, ...] = ("class",)
    labels: tuple[str, ...] = ()

    def __init__(
        self,
        spec: ModelSpec,
        module: nn.Module,
        preprocessing: Preprocessing,
        weights_sha256: str,
        *,
        fit: str = "trained",
        subject: str = "",
        notes: tuple[str, ...] = (),
    ) -> None:
        """`fit`: the way of `models.preprocess` that the model was trained with. `subject`: what all its pictures show
        (`persons`), so that it is judged by pictures of that kind; empty: anything."""
        self.spec = spec
        self.module = freeze(module)
        self.preprocessing = preprocessing
        self.weights_sha256 = weights_sha256
        self.subject = subject
        self.notes = notes
        self._fit = fit
        self.preprocessings = tuple(way for way in CLASSIFIER_WAYS if way != fit or way == "trained")

    @property
    def channels(self) -> int:
        """How many numbers a pixel of its pictures has: 3 is RGB, 1 grey, others come as arrays."""
        return self.preprocessing.channels

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        return prepare(pixels, self.preprocessing, self._fit if preprocessing == "trained" else preprocessing)

    def run(self, tensor: Tensor) -> Embedded:
        return Embedded(self.module(tensor))

    def revealed(self, record: Record) -> AbstractContextManager[None]:
        """While it lasts, `run` hands every attention's weights to `record` (`explain.evidence.attention`)."""
        return revealed(self.module, record)

    def embedding(self, outputs: Any) -> Tensor:
        """(B, D), in the graph."""
        vector: Tensor = outputs.vector
        return vector

    def decode(
        self, outputs: Any, geometry: Geometry, *, top_k: int, confidence: float, iou: float
    ) -> list[Prediction]:
        return []

    def class_logits(self, outputs: Any) -> Tensor:
        raise ModelProblem(f"{self.spec.id} names no classes: compare pictures with it (similarity).")

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        """The length of the picture's own vector, shape ()."""
        if target.index is not None or target.part not in self.parts:
            raise ModelProblem(f"{self.spec.id} names no classes: compare pictures with it (similarity).")
        return length(self.embedding(outputs))

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        return default_layers(layers)

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        return {}

    def stages(self, layers: Sequence[Layer]) -> tuple[Stage, ...]:
        """The model's top-level steps in order, for a drawing of it."""
        return outermost(self, layers)

    def alias(self, name: str) -> str:
        return name


def length(vectors: Tensor) -> Tensor:
    """The length of the first of (B, D), shape (): where the whole vector comes from, what there is most of counts
    most."""
    found: Tensor = torch.linalg.vector_norm(vectors[0])
    return found
