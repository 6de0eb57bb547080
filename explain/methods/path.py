"""Path gradients: Integrated Gradients at a layer, from the mean of its places to what it returned.

With x the layer's output and m its mean over all places, the raw map is the sum over channels of (x - m) times the mean
gradient at m + a (x - m), for few steps a between 0 and 1. Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sightglass.explain.backward.gradient import gradients, require_any
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import as_map
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.models.adapter import Target
from sightglass.models.layers import AXES, Layer

STEPS = 3
"""Passes of a map. Two point at fewer of the words' things, four at hardly more (docs/describe.md)."""


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Compute the raw maps of some targets; those that were computed are held."""
    if missing := evidence.missing(method.id, targets):
        with evidence.loaded.lock, torch.enable_grad():
            recorded = [*zip(evidence.layers, (output.detach() for output in evidence.recorded), strict=True)]
            grids = [as_map(output, layer)[0, 0].float() for layer, output in recorded]
            raws = [_integrate(evidence, layer, output, missing) for layer, output in recorded]
            for target, *by_layer in zip(missing, *raws, strict=True):
                # A box may come from one of several scales.
                evidence.raws[method.id, target] = require_any(by_layer, grids, evidence.describe_unreached)
    return RawMaps(evidence.stacked(method.id, targets), evidence.paths)


def _integrate(evidence: Evidence, layer: Layer, output: Tensor, targets: Sequence[Target]) -> list[Tensor | None]:
    """Return the targets' raw maps (h, w) at one layer, None where no gradient arrives."""
    adapter = evidence.loaded.adapter
    pictures, channels = (axis % output.ndim for axis in AXES.get(layer.layout, (0, 1)))
    mean = output.mean([axis for axis in range(output.ndim) if axis not in (pictures, channels)], keepdim=True)
    totals: list[Tensor | None] = [None] * len(targets)
    module = adapter.module.get_submodule(layer.path)
    for step in range(STEPS):
        leaf = (mean + (step + 0.5) / STEPS * (output - mean)).requires_grad_()
        with module.register_forward_hook(lambda *_, leaf=leaf: leaf.clone()):
            outputs = adapter.run(evidence.tensor)
        for index, target in enumerate(targets):
            (slope,) = gradients(adapter.scalar(outputs, target), [leaf])
            if slope is not None:
                total = totals[index]
                totals[index] = slope / STEPS if total is None else total + slope / STEPS
    return [None if total is None else as_map((output - mean) * total, layer)[0].sum(0).float() for total in totals]
