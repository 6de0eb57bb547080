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
            for target in missing:
                evidence.raws[method.id, target] = []
            for layer, output in zip(evidence.layers, evidence.recorded, strict=True):
                for target, raw in zip(missing, _integrate(evidence, layer, output.detach(), missing), strict=True):
                    evidence.raws[method.id, target].append(raw)
    return RawMaps(evidence.stacked(method.id, targets), evidence.paths)


def _integrate(evidence: Evidence, layer: Layer, output: Tensor, targets: Sequence[Target]) -> list[Tensor]:
    """Return the targets' raw maps (h, w) at one layer."""
    adapter = evidence.loaded.adapter
    pictures, channels = (axis % output.ndim for axis in AXES.get(layer.layout, (0, 1)))
    mean = output.mean([axis for axis in range(output.ndim) if axis not in (pictures, channels)], keepdim=True)
    totals = [torch.zeros_like(output) for _ in targets]
    module = adapter.module.get_submodule(layer.path)
    for step in range(STEPS):
        leaf = (mean + (step + 0.5) / STEPS * (output - mean)).requires_grad_()
        with module.register_forward_hook(lambda *_, leaf=leaf: leaf.clone()):
            outputs = adapter.run(evidence.tensor)
        for total, target in zip(totals, targets, strict=True):
            (slope,) = require_any(gradients(adapter.scalar(outputs, target), [leaf]), [leaf])
            total += slope / STEPS
    return [as_map((output - mean) * total, layer)[0].sum(0).float() for total in totals]
