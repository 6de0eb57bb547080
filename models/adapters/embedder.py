"""Define the adapter of models without classes: a picture in, one vector out, to be compared with another picture's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from common.errors import ModelProblem
from models.adapters.prepared import PreparedAdapter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.adapter import ModelSpec, Prediction, Target
    from models.geometry import Geometry
    from models.preprocess import Preprocessing


@dataclass(frozen=True, slots=True)
class Embedded:
    """Output of a model without classes."""

    vector: Tensor
    """(B, D), not normalised."""


class Embedder(PreparedAdapter):
    """A module from float32 (B, 3, h, w) to vectors (B, D), as an `Adapter`.

    It has no classes, so it has no predictions; what is explained of a single picture is the length of its vector.
    """

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
        super().__init__(spec, module, (), preprocessing, weights_sha256, fit=fit)
        self.subject = subject
        self.notes = notes

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
