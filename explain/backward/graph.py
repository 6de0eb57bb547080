"""Walk PyTorch's autograd graph from outputs to layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

Window = tuple[int, int, int, int]
"""First row, row after the last, first column, column after the last."""
Place = tuple[Any, int]
"""A node of the graph and which of its operation's results: what a gradient belongs to."""


class Opaque(Exception):
    """An operation has no rule for its gradient here."""


@dataclass(frozen=True, slots=True)
class GraphStep:
    """One operation of the forward pass, from its node in the graph."""

    node: Any
    name: str
    inputs: tuple[Place | None, ...]
    """Where the gradients of its inputs belong; None for what needs none."""
    outputs: tuple[Place, ...]


@dataclass(frozen=True)
class Convolution:
    """The settings and weights that a convolution's node saved."""

    full_weight: Tensor
    """(K, C, kh, kw)"""
    input_channels: slice
    """The inputs whose gradients lead to a source."""
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def from_node(cls, node: Any, channels: slice) -> Convolution:
        """Read a node; raises Opaque for a transposed convolution and other dimensions."""
        weight: Tensor = node._saved_weight
        if node._saved_transposed or weight.ndim != 4:
            raise Opaque("no plain convolution")
        stride, padding, dilation = map(tuple, (node._saved_stride, node._saved_padding, node._saved_dilation))
        return cls(weight, channels, stride, padding, dilation, node._saved_groups)

    @cached_property
    def weight(self) -> Tensor:
        """The weights of those inputs."""
        return self.full_weight[:, self.input_channels]

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the input that one output reads."""
        height, width = ((k - 1) * d + 1 for k, d in zip(self.full_weight.shape[2:], self.dilation, strict=True))
        return height, width

    @cached_property
    def pointwise(self) -> bool:
        """Whether it is a 1x1 convolution."""
        return {*self.full_weight.shape[2:], *self.stride, self.groups} == {1} and not any(self.padding)

    def spread(self, window: Window) -> Window:
        """Return the inputs' window of an outputs' window, padding included."""
        y0, y1, x0, x1 = window
        (down, right), (above, before), (height, width) = self.stride, self.padding, self.size
        top, left = y0 * down - above, x0 * right - before
        return top, top + (y1 - y0 - 1) * down + height, left, left + (x1 - x0 - 1) * right + width


def locate_gradient(tensor: Tensor) -> Place:
    """Return the place of a tensor's gradient; raises Opaque."""
    if tensor.grad_fn is not None:
        return tensor.grad_fn, tensor.output_nr
    if not tensor.requires_grad:
        raise Opaque("a tensor without a gradient")
    # A leaf's own node is only reachable from a view of it.
    with torch.enable_grad():
        return tensor.view_as(tensor).grad_fn.next_functions[0][0], 0  # type: ignore[union-attr]


class Graph:
    """PyTorch's graph between a network's output and the target layers."""

    def __init__(self, ends: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
        """`ends` and `sources` are (1, C, h, w)."""
        self.ends = [locate_gradient(end) for end in ends]
        self.sources = [locate_gradient(source) for source in sources]
        self.shapes = dict(zip((*self.ends, *self.sources), (tuple(t.shape) for t in (*ends, *sources)), strict=True))
        self.like = sources[0]
        self.used_channels: dict[Place, slice] = {}
        """The channels whose gradients lead to a source, where not all do; `shapes` counts only these."""
        self._convolutions: dict[Any, Convolution] = {}
        """By node: each is read once a pass, and weights that no module holds are laid out once."""
        self.steps = self._steps()
        self._narrow()

    def _steps(self) -> list[GraphStep]:
        """Return all operations, each after those that use its results."""
        order: list[Any] = []
        visited: set[Any] = set()
        stack = [(node, False) for node, _ in self.ends]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif node not in visited:
                visited.add(node)
                stack.append((node, True))
                stack += [(before, False) for before, _ in node.next_functions if before is not None]
        steps = []
        for node in reversed(order):
            if (name := node.name()).endswith("AccumulateGrad"):
                # An earlier call of the layer is no source.
                self.shapes.setdefault((node, 0), tuple(node.variable.shape))
                continue
            results = node._input_metadata
            for i, result in enumerate(results):
                self.shapes[node, i] = tuple(result.shape)
            inputs = tuple((before, i) if before is not None else None for before, i in node.next_functions)
            steps.append(GraphStep(node, name, inputs, tuple((node, i) for i in range(len(results)))))
        return steps

    def _narrow(self) -> None:
        """Skip a concatenation's gradient-free part before convolutions."""
        readers: dict[Place, list[GraphStep]] = {}
        for step in self.steps:
            for source in step.inputs:
                if source is not None:
                    readers.setdefault(source, []).append(step)
        for step in self.steps:
            out, inputs = step.outputs[0], step.inputs
            if step.name != "CatBackward0" or not joins_channels(step) or inputs.count(None) != 1:
                continue
            if out in self.sources or out in self.ends or not all(map(plain, readers.get(out, ()))):
                continue
            images, channels, height, width = self.shapes[out]
            used = sum(self.shapes[source][1] for source in inputs if source is not None)
            if inputs[0] is None:
                self.used_channels[out] = slice(channels - used, channels)
            elif inputs[-1] is None:
                self.used_channels[out] = slice(0, used)
            else:
                continue
            self.shapes[out] = images, used, height, width

    def convolution(self, step: GraphStep) -> Convolution:
        """Return a step's convolution; raises Opaque for a kind without a rule."""
        if step.node not in self._convolutions:
            source = step.inputs[0]
            channels = self.used_channels.get(source, slice(None)) if source is not None else slice(None)
            self._convolutions[step.node] = Convolution.from_node(step.node, channels)
        return self._convolutions[step.node]


def joins_channels(step: GraphStep) -> bool:
    """Return whether a concatenation or split is along the channels."""
    return int(step.node._saved_dim) % 2**64 in (1, 2**64 - 3)


def plain(step: GraphStep) -> bool:
    """Return whether a step is a convolution without groups."""
    return bool(step.name == "ConvolutionBackward0" and step.node._saved_groups == 1)
