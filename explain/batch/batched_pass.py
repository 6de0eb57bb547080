"""Run a classifier once over several pictures, with the same Evidence for each as from a separate pass.

In eval mode the pictures of a batch do not affect each other, so the gradient of the sum of their scalars holds each
picture's own gradient: one vector-Jacobian product serves all.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from explain.backward.gradient import Gradient
from explain.evidence.evidence import Evidence
from explain.evidence.layers import as_map
from explain.evidence.targets import decode, resolve
from explain.explanation import Explanation, explain
from explain.methods import method as find_method
from models.geometry import ModelInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from explain.evidence.resident import Resident
    from explain.options import Options
    from explain.picture.image import Image
    from models.adapter import Target
    from models.adapters.classifier import Logits
    from models.geometry import Geometry
    from models.layers import Layer


MAX_DECODED_BYTES = 64 * 2**20
"""Bytes of decoded pictures above which no more are added to a pass."""
ON_CPU, ON_GPU = 4, 32
"""Pictures in one pass."""


def possible(resident: Resident, options: Options) -> bool:
    """Whether a model and a method can take several pictures in one pass: a classifier's quick methods."""
    chosen = find_method(options.method or resident.adapter.spec.method)
    return resident.adapter.splits_batches and resident.gradients and chosen.quick


class Part(Evidence):
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


def backward(parts: Sequence[Part], targets: Sequence[Target]) -> None:
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


def explained(
    resident: Resident,
    images: Sequence[Image],
    given: Sequence[ModelInput],
    layers: tuple[Layer, ...],
    options: Options,
    maps: int,
) -> list[Explanation]:
    """Return an Explanation of each picture, of the given targets or else of its `maps` best classes."""
    parts = passed(resident, given, layers)
    return explained_parts(parts, images, [chosen(options, decode(part, options), maps) for part in parts])


def passed(resident: Resident, given: Sequence[ModelInput], layers: tuple[Layer, ...]) -> list[Part]:
    """Run the model once on several inputs (1, C, h, w) of one size, and return each one's part."""
    whole = Evidence(resident, ModelInput(torch.cat([one.tensor for one in given]), given[0].geometry), layers)
    return [Part(whole, place, one.geometry) for place, one in enumerate(given)]


def explained_parts(
    parts: Sequence[Part],
    images: Sequence[Image],
    each: Sequence[Options],
    *,
    notes: tuple[str, ...] = (),
    milliseconds: Mapping[str, float] = MappingProxyType({}),
) -> list[Explanation]:
    """Return an Explanation of each part by its own options, which differ in nothing but their targets.

    `notes` are of all of them; `milliseconds` those of one.
    """
    options = each[0]
    if find_method(options.method or parts[0].resident.adapter.spec.method).gradients:
        wanted = [resolve(one, decode(part, one), part) for part, one in zip(parts, each, strict=True)]
        for column in range(max(map(len, wanted))):
            # Pictures may have different numbers of targets.
            having = [(part, targets[column]) for part, targets in zip(parts, wanted, strict=True) if targets[column:]]
            backward(*zip(*having, strict=True))
    return [
        explain(image, part, one, milliseconds=dict(milliseconds), notes=(*image.notes, *notes))
        for image, part, one in zip(images, parts, each, strict=True)
    ]


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


def chosen(options: Options, predictions: Sequence[Any], maps: int) -> Options:
    """Return the options with a picture's `maps` best classes as targets, unless targets are given."""
    if options.targets:
        return options
    return replace(options, targets=tuple(prediction.index for prediction in predictions[:maps]))
