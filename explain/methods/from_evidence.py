"""Run quick methods on recorded activations and gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sightglass.explain.backward.gradient import Gradient
from sightglass.explain.methods.method import Method, RawMaps, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.models.adapter import Target


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Run a quick method at the layers of the evidence."""
    return RawMaps(raw_maps(evidence, method, targets), evidence.paths)


def raw_maps(evidence: Evidence, method: Method, targets: Sequence[Target]) -> list[Tensor]:
    """Return a quick method's maps: one (k, h, w) per layer, signed, on the model's device; held with the Evidence."""
    compute(evidence, [method], targets)
    return evidence.stacked(method.id, targets)


def compute(evidence: Evidence, methods: Sequence[Method], targets: Sequence[Target]) -> None:
    """Compute and hold the maps of several methods; the gradients that they share are computed once."""
    missing = {
        target: by
        for target in dict.fromkeys(targets)
        if (by := [method for method in methods if (method.id, target) not in evidence.raws])
    }
    needed = [target for target, by in missing.items() if any(method.gradients for method in by)]
    layers = evidence.gradients(needed) if needed else []
    gradients = dict(zip(needed, zip(*layers, strict=True), strict=True))
    # A method without gradients still gets one for each target, which it never reads.
    nothing = [Gradient.of(a[0, :, :1, :1]) for a in evidence.activations]
    with torch.no_grad():
        for target, by in missing.items():
            made: dict[Method, list[Tensor]] = {method: [] for method in by}
            for activation, gradient in zip(evidence.layered, gradients.get(target, nothing), strict=True):
                # A copy, so that what is computed from it is freed with it.
                given = replace(gradient)
                for method, maps in made.items():
                    maps.append(method.compute(activation, given))
            evidence.raws |= {(method.id, target): maps for method, maps in made.items()}
