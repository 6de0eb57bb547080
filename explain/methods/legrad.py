"""LeGrad: positive gradients of attention, layer by layer.

Each block's output Z_l is read by the model's own head in place of the last block's, which gives the target's scalar
s_l. With the block's attention A_l (heads, queries, keys) the map is a row over the keys, the mean over layers l, heads
and queries of relu(d s_l / d A_l). Where a query pools the patches at the end, A_l is that query's attention to Z_l.
Bousselham et al. 2024, https://arxiv.org/abs/2404.03214.

>>> from sightglass import Explainer
>>> Explainer("demo-vit")("bus.jpg", top_k=1, method="legrad").heatmaps[0].layers
('every attention',)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sightglass.common.errors import Cancelled
from sightglass.explain.evidence.attention import attentions
from sightglass.explain.evidence.determinism import exact
from sightglass.models.adapters.folding import copy_adapter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.evidence.survey import Attended
    from sightglass.explain.methods.method import Request
    from sightglass.models.adapter import Adapter, Target


@dataclass(frozen=True, eq=False)
class _Reading:
    """What the head says of one block's output."""

    outputs: Any
    weights: Tensor
    """(1, heads, queries, keys), a leaf of the graph."""
    seen: Attended


def legrad(evidence: Evidence, targets: Sequence[Target], request: Request) -> list[Tensor]:
    """Return LeGrad's map (h, w) of each target: one pass, and one of the head alone for each block.

    Raises Cancelled within one block of a stop.
    """
    device = evidence.resident.device
    with torch.enable_grad(), exact(device):
        readings, adapter = [], copy_adapter(evidence.resident.adapter)
        seen = attentions(evidence.resident)
        for number, one in enumerate(_read_blocks(adapter, evidence.tensor, seen)):
            if request.cancel is not None and request.cancel.is_set():
                raise Cancelled
            if request.progress is not None:
                request.progress(min(number / len(seen), 0.99), f"LeGrad, layer {number + 1} of {len(seen)}")
            readings.append(one)
        return [torch.stack([_map(adapter, one, target) for one in readings]).mean(0) for target in targets]


def _read_blocks(adapter: Adapter, tensor: Tensor, seen: Sequence[Attended]) -> Iterator[_Reading]:
    """Yield what the head says of each block's output, in the order of execution; the adapter's blocks are lost."""
    layers = [one for one in seen if one.same]
    pooled = next((one for one in seen if not one.same), None)
    blocks = [adapter.module.get_submodule(path) for path in find_blocks([one.path for one in layers])]
    weights: dict[str, Tensor] = {}
    outputs: dict[nn.Module, Any] = {}

    def record(path: str, values: Tensor) -> Tensor:
        weights[path] = values.detach().requires_grad_()
        return weights[path]

    handles = [block.register_forward_hook(lambda part, _, output: outputs.update({part: output})) for block in blocks]
    try:
        with adapter.record_attention(record):
            adapter.run(tensor)
    finally:
        for handle in handles:
            handle.remove()
    own = [weights[one.path] for one in layers]
    for block in blocks:
        # Each answers at once: what counts is what the last one hands to the head.
        _answer_at_once(block, outputs[block])
    for layer, block, values in zip(layers, blocks, own, strict=True):
        _answer_at_once(blocks[-1], outputs[block])
        with adapter.record_attention(record):
            found = adapter.run(tensor)
        yield _Reading(found, values, layer) if pooled is None else _Reading(found, weights[pooled.path], pooled)


def _answer_at_once(block: nn.Module, output: Any) -> None:
    """Have a block return an output whatever it is given."""
    block.forward = lambda *_, **__: output


def find_blocks(paths: Sequence[str]) -> list[str]:
    """Return the path of the block around each attention module: up to the first name in which they differ.

    >>> find_blocks(["blocks.0.attn", "blocks.1.attn"])
    ['blocks.0', 'blocks.1']
    """
    names = [path.split(".") for path in paths]
    if len(names) == 1:
        return [".".join(names[0][:-1])]
    shared = next(place for place, each in enumerate(zip(*names, strict=False)) if len(set(each)) > 1)
    return [".".join(one[: shared + 1]) for one in names]


def _map(adapter: Adapter, one: _Reading, target: Target) -> Tensor:
    """Return one layer's map (h, w): the positive gradient's mean over heads and queries."""
    scalar = adapter.scalar(one.outputs, target)
    found = torch.autograd.grad(scalar, one.weights, retain_graph=True, allow_unused=True)[0]
    gradient = torch.zeros_like(one.weights) if found is None else found
    row = gradient[0].clamp_min(0).mean((0, 1))  # (keys,)
    assert one.seen.grid is not None
    return row[one.seen.prefix :].reshape(one.seen.grid)
