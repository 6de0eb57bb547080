"""The adapter that every picture classifier shares: a tensor in, one row of logits out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.adapter import Geometry, Layer, ModelInput, ModelSpec, Prediction, Target
from models.preprocess import CLASSIFIER_WAYS, Preprocessing, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn


def freeze(module: nn.Module) -> nn.Module:
    """Eval mode, no parameter gradients, and no activation that overwrites what a hook has recorded."""
    module.eval().requires_grad_(False)
    for part in module.modules():
        if getattr(part, "inplace", None) is True:
            part.inplace = False  # type: ignore[assignment]
    return module


class Classifier:
    """A module from float32 (B, 3, h, w) to logits (B, classes), as an `Adapter`."""

    preprocessings: tuple[str, ...] = CLASSIFIER_WAYS

    def __init__(
        self,
        spec: ModelSpec,
        module: nn.Module,
        labels: Sequence[str],
        preprocessing: Preprocessing,
        weights_sha256: str,
    ) -> None:
        self.spec = spec
        self.module = freeze(module)
        self.labels = tuple(labels)
        self.preprocessing = preprocessing
        self.weights_sha256 = weights_sha256

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        return prepare(pixels, self.preprocessing, preprocessing)

    def run(self, tensor: Tensor) -> Tensor:
        logits: Tensor = self.module(tensor)
        return logits

    def decode(
        self, outputs: Any, geometry: Geometry, *, top_k: int, confidence: float, iou: float
    ) -> list[Prediction]:
        scores = outputs[0].detach().float().softmax(0)
        best = scores.topk(min(top_k, len(scores)))
        return [
            Prediction(self.labels[index], index, score)
            for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def class_logits(self, outputs: Any) -> Tensor:
        logits: Tensor = outputs
        return logits

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        logit: Tensor = outputs[0, target.index]
        return logit

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        return (layers[-1].path,)
