"""Adapters of classifiers, one row of logits, and of embedders, one vector."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.models.adapter import Adapter, Part, Prediction, Record, Target
from sightglass.models.adapters.attention import record_attention
from sightglass.models.adapters.tasks import both
from sightglass.models.geometry import Geometry
from sightglass.models.preprocess import CLASSIFIER_WAYS, Preprocessing
from sightglass.models.spec import ModelSpec


class PreparedAdapter(Adapter):
    """Base for prepared pictures with one vector each, and recordable attention."""

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
        self.preprocessings = tuple(name for name in self.preprocessings if name != preprocessing.crop)

    def record_attention(self, record: Record) -> AbstractContextManager[None]:
        return record_attention(self.module, record)

    def embedding(self, outputs: "Logits") -> Tensor:
        """Return the last linear layer's input (B, D), else the logits; of a model without classes its vectors."""
        return outputs.logits if outputs.features is None else outputs.features

    def _check_labels(self, count: int) -> None:
        """Raise ModelProblem where not all of `count` classes have a label."""
        if count > len(self.labels):
            raise ModelProblem(
                f"{self.spec.id} has {count} classes but {len(self.labels)} labels: give it a file with one label for "
                "each class."
            )

    def _answer(self, tensor: Tensor) -> Tensor:
        """Return the module's one output; override it for modules with further ones."""
        answer: Tensor = self.module(tensor)
        return answer


class Embedder(PreparedAdapter):
    """A module from float32 (B, 3, h, w) to vectors (B, D), as an `Adapter`.

    It has no classes, so it has no predictions; what is explained of a single picture is the length of its vector.
    """

    splits_batches = True

    def forward(self, tensor: Tensor) -> "Logits":
        vectors = self._answer(tensor)
        return Logits(vectors[:, :0], vectors)

    def decode(self, outputs: Any, geometry: Geometry, **_: Any) -> list[Prediction]:
        return []

    def answer_row(self, outputs: Any) -> Tensor:
        return self.embedding(outputs)

    def class_logits(self, outputs: Any) -> Tensor:
        raise ModelProblem(f"{self.spec.id} names no classes: compare pictures with it (similarity).")

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        """Return the length of the picture's own vector, shape ()."""
        if target.index is not None or target.part not in self.parts:
            raise ModelProblem(f"{self.spec.id} names no classes: compare pictures with it (similarity).")
        length: Tensor = torch.linalg.vector_norm(self.embedding(outputs)[0])
        return length


@dataclass(frozen=True, slots=True)
class Logits:
    """Logits of a classifier, and the input of its last linear layer."""

    logits: Tensor
    """(B, classes)"""
    features: Tensor | None
    """(B, F), the last layer's input, where the logits are that layer's output as it is; else None. Of a model without
    classes its vectors, not normalised."""
    weight: Tensor | None = None
    """(F, classes): what autograd multiplied the features by to make the logits; None where it did anything else."""

    def part(self, index: int) -> Self:
        """Return one picture's outputs, (1, ...) of each tensor."""
        return replace(self, **{name: tensor[index : index + 1] for name, tensor in self._tensors().items()})

    def on_host(self) -> Self:
        """Return the outputs on the CPU, out of the graph and without the weights."""
        return replace(self, **{name: t.detach().cpu() for name, t in self._tensors().items()}, weight=None)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "weight"}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}


class Classifier(PreparedAdapter):
    """A module from (B, C, h, w) to logits (B, classes), or to the numbers of a regression (B, n)."""

    parts: tuple[Part, ...] = ("class", "contrast")
    splits_batches = True

    def __init__(self, spec: ModelSpec, *args: Any, **options: Any) -> None:
        super().__init__(spec, *args, **options)
        if spec.task in ("multilabel", "regress"):
            # Independent classes and numbers have no rivals.
            self.parts = ("signed", "class", "lowers") if spec.measures else ("class",)

    @cached_property
    def _last(self) -> str | None:
        """Path of the last linear layer."""
        linear = [path for path, part in self.module.named_modules() if path and isinstance(part, nn.Linear)]
        return linear[-1] if linear else None

    def forward(self, tensor: Tensor) -> Logits:
        calls: list[tuple[Tensor, Tensor]] = []
        if self._last is None:
            return Logits(self._answer(tensor), None)
        last = self.module.get_submodule(self._last)
        with last.register_forward_hook(lambda _module, inputs, output: calls.append((inputs[0], output))):
            logits = self._answer(tensor)
        # Another thread's pass through a shared module is seen too; only one of them returned these logits.
        features = next((source for source, output in calls if output is logits and source.ndim == 2), None)
        return Logits(logits, features, None if features is None else weight_between(features, logits))

    def _answer(self, tensor: Tensor) -> Tensor:
        logits = super()._answer(tensor)
        return both(logits) if logits.ndim == 2 and logits.shape[1] == 1 and not self.spec.measures else logits

    def decode(self, outputs: Any, geometry: Geometry, *, top_k: int, **_: Any) -> list[Prediction]:
        return self._best(self.class_scores(outputs)[0].detach(), top_k)

    def _best(self, scores: Tensor, count: int) -> list[Prediction]:
        """Return the predictions of the highest of (classes,), best first."""
        self._check_labels(len(scores))
        if self.spec.measures:
            # The largest number is not the best: they stay in the model's order.
            return [Prediction(self.labels[i], i, score) for i, score in enumerate(scores[:count].tolist())]
        best = scores.topk(min(count, len(scores)))
        pairs = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        return [Prediction(self.labels[index], index, score) for score, index in pairs]

    def class_logits(self, outputs: Logits) -> Tensor:
        return outputs.logits

    def scalar(self, outputs: Logits, target: Target) -> Tensor:
        """Return the class logit, its contrast to the others, or the number, shape ().

        The contrast is the logit minus the logsumexp of the others'; `lowers` is the number with the other sign.
        """
        self.check_part(target.part)
        if target.index is None:
            raise ModelProblem(f"{self.spec.id} explains classes: name one, or leave targets out.")
        if target.part == "lowers":
            return -self.scalar(outputs, replace(target, part="class"))
        logits = self.class_logits(outputs)[0]
        if target.part == "contrast" and len(logits) > 1:
            others = torch.arange(len(logits), device=logits.device) != target.index
            return logits[target.index] - logits[others].logsumexp(0)
        if outputs.features is None or outputs.weight is None:
            return logits[target.index]
        # The same gradient from one row of the weights: through the logits it would read all of them, 5 MB a class.
        return outputs.features[0] @ outputs.weight[:, target.index]


def weight_between(features: Tensor, logits: Tensor) -> Tensor | None:
    """Return the weight (F, n) of the frozen linear layer from `features` (B, F) to `logits` (B, n), or None."""
    node: Any = logits.grad_fn
    kind = "" if node is None else node.name()
    if kind == "AddmmBackward0" and (node._saved_alpha, node._saved_beta) == (1, 1):
        (bias, _), before, (weight, _) = node.next_functions
    elif kind == "MmBackward0":
        bias, (before, (weight, _)) = None, node.next_functions
    else:
        return None
    alone = bias is None and weight is None and before == (features.grad_fn, features.output_nr)
    matrix: Tensor | None = node._saved_mat2 if alone else None
    return matrix
