"""What a transformer's attention says of a picture: weights of one layer, all layers rolled together, with gradients.

Inside `Adapter.record_attention(record)` attention is computed step by step, and `record(path, weights)` is called for
each module that attends, in the order of execution, with (B, heads, queries, keys) after the softmax, in the graph.
What `record` returns takes the weights' place, so that it can cut the graph there.
`models.adapters.attention.record_attention(module, record)` does that for any torch module.
Which modules attend, the engine sees in the pass by which it finds the layers (`Resident.attentions`). Keys are to be
the picture's tokens: those before the grid (CLS, registers) first, then the patches row by row; an adapter whose keys
are anything else (words of a text) leaves that module out. Queries may be the same tokens or others: a single query
that pools the patches, the words of a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from common.errors import Cancelled, ModelProblem

if TYPE_CHECKING:
    import threading
    from collections.abc import Collection, Iterator, Sequence

    from torch import Tensor

    from explain.evidence.evidence import Evidence
    from explain.evidence.resident import Resident
    from explain.evidence.survey import Attended
    from explain.progress import Progress
    from models.adapter import Layer, Target

COMPUTED_OPENLY = "Attention was computed step by step for this map, because fused kernels do not store its weights."
"""The note on every map of attention weights."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """One module's attention in one pass over one picture, as it is read for a map."""

    seen: Attended
    weights: Tensor
    """(heads, queries, keys), rows sum to 1."""
    rows: Tensor
    """(queries,) bool: whose attention counts. The class token's where the answer is read from it, else every patch's;
    of other queries all."""

    def to_map(self, row: Tensor) -> Tensor:
        """(..., keys) as (..., h, w): without the tokens before the grid's."""
        assert self.seen.grid is not None
        return row[..., self.seen.prefix :].reshape(*row.shape[:-1], *self.seen.grid)


def weigh(evidence: Evidence, target: Target, *, wanted: Collection[str]) -> list[Weighed]:
    """The weights of some modules, by one pass in which attention is computed openly; no gradient leads through them.

    Whose attention counts is not guessed from the model's kind: it is that of the tokens through which the target
    hangs on the last attention.
    """
    resident = evidence.resident
    seen = {one.path: one for one in attentions(resident)}
    last = [*seen][-1]
    held: dict[str, Tensor] = {}

    def record(path: str, weights: Tensor) -> Tensor:
        if path in wanted or path == last:
            held[path] = weights.detach()
        if path == last:
            held[path].requires_grad_()
            return held[path]
        return weights

    with resident.lock, torch.enable_grad(), resident.adapter.record_attention(record):
        outputs = resident.adapter.run(evidence.tensor)
        scalar = resident.adapter.scalar(outputs, target)
        (gradient,) = torch.autograd.grad(scalar, held[last], allow_unused=True) if scalar.requires_grad else (None,)
    read = None if gradient is None else (gradient[0] != 0).any(-1).any(0)
    return [Weighed(seen[path], held[path][0].detach(), _rows(seen[path], seen[last], read)) for path in wanted]


def follow(
    evidence: Evidence,
    targets: Sequence[Target],
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[list[tuple[Weighed, Tensor]]]:
    """For each target every module's weights and the gradient of the target's scalar with respect to them, in order.

    One pass for all targets, and one walk back for each; what they keep is let go at the end.
    """
    resident = evidence.resident
    seen = {one.path: one for one in attentions(resident)}
    held: dict[str, Tensor] = {}

    def record(path: str, weights: Tensor) -> Tensor:
        if path in seen:
            held[path] = weights if weights.requires_grad else weights.detach().requires_grad_()
        return held.get(path, weights)

    with resident.lock, torch.enable_grad():
        with resident.adapter.record_attention(record):
            outputs = resident.adapter.run(evidence.tensor)
        for number, target in enumerate(targets):
            if cancel is not None and cancel.is_set():
                raise Cancelled
            if progress is not None:
                progress(number / len(targets), f"Map {number + 1} of {len(targets)}")
            scalar = resident.adapter.scalar(outputs, target)
            found: Sequence[Tensor | None] = [None] * len(held)
            if scalar.requires_grad:
                found = torch.autograd.grad(scalar, [*held.values()], retain_graph=True, allow_unused=True)
            gradients = [torch.zeros_like(w) if g is None else g for g, w in zip(found, held.values(), strict=True)]
            last = [*held][-1]
            read = (gradients[-1][0] != 0).any(-1).any(0)
            yield [
                (Weighed(seen[path], weights[0].detach(), _rows(seen[path], seen[last], read)), gradient[0])
                for (path, weights), gradient in zip(held.items(), gradients, strict=True)
            ]


def attentions(resident: Resident) -> tuple[Attended, ...]:
    """The modules whose attention a map can be made of; raises ModelProblem where there are none."""
    usable = tuple(one for one in resident.attentions if one.grid is not None)
    if not usable:
        windows = " over the whole picture" if resident.attentions else ""
        raise ModelProblem(f"{resident.adapter.spec.id} has no attention{windows}: choose a CAM, such as LayerCAM.")
    return usable


def chosen(evidence: Evidence) -> tuple[str, ...]:
    """The attention that stands for each target layer: that of its own block, the last one for a layer of no block."""
    paths = [one.path for one in attentions(evidence.resident)]
    return tuple(dict.fromkeys(_nearest(layer, paths) for layer in evidence.layers))


def _nearest(layer: Layer, paths: Sequence[str]) -> str:
    if layer.read_by in paths:
        return layer.read_by
    names = layer.path.split(".")

    def shared(path: str) -> int:
        return next((i for i, (a, b) in enumerate(zip(names, path.split("."), strict=False)) if a != b), len(names))

    return max(reversed(paths), key=shared)


def _rows(one: Attended, last: Attended, read: Tensor | None) -> Tensor:
    """(queries,) bool for one module, from which queries of the last one are `read` (None where nothing says so)."""
    queries = torch.arange(one.queries)
    if not one.same:
        # A query that pools the patches, or words.
        return read.cpu() if one is last and read is not None and bool(read.any()) else queries >= 0
    before = queries < one.prefix
    before &= read.cpu() if last.same and read is not None and len(read) == one.queries else queries < 1
    return before if bool(before.any()) else queries >= one.prefix
