"""Attention methods: raw, rollout, gradient rollout, LeGrad.

Each map is a row over the keys: that of the token from which the prediction is read, or the mean of several. The
tokens before the grid's (CLS, registers) are cut off and the rest is a map (h, w).

>>> from sightglass import Explainer
>>> Explainer("demo-vit")("bus.jpg", top_k=1, method="rollout").heatmaps[0].layers
('every attention',)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.attention import COMPUTED_OPENLY, attentions, choose, follow, weigh
from sightglass.explain.methods.legrad import legrad
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.explain.methods.windowed_attention import EVERY, join_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightglass.explain.evidence.attention import Weighed
    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.models.adapter import Target


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Run Attention, Rollout, Chefer or LeGrad; the maps are held with the Evidence."""
    if method.id == "attention":
        maps, head = heads(evidence, targets[0]), request.head
        (count,) = {len(one) for one in maps.values()} if head is not None else {0}
        if head is not None and not 0 <= head < count:
            raise ModelProblem(f"There is no head {head}: this attention has {count}, which count from 0.")
        rows = [one.mean(0) if head is None else one[head] for one in maps.values()]
        return RawMaps([row.expand(len(targets), *row.shape) for row in rows], tuple(maps), (COMPUTED_OPENLY,))
    if evidence.resident.attentions and not evidence.resident.attends_to_one_grid:
        return join_windows(evidence, method, targets, request)
    missing = evidence.missing(method.id, targets)
    if missing and method.id == "rollout":
        paths = [one.path for one in attentions(evidence.resident)]
        raw = rollout(weigh(evidence, missing[0], wanted=paths))
        # The same for every class: it knows of none.
        evidence.raws |= {(method.id, target): [raw] for target in missing}
    elif missing and method.id == "legrad":
        for target, raw in zip(missing, legrad(evidence, missing, request), strict=True):
            evidence.raws[method.id, target] = [raw]
    elif missing:
        followed = follow(evidence, missing, progress=request.progress, cancel=request.cancel)
        for target, modules in zip(missing, followed, strict=True):
            evidence.raws[method.id, target] = [chefer(modules)]
    return RawMaps(evidence.stacked(method.id, targets), (EVERY,), (COMPUTED_OPENLY,))


def heads(evidence: Evidence, target: Target) -> dict[str, Tensor]:
    """Return the weights of each head of the layers' attention: (heads, h, w) by path, the same for every class."""
    paths = choose(evidence)
    keys = {path: (f"attention of {path}", target) for path in paths}
    if missing := [path for path in paths if keys[path] not in evidence.raws]:
        for one in weigh(evidence, target, wanted=missing):
            evidence.raws[keys[one.seen.path]] = [one.to_map(one.weights[:, one.rows].mean(1))]
    return {path: evidence.raws[key][0] for path, key in keys.items()}


def rollout(modules: Sequence[Weighed]) -> Tensor:
    """Return Rollout's map (h, w): the product over layers of (mean over heads of W + I) / 2.

    Abnar & Zuidema 2020, https://arxiv.org/abs/2005.00928.
    """
    mixed: Tensor | None = None
    for one in modules:
        mean = one.weights.mean(0)
        if one.seen.same:
            half = (mean + torch.eye(len(mean), device=mean.device)) / 2
            mixed = half if mixed is None else half @ mixed
        else:
            mixed = mean if mixed is None else mean @ _keys(mixed, modules[0], one)
    return _read(modules, mixed)


def chefer(modules: Sequence[tuple[Weighed, Tensor]]) -> Tensor:
    """Return Chefer's map (h, w): R <- R + mean over heads of relu(gradient * W) R, layer by layer, from R = I.

    Where queries are other tokens than the keys: R <- the mean times R. Chefer et al. 2021,
    https://arxiv.org/abs/2103.15679, equations 5, 6, 10.
    """
    relevance: Tensor | None = None
    for one, gradient in modules:
        mean = (gradient * one.weights).clamp_min(0).mean(0)
        if one.seen.same:
            before = torch.eye(len(mean), device=mean.device) if relevance is None else relevance
            relevance = before + mean @ before
        else:
            relevance = mean if relevance is None else mean @ _keys(relevance, modules[0][0], one)
    return _read([one for one, _ in modules], relevance)


def _keys(matrix: Tensor, first: Weighed, one: Weighed) -> Tensor:
    """Return a matrix's rows for the tokens that a module reads: it may leave out the first module's class token."""
    return matrix[first.seen.prefix - one.seen.prefix :]


def _read(modules: Sequence[Weighed], matrix: Tensor | None) -> Tensor:
    assert matrix is not None
    return modules[0].to_map(matrix[modules[-1].rows].mean(0))
