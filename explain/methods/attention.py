"""Attention methods: raw, rollout, gradient rollout, LeGrad, and of a box's own query.

Each map is a row over the keys: that of the token from which the prediction is read, or the mean of several. The
tokens beside the grid's (CLS, registers) are cut off and the rest is a map (h, w).

Inside `Adapter.record_attention(record)` attention is explicit: `record(path, weights)` is called for each attention
module in execution order, with (B, heads, queries, keys) after the softmax, and its result replaces the weights.
`sightglass.models.adapters.attention.record_attention(module, record)` does that for any torch module. The pass of the
layers lists the attention modules too (`Survey.attentions`). Keys must be the picture's tokens: patches by row,
CLS and registers. Queries may be the same tokens, a pooling query, or words. `METHODS` names the papers.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.common.work.progress import check
from sightglass.explain.evidence.determinism import exact
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import nearest_attention, watch
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.evidence.survey import AttentionModule
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.models.adapter import Adapter, Target
from sightglass.models.adapters.queries import CrossAttention
from sightglass.models.layers import cells_of, spread

UNFUSED = "Attention was computed step by step for this map, because fused kernels do not store its weights."
"""The note on every map of attention weights."""


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """One module's attention in one pass over one picture."""

    module: AttentionModule
    weights: Tensor
    """(heads, queries, keys) float32, rows sum to 1."""
    slopes: Tensor
    """(heads, queries, keys) float32, a target's gradient."""
    rows: Tensor
    """(queries,) bool: the queries that count: the class token where the prediction is read from it, else every patch;
    all queries that are other tokens than the keys."""


def _to_map(module: AttentionModule, row: Tensor) -> Tensor:
    """Return (..., keys) as (..., h, w), without the tokens beside the grid's."""
    assert module.grid is not None
    return spread(row[..., cells_of(row.shape[-1], module.extras)].reshape(*row.shape[:-1], *module.grid), module.cover)


def compute_gradients(
    evidence: Evidence, targets: Sequence[Target], request: Request, *, last_only: bool = False
) -> Generator[list[HeadWeights], None, None]:
    """Yield each target's weights and gradients of every module.

    One forward pass with explicit attention for all targets, and one backward pass for each. With `last_only` only the
    last module has a gradient, which says what queries count, and the others' are 0.
    """
    loaded = evidence.loaded
    modules = {attention.path: attention for attention in attentions(loaded)}
    recorded: dict[str, Tensor] = {}

    def record(path: str, weights: Tensor) -> Tensor:
        if path in modules:
            leaf = not weights.requires_grad and (not last_only or path == [*modules][-1])
            recorded[path] = weights.detach().requires_grad_() if leaf else weights
        return recorded.get(path, weights)

    with loaded.lock, torch.enable_grad():
        with loaded.adapter.record_attention(record):
            outputs = loaded.adapter.run(evidence.tensor)
        for number, target in enumerate(targets):
            check()
            request.report(number, len(targets), f"Map {number + 1} of {len(targets)}")
            scalar = loaded.adapter.scalar(outputs, target)
            slopes = dict.fromkeys(recorded, torch.zeros(1, device=scalar.device))
            if scalar.requires_grad:
                leaves = [path for path, weights in recorded.items() if weights.requires_grad]
                weights_of = [recorded[path] for path in leaves]
                gradients = torch.autograd.grad(scalar, weights_of, retain_graph=True, materialize_grads=True)
                slopes |= dict(zip(leaves, gradients, strict=True))
            last = [*recorded][-1]
            read = (slopes[last].expand_as(recorded[last])[0] != 0).any(-1).any(0)
            rows = {path: _rows(modules[path], modules[last], read) for path in recorded}
            yield [
                HeadWeights(
                    modules[path], weights[0].detach().float(), slopes[path].expand_as(weights)[0].float(), rows[path]
                )
                for path, weights in recorded.items()
            ]


def attentions(loaded: LoadedModel) -> tuple[AttentionModule, ...]:
    """Return the attention modules over the whole picture; raise ModelProblem without any."""
    if loaded.adapter.own_tokens:
        raise ModelProblem(
            f"{loaded.adapter.spec.id} draws boxes, and this method explains classes: choose a CAM, such as LayerCAM."
        )
    usable = tuple(attention for attention in loaded.survey.attentions if attention.grid is not None)
    if not usable:
        windows = " over the whole picture" if loaded.survey.attentions else ""
        raise ModelProblem(f"{loaded.adapter.spec.id} has no attention{windows}: choose a CAM, such as LayerCAM.")
    return usable


def _rows(module: AttentionModule, last: AttentionModule, read: Tensor) -> Tensor:
    """Return a module's queries that count (`HeadWeights.rows`); `read`: the last's that the answer is read from."""
    queries = torch.arange(module.queries)
    if not module.same:
        # A query that pools the patches, or words.
        return read.cpu() if module is last and bool(read.any()) else queries >= 0
    others = torch.isin(queries, torch.tensor(cells_of(module.queries, module.extras)), invert=True)
    # Where the last module's queries are other tokens, the first token beside the grid's is the class token.
    comparable = last.same and len(read) == module.queries
    read_from = others & (read.cpu() if comparable else others.cumsum(0) == 1)
    return read_from if bool(read_from.any()) else ~others


