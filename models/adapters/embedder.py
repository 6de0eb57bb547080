"""Adapters of embedders: one vector per picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sightglass.common.errors import ModelProblem
from sightglass.models.adapter import Adapter
from sightglass.models.adapters.attention import record_attention
from sightglass.models.preprocess import CLASSIFIER_WAYS, Preprocessing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from sightglass.models.adapter import Prediction, Record, Target
    from sightglass.models.geometry import Geometry
    from sightglass.models.spec import ModelSpec


class PreparedAdapter(Adapter):
    """Prepare pictures by size, mean and std, and give one vector a picture; attention can be recorded."""

    preprocessings: tuple[str, ...] = CLASSIFIER_WAYS
    preprocessing: Preprocessing
    has_embedding = True

    def __init__(
        self,
        spec: ModelSpec,
        module: nn.Module,
        labels: Sequence[str],
        preprocessing: Preprocessing,
        weights_sha256: str,
        *,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(spec, module, labels, weights_sha256)
        self.preprocessing, self.notes = preprocessing, notes
        self.preprocessings = tuple(way for way in self.preprocessings if way != preprocessing.crop)

    def record_attention(self, record: Record) -> AbstractContextManager[None]:
        return record_attention(self.module, record)


@dataclass(frozen=True, slots=True)
class Embedded:
    """Output of a model without classes."""

    vector: Tensor
    """(B, D), not normalised."""

    def part(self, place: int) -> Embedded:
        """Return the output of the picture at `place` alone."""
        return Embedded(self.vector[place : place + 1])


class Embedder(PreparedAdapter):
    """A module from float32 (B, 3, h, w) to vectors (B, D), as an `Adapter`.

    It has no classes, so it has no predictions; what is explained of a single picture is the length of its vector.
    """

    splits_batches = True

    def run(self, tensor: Tensor) -> Embedded:
        return Embedded(self.module(tensor))

    def embedding(self, outputs: Any) -> Tensor:
        vector: Tensor = outputs.vector
        return vector

    def decode(
        self, outputs: Any, geometry: Geometry, *, top_k: int, confidence: float, iou: float
    ) -> list[Prediction]:
        return []

    def class_logits(self, outputs: Any) -> Tensor:
        raise ModelProblem(f"{self.spec.id} names no classes: compare pictures with it (similarity).")

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        """Return the length of the picture's own vector, shape ()."""
        if target.index is not None or target.part not in self.parts:
            raise ModelProblem(f"{self.spec.id} names no classes: compare pictures with it (similarity).")
        return length(self.embedding(outputs))


def length(vectors: Tensor) -> Tensor:
    """Return the length of the first of (B, D), shape (): its largest components count most."""
    found: Tensor = torch.linalg.vector_norm(vectors[0])
    return found
