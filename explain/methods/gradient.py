"""Grad-CAM's family: one formula per method.

Notation: A_c is channel c of one layer's activations, g_c the gradient of the target's score with respect to it, both
(h, w). Every method takes an Activation `a` (C, h, w) and a Gradient `g` (C, h', w' in a window, 0 elsewhere), and
returns one signed float map (h, w), neither clipped nor scaled. Where the gradient is 0 nothing is multiplied: a
detection's is 0 nearly everywhere.

>>> from sightglass import Explainer
>>> Explainer()("bus.jpg", top_k=1, method="layercam").heatmaps[0].raw[0].shape
(7, 7)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sightglass.explain.backward.gradient import Activation, Gradient, projection
from sightglass.explain.evidence.evidence import MAX_WINDOWED, Evidence
from sightglass.explain.evidence.recorded import replayed
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.models.adapter import Target
from sightglass.models.geometry import Geometry, picture_cells


def _weigh(weights: Tensor, a: Activation) -> Tensor:
    """Return sum_c weights[c] * A_c, (h, w)."""
    return torch.einsum("c,chw->hw", weights, a.values)


def gradcam(a: Activation, g: Gradient) -> Tensor:
    """Return GradCAM's map: sum_c w_c A_c with w_c = mean over all places of g_c.

    Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, equation 1; without its ReLU.
    """
    return _weigh(g.total() / (g.shape[0] * g.shape[1]), a)


def gradcam_plus_plus(a: Activation, g: Gradient) -> Tensor:
    """Return GradCAM++'s map: sum_c w_c A_c with w_c = sum over places of alpha_c relu(g_c); small objects count too.

    alpha_c = g_c^2 / (2 g_c^2 + sum(A_c) g_c^3 + 1e-6). Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063,
    equation 19.
    """
    # Where g is not positive its product with relu(g) is 0.
    positive = g.values.clamp_min(0)
    below = (positive * a.total[:, None, None]).add_(2).mul_(positive).mul_(positive).add_(1e-6)
    return _weigh(positive.pow_(3).div_(below).sum((1, 2)), a)


def hirescam(a: Activation, g: Gradient) -> Tensor:
    """Return HiResCAM's map: sum_c g_c A_c, place by place; faithful where only linear layers follow.

    Draelos & Carin 2020, https://arxiv.org/abs/2011.08891.
    """
    return g.placed(g.along(a))


def xgradcam(a: Activation, g: Gradient) -> Tensor:
    """Return XGradCAM's map: sum_c w_c A_c with w_c = sum(g_c A_c) / (sum(A_c) + 1e-7).

    Fu et al. 2020, https://arxiv.org/abs/2008.02312.
    """
    return _weigh((g.values * g.part(a.values)).sum((1, 2)) / (a.total + 1e-7), a)


def layercam(a: Activation, g: Gradient) -> Tensor:
    """Return LayerCAM's map: sum_c relu(g_c) A_c, place by place; good in early layers.

    Jiang et al. 2021, https://doi.org/10.1109/TIP.2021.3089943.
    """
    return g.placed(g.values.clamp_min(0).mul_(g.part(a.values)).sum(0))


def eigencam(a: Activation, g: Gradient) -> Tensor:
    """Return EigenCAM's map: the activations A (h * w, C), centred, times their first right singular vector.

    The same for every target; `g` is not read. Muhammad & Yeasin 2020, https://arxiv.org/abs/2008.00299.
    """
    return a.first_component


def eigengradcam(a: Activation, g: Gradient) -> Tensor:
    """Return EigenGradCAM's map: EigenCAM's projection of g * A instead of A (pytorch-grad-cam)."""
    inside, outside = projection(g.values * g.part(a.values), g.shape[0] * g.shape[1])
    return g.placed(inside, outside)


def randomcam(a: Activation, g: Gradient) -> Tensor:
    """Return RandomCAM's map: sum_c w_c A_c with w_c drawn from -1 to 1, the same each time (pytorch-grad-cam).

    A control; `g` is not read.
    """
    return _weigh(torch.from_numpy(np.random.RandomState(0).uniform(-1, 1, len(a.values))).to(a.values), a)


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Run a quick method at the layers of the evidence."""
    return RawMaps(raw_maps(evidence, method, targets), evidence.paths)


def raw_maps(evidence: Evidence, method: Method, targets: Sequence[Target]) -> list[Tensor]:
    """Return a quick method's signed maps, one (k, h, w) per layer."""
    compute(evidence, [method], targets)
    return evidence.stacked(method.id, targets)


