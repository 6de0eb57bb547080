"""The adapter that every picture classifier shares: a tensor in, one row of logits out."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import torch

from common.errors import ModelProblem
from models.adapter import Geometry, Layer, ModelInput, ModelSpec, Part, Prediction, Target
from models.adapters.attentive import default_layers, revealed
from models.adapters.stages import outermost
from models.preprocess import CLASSIFIER_WAYS, Preprocessing, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from models.adapter import Stage
    from models.adapters.attentive import Record


def freeze(module: nn.Module) -> nn.Module:
    """Eval mode and no parameter gradients."""
    return module.eval().requires_grad_(False)


def both(logit: Tensor) -> Tensor:
    """(B, 2), no and yes, of (B, 1): of two logits that differ by it, softmax is its sigmoid."""
    return torch.cat((-logit / 2, logit / 2), 1)


def _is_linear(module: nn.Module) -> bool:
    from torch import nn

    return isinstance(module, nn.Linear)


@dataclass(frozen=True, slots=True)
class Logits:
    """What a classifier answers, and what its last linear layer made it of."""

    logits: Tensor
    """(B, classes)"""
    features: Tensor | None
    """(B, F), the last layer's input, where the logits are that layer's output as it is; else None."""

    def part(self, place: int) -> Self:
        """What a pass of the picture at `place` alone would answer: (1, ...) of each tensor."""
        held = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{name: t[place : place + 1] for name, t in held.items() if t is not None})


class Classifier:
    """A module from float32 (B, 3, h, w) to logits (B, classes), as an `Adapter`."""

    preprocessings: tuple[str, ...] = CLASSIFIER_WAYS
    parts: tuple[Part, ...] = ("class", "contrast")
    padding = 0
    """Numbers among the module's weights that are 0 and belong to no trained one."""

    def __init__(
        self,
        spec: ModelSpec,
        module: nn.Module,
        labels: Sequence[str],
        preprocessing: Preprocessing,
        weights_sha256: str,
        *,
        fit: str = "trained",
    ) -> None:
        """`fit`: the way of `models.preprocess` that the model was trained with, where it is no crop."""
        self.spec = spec
        self._fit = fit
        if fit != "trained":
            self.preprocessings = tuple(way for way in CLASSIFIER_WAYS if way != fit)
        self.module = freeze(module)
        self.labels = tuple(labels)
        self.preprocessing = preprocessing
        self.weights_sha256 = weights_sha256
        linear = [path for path, part in module.named_modules() if path and _is_linear(part)]
        self._last = linear[-1] if linear else None

    @property
    def channels(self) -> int:
        """How many numbers a pixel of its pictures has: 3 is RGB, 1 grey, others come as arrays."""
        return self.preprocessing.channels

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        return prepare(pixels, self.preprocessing, self._fit if preprocessing == "trained" else preprocessing)

    def run(self, tensor: Tensor) -> Logits:
        seen: list[tuple[Tensor, Tensor]] = []
        if self._last is None:
            return Logits(self._answer(tensor), None)
        last = self.module.get_submodule(self._last)
        handle = last.register_forward_hook(lambda _module, inputs, output: seen.append((inputs[0], output)))
        try:
            logits = self._answer(tensor)
        finally:
            handle.remove()
        # Another thread's pass through a shared module would be seen too; only one of them returned these logits.
        features = next((given for given, output in seen if output is logits and given.ndim == 2), None)
        return Logits(logits, features)

    def revealed(self, record: Record) -> AbstractContextManager[None]:
        """While it lasts, `run` hands every attention's weights to `record` (`explain.evidence.attention`)."""
        return revealed(self.module, record)

    def _answer(self, tensor: Tensor) -> Tensor:
        """The logits alone, two where the module returns one; a module that returns more than them has its own."""
        logits: Tensor = self.module(tensor)
        return both(logits) if logits.ndim == 2 and logits.shape[1] == 1 else logits

    def decode(
        self, outputs: Any, geometry: Geometry, *, top_k: int, confidence: float, iou: float
    ) -> list[Prediction]:
        scores = outputs.logits[0].detach().float().softmax(0)
        best = scores.topk(min(top_k, len(scores)))
        return [
            Prediction(self.labels[index], index, score)
            for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def class_logits(self, outputs: Any) -> Tensor:
        logits: Tensor = outputs.logits
        return logits

    def embedding(self, outputs: Any) -> Tensor:
        """(B, D): what the last linear layer makes the logits of; the logits where there is no such layer."""
        vectors: Tensor = outputs.logits if outputs.features is None else outputs.features
        return vectors

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        """The class logit, shape (); for `contrast` minus the logsumexp of all the others."""
        if target.part not in self.parts or target.index is None:
            raise ModelProblem(f"{self.spec.id} is a classifier: explain its class or its contrast to the others.")
        if target.part == "contrast" and outputs.logits.shape[1] > 1:
            logits: Tensor = outputs.logits[0]
            others = torch.arange(len(logits), device=logits.device) != target.index
            return logits[target.index] - logits[others].logsumexp(0)
        if outputs.features is None or self._last is None:
            logit: Tensor = outputs.logits[0, target.index]
            return logit
        # The same gradient from one row of the weights: through the logits it would read all of them, 5 MB a class.
        weight = self.module.get_parameter(f"{self._last}.weight")
        row: Tensor = outputs.features[0] @ weight[target.index]
        return row

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        return default_layers(layers)

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        return {}

    def stages(self, layers: Sequence[Layer]) -> tuple[Stage, ...]:
        """The model's top-level steps in order, for a drawing of it."""
        return outermost(self, layers)

    def alias(self, name: str) -> str:
        return name
