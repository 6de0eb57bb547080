"""Which layers of a model can be explained, found by running it once and looking at what comes out of each module."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from models.adapter import Layer
from models.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

    from models.adapter import Adapter

MAX_PREFIX = 8
"""CLS and up to seven registers."""


def discover(adapter: Adapter, tensor: Tensor) -> tuple[dict[str, Layer], tuple[Layer, ...]]:
    """Run (1, 3, h, w) once; return every module that gives a map, by path, and the short list for a picker.

    The short list is in the order of execution and names a tensor once, by the outermost module that returns it
    (`layer4`, not also `layer4.1.relu`); it starts with the earliest layer and ends with the last spatial one.
    """
    size = (tensor.shape[-2], tensor.shape[-1])
    known: dict[str, Layer] = {}
    short: list[str] = []
    previous: Tensor | None = None
    returned = 0
    before: dict[str, int] = {}

    def look(path: str, leaf: bool, output: Any) -> None:
        nonlocal previous, returned
        if not isinstance(output, torch.Tensor):
            return
        returned += output.nbytes if leaf else 0
        if (layer := describe(path, output, size)) is None:
            return
        known[path], before[path] = layer, returned
        if output is previous:
            short[-1] = path
        else:
            short.append(path)
        previous = output

    handles = []
    for path, module in adapter.module.named_modules():
        if path:
            seen = partial(look, path, next(module.children(), None) is None)
            handles.append(module.register_forward_hook(lambda _module, _inputs, output, seen=seen: seen(output)))
    try:
        # An activation in place returns what it was given: norm and ReLU would look like one layer.
        with torch.no_grad(), not_in_place(adapter.module):
            adapter.run(tensor)
    finally:
        for handle in handles:
            handle.remove()
    known = {path: replace(layer, tail_bytes=returned - before[path]) for path, layer in known.items()}
    # A module that is called twice (one ReLU for all) has no single map of its own.
    return known, tuple(known[path] for path in short if short.count(path) == 1)


@contextmanager
def not_in_place(module: nn.Module) -> Iterator[None]:
    """Activations that keep their input, for as long as this lasts."""
    parts = [part for part in module.modules() if getattr(part, "inplace", None) is True]
    for part in parts:
        part.inplace = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for part in parts:
            part.inplace = True  # type: ignore[assignment]


def describe(path: str, output: Tensor, size: tuple[int, int]) -> Layer | None:
    """How an output can be read as a map on an input of `size` (h, w); None where it cannot."""
    shape, aspect = tuple(output.shape), size[0] / size[1]
    if len(shape) == 4:
        _, a, b, c = shape
        # Channels come last where the last two sides cannot be the picture's and the first two can (Swin).
        if not _fits(b, c, size, aspect) and _fits(a, b, size, aspect):
            return Layer(path, (c, a, b), "nhwc") if a * b > 1 else None
        return Layer(path, (a, b, c)) if b * c > 1 and b <= size[0] and c <= size[1] else None
    if len(shape) == 3:
        _, tokens, channels = shape
        for prefix in range(min(MAX_PREFIX, tokens)):
            if (grid := _grid(tokens - prefix, size)) is not None:
                return Layer(path, (channels, *grid), "tokens", prefix)
    return None


def _fits(height: int, width: int, size: tuple[int, int], aspect: float) -> bool:
    return height <= size[0] and width <= size[1] and abs(height - aspect * width) <= 1


def _grid(tokens: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """(h, w) of so many patches over an input of `size`, both sides cut by the same whole patch size."""
    patch = math.isqrt(size[0] * size[1] // tokens) if tokens else 0
    if patch < 2 or size[0] // patch * (size[1] // patch) != tokens:
        return None
    return size[0] // patch, size[1] // patch


def as_map(output: Tensor, layer: Layer) -> Tensor:
    """A layer's output or gradient as (B, C, h, w)."""
    if layer.layout == "nhwc":
        return output.permute(0, 3, 1, 2)
    if layer.layout == "tokens":
        rows = output[:, layer.prefix :]  # (B, h*w, C)
        return rows.transpose(1, 2).reshape(len(rows), *layer.shape)
    return output


def find(known: Mapping[str, Layer], paths: tuple[str, ...], module: nn.Module) -> tuple[Layer, ...]:
    """The layers at dotted paths; raises ModelProblem, one sentence, for a path that gives no map."""
    for path in paths:
        if path in known:
            continue
        if path in dict(module.named_modules()):
            raise ModelProblem(f"The output of {path} is not a map: choose another layer, for instance {[*known][-1]}.")
        raise ModelProblem(f"There is no layer {path} in this model: choose one of its own, such as {[*known][-1]}.")
    return tuple(known[path] for path in paths)
