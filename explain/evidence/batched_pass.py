"""Run a model once on several pictures, and split the pass into one part for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, zip_longest
from typing import TypeVar

import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain.backward.gradient import Gradient, require_any
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import as_map
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import FunctionTarget, Target
from sightglass.models.adapters.classifier import Logits
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import AXES, Layer

T = TypeVar("T")
R = TypeVar("R")
MAX_DECODED_BYTES = 128 * 2**20
"""Bytes of decoded pictures above which no more are added to a pass."""
ON_CPU, ON_GPU = 4, 32
"""Pictures in one pass."""


class PassPart(Evidence):
    """One picture's part of a batched pass, which it keeps alive."""

    def __init__(self, whole: Evidence, place: int, geometry: Geometry, answers: Logits) -> None:
        """`answers`: the outputs of the whole, where they are read."""
        self.whole, self.place = whole, place
        self.loaded, self.layers, self.geometry = whole.loaded, whole.layers, geometry
        self.tensor = whole.tensor[place : place + 1]
        self.activations = [activation[place : place + 1] for activation in whole.activations]
        pairs = zip(whole.recorded, whole.layers, strict=True)
        self.recorded = [recorded.narrow(AXES[layer.layout][0], place, 1) for recorded, layer in pairs]
        self.outputs, self.answers = whole.outputs.part(place), answers.part(place)
        self._gradients = {}
        self.raws = {}

    def with_graph(self) -> Evidence:
        return Evidence(self.loaded, ModelInput(self.tensor, self.geometry), self.layers).with_graph()

    def _backward(self, target: Target) -> list[Gradient]:
        if isinstance(target, FunctionTarget):
            return self.with_graph()._backward(target)
        backward([self], [[target]])
        return self._gradients[target]


def backward(parts: Sequence[PassPart], targets: Sequence[Sequence[Target]]) -> None:
    """Compute the gradients of each part's targets: the first ones of all parts by one product, and so on."""
    whole, adapter = parts[0].whole, parts[0].loaded.adapter
    # Pictures may have different numbers of targets.
    for column in zip_longest(*targets):
        pairs = [(part, target) for part, target in zip(parts, column, strict=True) if target is not None]
        if (rows := whole.rows([target for _, target in pairs])) is not None:
            for (part, target), slope in zip(pairs, rows, strict=True):
                part._gradients[target] = [Gradient.from_values(slope)]
            continue
        with whole.loaded.lock, torch.enable_grad():
            total = torch.stack([adapter.scalar(part.outputs, target) for part, target in pairs]).sum()
            slopes = require_any(whole.slopes(total), whole.recorded)
        dense = [as_map(gradient.float(), layer) for gradient, layer in zip(slopes, whole.layers, strict=True)]
        for part, target in pairs:
            part._gradients[target] = [Gradient.from_values(gradient[part.place]) for gradient in dense]


def run_pass(loaded: LoadedModel, inputs: Sequence[ModelInput], layers: tuple[Layer, ...]) -> list[PassPart]:
    """Run the model once on several inputs (1, C, h, w) of one size.

    Raises ModelProblem where a caller's module does not take several, or mixes them.
    """
    if loaded.pictures_in_a_pass(len(inputs), inputs[0].tensor) < len(inputs):
        raise ModelProblem(f"{loaded.adapter.spec.id} answers otherwise for several pictures: give one at a time.")
    whole = Evidence(loaded, ModelInput(torch.cat([item.tensor for item in inputs]), inputs[0].geometry), layers)
    answers: Logits = whole.outputs
    # Reading them one by one, each picture would wait for the GPU several times.
    answers = answers.on_host() if whole.tensor.device.type != "cpu" else answers
    return [PassPart(whole, place, item.geometry, answers) for place, item in enumerate(inputs)]


def in_batches(items: Iterable[T], size: int, work: Callable[[list[T]], R]) -> Iterator[R]:
    """Yield what `work` returns for up to `size` items at a time; half as many once a GPU is full."""
    remaining, left = iter(items), list[T]()
    while left := left or list(islice(remaining, size)):
        try:
            result = work(left[:size])
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            torch.cuda.empty_cache()
            continue
        left = left[size:]
        yield result


def groups(
    requests: Iterable[tuple[Image, Options]], size: Callable[[Options], int]
) -> Iterator[list[tuple[Image, Options]]]:
    """Group consecutive requests for one pass, up to the `size` for their options and a byte limit.

    Their options differ in nothing but the targets. Requests are read one ahead at most.
    """
    group: list[tuple[Image, Options]] = []
    for image, options in requests:
        if group:
            first = group[0][1]
            differs = replace(options, targets=()) != replace(first, targets=())
            full = len(group) >= size(first) or sum(image.pixels.nbytes for image, _ in group) > MAX_DECODED_BYTES
            if differs or full:
                yield group
                group = []
        group.append((image, options))
    if group:
        yield group
