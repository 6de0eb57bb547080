"""Run quick methods on recorded activations and gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sightglass.explain.backward.gradient import Gradient
from sightglass.explain.evidence.evidence import MAX_WINDOWED
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.models.geometry import picture_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.models.adapter import Target
    from sightglass.models.geometry import Geometry


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
    needed = [target for target, by in missing.items() if any(method.gradients for method in by)]
    layers = evidence.gradients(needed) if needed else []
    gradients = dict(zip(needed, zip(*layers, strict=True), strict=True))
    # Methods without gradients get an unused placeholder.
    nothing = [Gradient.of(a[0, :, :1, :1]) for a in evidence.activations]
    with torch.no_grad():
        for target, by in missing.items():
            maps_by_method: dict[Method, list[Tensor]] = {method: [] for method in by}
            for activation, gradient in zip(evidence.layered, gradients.get(target, nothing), strict=True):
                # A copy, so that its cached values are freed with it.
                gradient_copy = replace(gradient)
                for method, maps in maps_by_method.items():
                    both_ways = (target.both_ways or target.part == "signed") and method.signed and not method.linear
                    heatmap = method.compute(activation, gradient_copy)
                    # A linear method's map of the negated score is its negated map already.
                    maps.append(heatmap - method.compute(activation, gradient_copy.negated()) if both_ways else heatmap)
            evidence.raws |= {(method.id, target): maps for method, maps in maps_by_method.items()}