def compute(evidence: Evidence, methods: Sequence[Method], targets: Sequence[Target]) -> None:
    """Compute and cache the maps of several methods, with shared gradients.

    A class of several boxes gets the sum of its boxes' maps, scaled to one peak. The map of the summed scores would
    show mostly the dominant box: one of the four persons of bus.jpg.
    """
    by_box = {target: _boxes(target) for target in targets}
    for_classes = [method for method in methods if method.gradients]
    _compute(evidence, for_classes, [box for target in targets for box in by_box[target]])
    _compute(evidence, [method for method in methods if not method.gradients], targets)
    for target, boxes in by_box.items():
        for method in for_classes:
            if (method.id, target) not in evidence.raws:
                layers = zip(*(evidence.raws[method.id, box] for box in boxes), strict=True)
                evidence.raws[method.id, target] = [add_evenly(torch.stack(maps), evidence.geometry) for maps in layers]


def add_evenly(maps: Tensor, geometry: Geometry) -> Tensor:
    """Add up signed maps (k, h, w), each scaled to their mean peak.

    A map without a positive value has no peak, and is left out where another has one.
    """
    y0, y1, x0, x1 = picture_cells(geometry, *maps.shape[1:])
    peaks = maps[:, y0:y1, x0:x1].amax((1, 2), keepdim=True)
    positive = peaks > 0
    if not bool(positive.any()):
        return maps.sum(0)
    # What is not a number stays so, times 0 too: the map is then shown as broken.
    return (maps * torch.where(positive, peaks[positive].mean() / peaks, 0)).sum(0)


def _boxes(target: Target) -> list[Target]:
    """Split a class's target into one target per box."""
    if target.index is None or not 1 < len(target.anchors) <= MAX_WINDOWED:
        return [target]
    return [replace(target, anchors=(anchor,)) for anchor in target.anchors]


def _compute(evidence: Evidence, methods: Sequence[Method], targets: Sequence[Target]) -> None:
    missing = {
        target: by
        for target in dict.fromkeys(targets)
        if (by := [method for method in methods if (method.id, target) not in evidence.raws])
    }
    if not missing:
        return
    needed = [target for target, by in missing.items() if any(method.gradients for method in by)]
    layers = evidence.gradients(needed) if needed else []
    gradients = dict(zip(needed, zip(*layers, strict=True), strict=True))
    # Methods without gradients get an unused placeholder.
    nothing = [Gradient.from_values(a[0, :, :1, :1]) for a in evidence.activations]
    inputs = [[*gradients.get(target, nothing)] for target in missing]
    ways = [(target.both_ways or target.part == "signed", by) for target, by in missing.items()]
    values = [a.values for a in evidence.layered] + [g.values for row in inputs for g in row]

    def maps(tensors: Sequence[Tensor]) -> list[list[list[Tensor]]]:
        """Return the maps by target, method and layer."""
        count, remaining = len(evidence.layered), iter(tensors)
        firsts = list(itertools.islice(remaining, count))
        layered = evidence.layered if tensors is values else list(map(Activation, firsts))
        # Copies, so that their cached values are freed with them.
        rows = [[replace(g, values=next(remaining)) for g in row] for row in inputs]
        return [
            [[_signed(method, both_ways, a, g) for a, g in zip(layered, row, strict=True)] for method in by]
            for (both_ways, by), row in zip(ways, rows, strict=True)
        ]

    windows = tuple((g.top, g.left, g.shape) for row in inputs for g in row)
    key = (tuple((both_ways, tuple(method.id for method in by)) for both_ways, by in ways), windows)
    # The others search for a vector, or draw numbers.
    plain = all(method.family == "gradient" for _, by in ways for method in by)
    with torch.no_grad():
        by_target = replayed(key, maps, values) if plain else maps(values)
    for (target, by), by_method in zip(missing.items(), by_target, strict=True):
        evidence.raws |= {(method.id, target): raws for method, raws in zip(by, by_method, strict=True)}


def _signed(method: Method, both_ways: bool, a: Activation, g: Gradient) -> Tensor:
    """Return a map, `both_ways` less that of the negated score."""
    heatmap = method.compute(a, g)
    # A linear method's map of the negated score is its negated map already.
    return heatmap - method.compute(a, g.negated()) if both_ways and method.signed and not method.linear else heatmap
