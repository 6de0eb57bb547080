"""One pass of a classifier over several pictures.

In eval mode the pictures of a batch do not affect each other, so the gradient of the sum of their scalars holds each
picture's own gradient: one vector-Jacobian product serves all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sightglass.explain.backward.gradient import Gradient
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import as_map
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.options import Options
    from sightglass.explain.picture.image import Image
    from sightglass.models.adapter import Target
    from sightglass.models.adapters.classifier import Logits
    from sightglass.models.geometry import Geometry
    from sightglass.models.layers import Layer


MAX_DECODED_BYTES = 64 * 2**20
"""Bytes of decoded pictures above which no more are added to a pass."""
ON_CPU, ON_GPU = 4, 32
"""Pictures in one pass."""


class PassPart(Evidence):
    """One picture's share of a pass over several; it keeps the whole pass alive."""

    def __init__(self, whole: Evidence, place: int, geometry: Geometry) -> None:
        self.whole, self.place = whole, place
        self.resident, self.layers, self.geometry = whole.resident, whole.layers, geometry
        self.tensor = whole.tensor[place : place + 1]
        self.recorded = [recorded[place : place + 1] for recorded in whole.recorded]
        self.activations = [activation[place : place + 1] for activation in whole.activations]
        outputs: Logits = whole.outputs
        self.outputs = outputs.part(place)
        self._gradients = {}
        self.raws = {}
        self.decoded = None
        self._graph = None

    def _backward(self, target: Target) -> list[Gradient]:
        backward([self], [target])
        return self._gradients[target]


def backward(parts: Sequence[PassPart], targets: Sequence[Target]) -> None:
    """Compute the gradients of one target for each part of a pass by one vector-Jacobian product."""
    whole, adapter = parts[0].whole, parts[0].resident.adapter
    with whole.resident.lock, torch.enable_grad():
        total = torch.stack([adapter.scalar(p.outputs, t) for p, t in zip(parts, targets, strict=True)]).sum()
        found: Sequence[torch.Tensor | None] = [None] * len(whole.recorded)
        if total.requires_grad:
            found = torch.autograd.grad(total, whole.recorded, retain_graph=True, allow_unused=True)
    dense = [
        as_map(torch.zeros_like(out) if gradient is None else gradient, layer)
        for gradient, out, layer in zip(found, whole.recorded, whole.layers, strict=True)
    ]
    for part, target in zip(parts, targets, strict=True):
        mine = [gradient[part.place] for gradient in dense]
        part._gradients[target] = [Gradient.of(one, 0, 0, (one.shape[1], one.shape[2])) for one in mine]


def run_pass(resident: Resident, given: Sequence[ModelInput], layers: tuple[Layer, ...]) -> list[PassPart]:
    """Run the model once on several inputs (1, C, h, w) of one size, and return each one's part."""
    whole = Evidence(resident, ModelInput(torch.cat([one.tensor for one in given]), given[0].geometry), layers)
    return [PassPart(whole, place, one.geometry) for place, one in enumerate(given)]


def groups(requests: Iterable[tuple[Image, Options]], most: int) -> Iterator[list[tuple[Image, Options]]]:
    """Yield consecutive requests that one pass may serve: at most `most`, and no more decoded bytes than a pass takes.

    Their options differ in nothing but the targets. Requests are read one ahead at most.
    """
    group: list[tuple[Image, Options]] = []
    for image, options in requests:
        other = bool(group) and replace(options, targets=()) != replace(group[0][1], targets=())
        if other or len(group) == most or sum(one.pixels.nbytes for one, _ in group) > MAX_DECODED_BYTES:
            yield group
            group = []
        group.append((image, options))
    if group:
        yield group
