"""Record attention weights and their gradients in one pass.

Inside `Adapter.record_attention(record)` attention is explicit: `record(path, weights)` is called for each attention
module in execution order, with (B, heads, queries, keys) after the softmax, and its result replaces the weights.
`sightglass.models.adapters.attention.record_attention(module, record)` does that for any torch module. The pass of the
layers lists the attention modules too (`Resident.attentions`). Keys must be the picture's tokens: CLS and registers,
then the patches by row. Queries may be the same tokens, a pooling query, or words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sightglass.common.errors import ModelProblem
from sightglass.common.work.progress import Progress, check

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.evidence.survey import Attended
    from sightglass.models.adapter import Target
    from sightglass.models.layers import Layer

COMPUTED_OPENLY = "Attention was computed step by step for this map, because fused kernels do not store its weights."
"""The note on every map of attention weights."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """One module's attention in one pass over one picture."""

    seen: Attended
    weights: Tensor
    """(heads, queries, keys), rows sum to 1."""
    rows: Tensor
    """(queries,) bool: the queries that count: the class token where the prediction is read from it, else every patch;
    all queries that are other tokens than the keys."""

    def to_map(self, row: Tensor) -> Tensor:
        """Return (..., keys) as (..., h, w), without the tokens before the grid's."""
        assert self.seen.grid is not None
        return row[..., self.seen.prefix :].reshape(*row.shape[:-1], *self.seen.grid)


def weigh(evidence: Evidence, target: Target, *, wanted: Collection[str]) -> list[Weighed]:
    """Return some modules' weights from one pass with explicit attention.

    The queries that count are those of the last attention on which the target's gradient is not 0.
    """
    resident = evidence.resident
    seen = {attention.path: attention for attention in attentions(resident)}
    last = [*seen][-1]
    recorded: dict[str, Tensor] = {}

    def record(path: str, weights: Tensor) -> Tensor:
        if path in wanted or path == last:
            recorded[path] = weights.detach()
        if path == last:
            recorded[path].requires_grad_()
            return recorded[path]
        return weights

    with resident.lock, torch.enable_grad(), resident.adapter.record_attention(record):
        outputs = resident.adapter.run(evidence.tensor)
        scalar = resident.adapter.scalar(outputs, target)
        (gradient,) = (
            torch.autograd.grad(scalar, recorded[last], allow_unused=True) if scalar.requires_grad else (None,)
        )
    read = None if gradient is None else (gradient[0] != 0).any(-1).any(0)
    return [Weighed(seen[path], recorded[path][0].detach(), _rows(seen[path], seen[last], read)) for path in wanted]


def follow(
    evidence: Evidence,
    targets: Sequence[Target],
    *,
    progress: Progress | None = None,
) -> Iterator[list[tuple[Weighed, Tensor]]]:
    """Yield each target's weights and gradients of every module.

    One forward pass for all targets, and one backward pass for each.
    """
    resident = evidence.resident
    seen = {attention.path: attention for attention in attentions(resident)}
    recorded: dict[str, Tensor] = {}

    def record(path: str, weights: Tensor) -> Tensor:
        if path in seen:
            recorded[path] = weights if weights.requires_grad else weights.detach().requires_grad_()
        return recorded.get(path, weights)

    with resident.lock, torch.enable_grad():
        with resident.adapter.record_attention(record):
            outputs = resident.adapter.run(evidence.tensor)
        for number, target in enumerate(targets):
            check()
            if progress is not None:
                progress(number / len(targets), f"Map {number + 1} of {len(targets)}")
            scalar = resident.adapter.scalar(outputs, target)
            slopes: Sequence[Tensor | None] = [None] * len(recorded)
            if scalar.requires_grad:
                slopes = torch.autograd.grad(scalar, [*recorded.values()], retain_graph=True, allow_unused=True)
            by_path = {
                path: (weights.detach(), torch.zeros_like(weights) if gradient is None else gradient)
                for (path, weights), gradient in zip(recorded.items(), slopes, strict=True)
            }
            last = [*by_path][-1]
            read = (by_path[last][1][0] != 0).any(-1).any(0)
            yield [
                (Weighed(seen[path], weights[0], _rows(seen[path], seen[last], read)), gradient[0])
                for path, (weights, gradient) in by_path.items()
            ]


def attentions(resident: Resident) -> tuple[Attended, ...]:
    """Return the attention modules over the whole picture; raise ModelProblem without any."""
    usable = tuple(attention for attention in resident.attentions if attention.grid is not None)
    if not usable:
        windows = " over the whole picture" if resident.attentions else ""
        raise ModelProblem(f"{resident.adapter.spec.id} has no attention{windows}: choose a CAM, such as LayerCAM.")
    return usable


def choose(evidence: Evidence) -> tuple[str, ...]:
    """Return each layer's attention module: its own block's, else the last."""
    paths = [attention.path for attention in attentions(evidence.resident)]
    return tuple(dict.fromkeys(_nearest(layer, paths) for layer in evidence.layers))


def _nearest(layer: Layer, paths: Sequence[str]) -> str:
    if layer.read_by in paths:
        return layer.read_by
    names = layer.path.split(".")

    def count_shared(path: str) -> int:
        return next((i for i, (a, b) in enumerate(zip(names, path.split("."), strict=False)) if a != b), len(names))

    return max(reversed(paths), key=count_shared)


def _rows(attended: Attended, last: Attended, read: Tensor | None) -> Tensor:
    """Return a module's counted queries, (queries,) bool; `read`: the last module's."""
    queries = torch.arange(attended.queries)
    if not attended.same:
        # A query that pools the patches, or words.
        return read.cpu() if attended is last and read is not None and bool(read.any()) else queries >= 0
    before = queries < attended.prefix
    before &= read.cpu() if last.same and read is not None and len(read) == attended.queries else queries < 1
    return before if bool(before.any()) else queries >= attended.prefix
