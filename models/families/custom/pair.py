"""Classifiers and regressions that take two pictures: siamese networks, RGB and depth."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.common.legible import legible
from sightglass.models.families.custom.classifier import CustomClassifier, logits_of
from sightglass.models.families.custom.probe import Probed, answer_in, probe
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import Layer
from sightglass.models.preprocess import STRIP, Preprocessing, join, prepare, split
from sightglass.models.spec import METHOD, ModelSpec, PreprocessingTable, Task

FLAT = 64
"""Side of the flat pictures that layers are found with."""


class PairClassifier(CustomClassifier):
    """A module from two pictures, as `module(a, b)` or `module((a, b))`, to logits or numbers.

    Its input is one tensor (B, 3, h, 2 w) with the two side by side, prepared each by itself; its picture is what
    `join` makes of the two.
    """

    preprocessings = ("trained",)
    splits_batches = False
    has_embedding = False

    def __init__(
        self,
        spec: ModelSpec,
        module: nn.Module,
        labels: Sequence[str],
        each: tuple[Preprocessing, Preprocessing],
        weights_sha256: str,
        *,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(spec, module, labels, each[0], weights_sha256, notes=notes)
        self.inputs = tuple(legible(table.name) for table in spec.weights.inputs)
        self.each, self.together = each, takes_tuple(module)
        self.branches = self._find_branches()
        if not self.branches and spec.method == METHOD:
            self.spec = replace(spec, method="integratedgradients")

    @property
    def channels(self) -> int:
        return 3

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        halves = split(pixels, self.spec.id, self.inputs)
        tensors = [
            prepare(half, preparation, preprocessing).tensor.expand(-1, 3, -1, -1)
            for half, preparation in zip(halves, self.each, strict=True)
        ]
        tensor = torch.cat(tensors, 3)
        (height, width), (h, w) = halves[0].shape[:2], (tensor.shape[2], tensor.shape[3] // 2)
        original = (height + STRIP, 2 * width)
        geometry = Geometry(original, (h, 2 * w), (h / height, w / width), (0.0, 0.0), columns=2)
        return ModelInput(tensor, geometry)

    def flat_input(self, value: int = 128) -> Tensor:
        flat = np.full((FLAT, FLAT, 3), value, np.uint8)
        return self.prepare(join(flat, flat), "trained").tensor

    def _answer(self, tensor: Tensor) -> Tensor:
        answer = answer_in(self._call(*tensor.chunk(2, 3)), self.spec.weights.output)
        assert answer is not None
        return logits_of(answer, self.kind)

    def _call(self, first: Tensor, second: Tensor) -> Any:
        before, after = self.each
        return call(self.module, first[:, : before.channels], second[:, : after.channels], together=self.together)

    def _find_branches(self) -> dict[str, tuple[int, ...]]:
        """Return the picture of each call of a module, by path."""
        seen: list[dict[str, list[bool]]] = [{}, {}]

        def see(path: str, calls: dict[str, list[bool]], _module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                calls.setdefault(path, []).append(output.requires_grad)

        for place, calls in enumerate(seen):
            halves = list(self.flat_input().chunk(2, 3))
            # A copy, as in-place operations may not write into a leaf.
            halves[place] = halves[place].clone().requires_grad_().clone()
            with ExitStack() as hooks, torch.enable_grad():
                for path, module in self.module.named_modules():
                    if path:
                        hooks.enter_context(module.register_forward_hook(partial(see, path, calls)))
                self._call(*halves)
        branches: dict[str, tuple[int, ...]] = {}
        for path, of_first in seen[0].items():
            pairs = list(zip(of_first, seen[1].get(path, ()), strict=False))
            # A module with two calls per picture has no single map.
            sides = tuple(int(second) for first, second in pairs if first != second)
            if len(sides) == len(pairs) == len({*sides}):
                branches[path] = sides
        return branches

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the last layer of each picture, once if both share it."""
        if not self.branches:
            return super().default_layers(layers)
        apart = [[layer for layer in layers if place in layer.pictures] for place in (0, 1)]
        paths = [CustomClassifier.default_layers(self, half) for half in apart if half]
        return tuple(dict.fromkeys(path for half in paths for path in half))


class _Doubled(nn.Module):
    """Wrap a two-picture module so that one picture probes it."""

    def __init__(self, net: nn.Module, channels: Sequence[int]) -> None:
        super().__init__()
        self.net, self.counts, self.together = net, channels, takes_tuple(net)

    def forward(self, picture: Tensor) -> Any:
        return call(self.net, *(picture[:, :count] for count in self.counts), together=self.together)


def call(module: nn.Module, first: Tensor, second: Tensor, *, together: bool) -> Any:
    """Call a module on two pictures, as one tuple if `together`."""
    return module((first, second)) if together else module(first, second)


def takes_tuple(module: nn.Module) -> bool:
    """Return whether a module takes two pictures as one argument."""
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    several = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    return not several and sum(parameter.kind in by_place for parameter in parameters) == 1


def probe_pair(
    module: nn.Module, stated: PreprocessingTable, spec: ModelSpec, task: Task | None = None, *, named: bool = False
) -> Probed:
    """Probe a module of two pictures, as `probe` does for one.

    Raises ModelProblem, one sentence, where it does not fit.
    """
    inputs = spec.weights.inputs
    if len(inputs) != 2:
        raise ModelProblem(f"{spec.id} has {len(inputs)} inputs: name two, as in inputs = ['before', 'after'].")
    if stated.crop not in (None, "squash"):
        raise ModelProblem(f"{spec.id} takes two pictures, each squeezed whole to its size: leave crop out.")
    counts = [table.channels_in or len(table.mean or table.std or (0, 0, 0)) for table in inputs]
    if not {*counts} <= {1, 3}:
        raise ModelProblem(f"{spec.id} takes pictures of {' and '.join(map(str, counts))} channels: only 1 and 3 work.")
    doubled = _Doubled(module, counts)
    seen = probe(doubled, replace(stated, crop="squash"), spec, task, named=named, channels=3)
    if seen.task in ("segment", "embed"):
        raise ModelProblem(f"{spec.id} takes two pictures: only one row of classes or numbers can be explained then.")
    first, second = (
        seen.preprocessing.changed(PreprocessingTable(mean=table.mean, std=table.std, channels_in=count))
        for table, count in zip(inputs, counts, strict=True)
    )
    return replace(seen, module=doubled.net, each=(first, second))