@dataclass(frozen=True, slots=True)
class _Reading:
    """The head's outputs of one block's; its weights (1, heads, queries, keys), a leaf of the graph; their module."""

    outputs: Any
    weights: Tensor
    module: AttentionModule


def legrad(evidence: Evidence, targets: Sequence[Target], request: Request) -> list[Tensor]:
    """Return LeGrad's map (h, w) of each target.

    Each block's output Z_l is read by the model's own head in place of the last block's, which gives the target's
    scalar s_l. With the block's attention A_l (heads, queries, keys) the map is a row over the keys, the mean over
    layers l, heads and queries of relu(d s_l / d A_l). Where a query pools the patches at the end, A_l is that query's
    attention to Z_l.

    Raises Cancelled within one block of a stop.
    """
    with torch.enable_grad(), exact(evidence.loaded.device), evidence.loaded.workshop() as adapter:
        readings = []
        modules = attentions(evidence.loaded)
        for number, reading in enumerate(_read_blocks(adapter, evidence.tensor, modules)):
            check()
            request.report(number, len(modules), f"LeGrad, layer {number + 1} of {len(modules)}")
            readings.append(reading)
        maps = ([_relevance(adapter, reading, target) for reading in readings] for target in targets)
        return [torch.stack(layers).mean(0) for layers in maps]


def _read_blocks(adapter: Adapter, tensor: Tensor, modules: Sequence[AttentionModule]) -> Iterator[_Reading]:
    """Yield the head's outputs for each block; the adapter's blocks are replaced."""
    layers = [module for module in modules if module.same]
    pooled = next((module for module in modules if not module.same), None)
    paths = find_blocks([module.path for module in layers])
    blocks = [adapter.module.get_submodule(path) for path in paths]
    weights: dict[str, Tensor] = {}
    outputs: dict[str, Any] = {}

    def record(path: str, values: Tensor) -> Tensor:
        weights[path] = values.detach().requires_grad_()
        return weights[path]

    with watch(adapter.module, paths, outputs.__setitem__), adapter.record_attention(record):
        adapter.run(tensor)
    block_weights = [weights[module.path] for module in layers]
    for path, block in zip(paths, blocks, strict=True):
        # Replaced by its output: only the last block's output reaches the head.
        _return_constant(block, outputs[path])
    for layer, path, values in zip(layers, paths, block_weights, strict=True):
        _return_constant(blocks[-1], outputs[path])
        with adapter.record_attention(record):
            answer = adapter.run(tensor)
        yield _Reading(answer, values, layer) if pooled is None else _Reading(answer, weights[pooled.path], pooled)


def _return_constant(block: nn.Module, output: Any) -> None:
    """Have a block return an output whatever it is given."""
    block.forward = lambda *_, **__: output


def find_blocks(paths: Sequence[str]) -> list[str]:
    """Return the path of the block around each attention module: `blocks.0` of `blocks.0.attn`."""
    names = [path.split(".") for path in paths]
    if len(names) == 1:
        return [".".join(names[0][:-1])]
    shared = next(place for place, parts in enumerate(zip(*names, strict=False)) if len(set(parts)) > 1)
    return [".".join(name[: shared + 1]) for name in names]


def _relevance(adapter: Adapter, reading: _Reading, target: Target) -> Tensor:
    """Return one layer's map (h, w): the positive gradient's mean over heads and queries."""
    scalar = adapter.scalar(reading.outputs, target)
    (gradient,) = torch.autograd.grad(scalar, reading.weights, retain_graph=True, materialize_grads=True)
    return _to_map(reading.module, gradient.float().clamp_min(0).mean((0, 1, 2)))


def check_model(evidence: Evidence, method: Method, _targets: Sequence[Target], request: Request) -> None:
    """Raise ModelProblem where the attention or the head that a method reads is not there."""
    if method.family == "query":
        choose_head(_cross_attention(evidence).maps(0), request.head)
        return
    loaded = evidence.loaded
    if method.id != "attention" and loaded.survey.attentions and not loaded.attends_to_one_grid:
        raise ModelProblem(
            f"{loaded.adapter.spec.id} does not attend to one grid throughout, so {method.name} cannot join its "
            "layers: choose a CAM, such as LayerCAM."
        )
    attentions(loaded)


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Run a method of attention; maps that take a pass are cached in the Evidence.

    Raises ModelProblem for a head that it has not.
    """
    if method.family == "query":
        return _run_query(evidence, targets, request.head)
    if method.id == "attention":
        maps = heads(evidence, targets[0])
        rows = [choose_head(heatmap, request.head) for heatmap in maps.values()]
        return RawMaps([row.expand(len(targets), *row.shape) for row in rows], tuple(maps), (UNFUSED,))
    missing = evidence.missing(method.id, targets)
    if missing and method.id == "rollout":
        (modules,) = compute_gradients(evidence, missing[:1], request, last_only=True)
        raw = rollout(modules)
        # Rollout is independent of the class.
        evidence.raws |= {(method.id, target): [raw] for target in missing}
    elif missing and method.id == "legrad":
        for target, raw in zip(missing, legrad(evidence, missing, request), strict=True):
            evidence.raws[method.id, target] = [raw]
    elif missing:
        # Closed here, as it holds the model's lock between two targets.
        with closing(compute_gradients(evidence, missing, request)) as gradients:
            for target, modules in zip(missing, gradients, strict=True):
                evidence.raws[method.id, target] = [chefer(modules)]
    return RawMaps(evidence.stacked(method.id, targets), ("every attention",), (UNFUSED,))


def choose_head(maps: Tensor, head: int | None) -> Tensor:
    """Return one head's map of (heads, h, w), by default their mean."""
    if head is not None and not 0 <= head < len(maps):
        raise ModelProblem(f"There is no head {head}: this attention has {len(maps)}, which count from 0.")
    return maps.mean(0) if head is None else maps[head]


def heads(evidence: Evidence, target: Target) -> dict[str, Tensor]:
    """Return each head's weights (heads, h, w) of the layers' attention, by path."""
    usable = [attention.path for attention in attentions(evidence.loaded)]
    paths = list(dict.fromkeys(nearest_attention(layer, usable) for layer in evidence.layers))
    keys = {path: (f"attention of {path}", target) for path in paths}
    if missing := [path for path in paths if keys[path] not in evidence.raws]:
        (modules,) = compute_gradients(evidence, [target], Request(), last_only=True)
        for entry in (entry for entry in modules if entry.module.path in missing):
            evidence.raws[keys[entry.module.path]] = [_to_map(entry.module, entry.weights[:, entry.rows].mean(1))]
    return {path: evidence.raws[key][0] for path, key in keys.items()}


def rollout(modules: Sequence[HeadWeights]) -> Tensor:
    """Return Rollout's map (h, w): the product over layers of (mean over heads of W + I) / 2."""
    return _join(modules, [entry.weights.mean(0) for entry in modules], 0.5)


def chefer(modules: Sequence[HeadWeights]) -> Tensor:
    """Return Chefer's map (h, w): layer by layer from R = I, R <- R + mean over heads of relu(gradient * W) R.

    Where queries are other tokens than the keys: R <- the mean times R (equations 5, 6, 10).
    """
    return _join(modules, [(entry.slopes * entry.weights).clamp_min(0).mean(0) for entry in modules], 1)


def _join(modules: Sequence[HeadWeights], means: Sequence[Tensor], share: float) -> Tensor:
    """Return the map (h, w) of R <- share (R + mean R) over layers, from each one's mean over heads."""
    joined: Tensor | None = None
    first = modules[0].module
    for entry, mean in zip(modules, means, strict=True):
        if entry.module.same:
            before = torch.eye(len(mean), device=mean.device) if joined is None else joined
            joined = share * (before + mean @ before)
        else:
            # Without the tokens before those that this module reads.
            joined = mean if joined is None else mean @ joined[len(first.extras) - len(entry.module.extras) :]
    assert joined is not None
    return _to_map(first, joined[modules[-1].rows].mean(0))


def _run_query(evidence: Evidence, targets: Sequence[Target], head: int | None) -> RawMaps:
    """Return the cross-attention of a DETR box's own query, without a pass.

    A box of DETR's family is one query q of the decoder, whose last cross-attention multiplies the value of each cell j
    of the encoder's map by a weight A[q, j]. DETR has softmax over j of (q . k_j / sqrt(d)). Deformable attention
    samples a few places p of several levels with weights a[q, p], which bilinear sampling divides among four cells
    each: the sum over p of a[q, p] * b[p, j]. Levels are added on the finest grid; a coarser cell's weight is divided
    evenly among the cells that it covers. The map is the mean of the heads, or one head; of several boxes the mean. It
    shows what the query read, not that this decided.
    """
    attended = _cross_attention(evidence)
    maps = [choose_head(_read_queries(attended, evidence, target), head) for target in targets]
    note = "This map shows what the box's query read in its last layer, which need not have decided."
    return RawMaps([torch.stack(maps)], (attended.path,), (note,))


def _cross_attention(evidence: Evidence) -> CrossAttention:
    """Return what the queries of a pass attended to.

    Raises ModelProblem where boxes are no queries.
    """
    attended: CrossAttention | None = getattr(evidence.outputs, "attended", None)
    if attended is None:
        raise ModelProblem(
            f"{evidence.loaded.adapter.spec.id} has no boxes that are queries of a decoder: choose a CAM, such as "
            "GradCAM."
        )
    return attended


def _read_queries(attended: CrossAttention, evidence: Evidence, target: Target) -> Tensor:
    """Return (heads, h, w): the mean of a target's queries."""
    outputs = evidence.outputs
    # As the score of a class without a box is that of its strongest candidate.
    queries = target.anchors or (int(outputs.logits[0, target.index].argmax()),)
    return torch.stack([attended.maps(query) for query in queries]).mean(0)
