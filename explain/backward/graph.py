"""Walk PyTorch's autograd graph from outputs to layers, within windows.

A detection's gradient starts in one cell of the head, and each convolution's backward pass spreads it by half a kernel:
a small object's covers a few percent of a map. PyTorch's own backward pass multiplies all the zeros. Here its graph is
traversed in windows: the same numbers, without the zeros. Each detection is computed separately, so its bits depend on
nothing else. A target behind an operation that has no rule here is left to PyTorch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from sightglass.explain.backward.gradient import Gradient

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
    def from_node(cls, node: Any, channels: slice) -> Self:
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
            # Convolutions without groups.
            plain = (use.name == "ConvolutionBackward0" and use.node._saved_groups == 1 for use in readers.get(out, ()))
            if out in self.sources or out in self.ends or not all(plain):
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
    """Return whether a concatenation or split of (B, C, h, w) is along the channels, dimension 1 or -3."""
    # Some nodes save a negative dimension as an unsigned number of 64 bits.
    return int(step.node._saved_dim) % 2**64 in (1, 2**64 - 3)


WHOLE = 0.75
"""Share of a map above which a window is not worth cutting out."""


class Walk:
    """The state of one target's walk from its seeds to the sources."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.shapes = graph, graph.shapes
        self.windows: dict[Place, Window] = {}
        """Where gradients are not 0."""
        self.gradients: dict[Place, Tensor] = {}
        """Gradients (1, C, h', w') within their windows, as far as they have been summed."""
        self.unshared: set[Place] = set()
        """Places whose gradient shares no memory with another, and can be added to in place."""

    def gradient(self, place: Place) -> Gradient:
        """Return the gradient that has been summed at a place; zeros where none has arrived."""
        _, channels, height, width = self.shapes[place]
        if place not in self.gradients:
            return Gradient(self.graph.like.new_zeros(channels, 1, 1), 0, 0, (height, width))
        top, _, left, _ = self.windows[place]
        return Gradient(self.gradients[place][0], top, left, (height, width))

    def reach(self, place: Place | None, window: Window | None) -> None:
        """Extend a place's window by one with nonzero gradient."""
        if place is None or window is None:
            return
        height, width = self.shapes[place][2:]
        y0, y1, x0, x1 = window
        y0, y1, x0, x1 = max(y0, 0), min(y1, height), max(x0, 0), min(x1, width)
        if y0 >= y1 or x0 >= x1:
            # Only padding was read.
            return
        if (before := self.windows.get(place)) is not None:
            y0, y1, x0, x1 = min(before[0], y0), max(before[1], y1), min(before[2], x0), max(before[3], x1)
        self.windows[place] = y0, y1, x0, x1

    def widen(self, place: Place, window: Window) -> Window:
        """Return the whole map for a window of more than `WHOLE` of it, else the window."""
        height, width = self.shapes[place][2:]
        y0, y1, x0, x1 = window
        return (0, height, 0, width) if (y1 - y0) * (x1 - x0) > WHOLE * height * width else window

    def add(
        self,
        place: Place | None,
        part: Tensor,
        top: int,
        left: int,
        *,
        channels: slice | None = None,
        fresh: bool = False,
    ) -> None:
        """Add (1, C, a, b) from row `top` and column `left` on; outside the window it is 0.

        `fresh`: its memory is shared with nothing else.
        """
        if place is None or place not in self.windows:
            return
        y0, y1, x0, x1 = self.windows[place]
        fits = (top, left, *part.shape[2:]) == (y0, x0, y1 - y0, x1 - x0) and channels is None
        if fits and place not in self.gradients:
            self.gradients[place] = part
            if fresh:
                self.unshared.add(place)
        elif fits and place not in self.unshared:
            self.gradients[place] = self.gradients[place] + part
            self.unshared.add(place)
        else:
            if place not in self.gradients:
                # Channels last in memory, which convolutions on a CPU prefer.
                zeros = self.graph.like.new_zeros(1, y1 - y0, x1 - x0, self.shapes[place][1])
                self.gradients[place] = zeros.permute(0, 3, 1, 2)
            elif place not in self.unshared:
                self.gradients[place] = self.gradients[place].clone()
            self.unshared.add(place)
            buffer = self.gradients[place]
            add_moved(buffer if channels is None else buffer[:, channels], part, top - y0, left - x0)


def _part(tensor: Tensor, y0: int, y1: int, x0: int, x1: int) -> Tensor:
    # Half the time of indexing, which checks every dimension.
    return tensor.narrow(2, y0, y1 - y0).narrow(3, x0, x1 - x0)


def add_moved(out: Tensor, part: Tensor, down: int, right: int) -> None:
    """Add `part` (B, C, a, b) to `out` (B, C, h, w) in place, moved down and right; what lies outside is cut off."""
    (height, width), (a, b) = out.shape[2:], part.shape[2:]
    y0, y1, x0, x1 = max(down, 0), min(down + a, height), max(right, 0), min(right + b, width)
    if y0 < y1 and x0 < x1:
        _part(out, y0, y1, x0, x1).add_(_part(part, y0 - down, y1 - down, x0 - right, x1 - right))


def bounds(gradient: Gradient) -> Window | None:
    """Return the smallest window of nonzero values, or None."""
    top, left = gradient.top, gradient.left
    # A single cell needs no search, which would synchronise a GPU.
    if gradient.values.shape[1:] == (1, 1) != gradient.shape:
        return top, top + 1, left, left + 1
    nonzero = (gradient.values.amax(0).ne(0) | gradient.values.amin(0).ne(0)).cpu().numpy()
    rows = np.flatnonzero(nonzero.any(1))
    if not rows.size:
        return None
    columns = np.flatnonzero(nonzero.any(0))
    return top + int(rows[0]), top + int(rows[-1]) + 1, left + int(columns[0]), left + int(columns[-1]) + 1


class Rule(NamedTuple):
    """The two steps of an operation's backward pass: extend the windows of its inputs, then add to their gradients."""

    reach: Callable[[Walk, GraphStep], None]
    pull: Callable[[Walk, GraphStep], None]


aten = torch.ops.aten


def walk_back(graph: Graph, seeds: Sequence[Gradient | None]) -> list[Gradient]:
    """Return the gradient at each source from those at the ends (`seeds`, None for none); raises Opaque."""
    ends = {end: seed for end, seed in zip(graph.ends, seeds, strict=True) if seed is not None}
    walk = Walk(graph)
    for place, seed in ends.items():
        walk.reach(place, bounds(seed))
    visited: list[tuple[GraphStep, Rule]] = []
    for step in graph.steps:
        if not walk.windows.keys().isdisjoint(step.outputs):
            if (rule := RULES.get(step.name)) is None:
                raise Opaque(step.name)
            visited.append((step, rule))
            rule.reach(walk, step)
    walk.windows = {place: walk.widen(place, window) for place, window in walk.windows.items()}
    for place, seed in ends.items():
        if place in walk.windows:
            walk.add(place, seed.values[None], seed.top, seed.left)
    final: dict[Place, Gradient] = {}
    sources = set(graph.sources)
    for step, rule in visited:
        final |= {place: walk.gradient(place) for place in sources.intersection(step.outputs)}
        rule.pull(walk, step)
        for place in step.outputs:
            walk.gradients.pop(place, None)
    return [final[place] if place in final else walk.gradient(place) for place in graph.sources]


def _same_reach(walk: Walk, step: GraphStep) -> None:
    for place in step.inputs:
        walk.reach(place, walk.windows[step.outputs[0]])


def _elementwise(backward: Callable[[Tensor, Tensor, Any], Tensor], *, attribute: str = "") -> Rule:
    """Return the rule of an operation on each value alone; `attribute`: the node's, of the `tensor` for `backward`."""

    def pull(walk: Walk, step: GraphStep) -> None:
        place = step.outputs[0]
        gradient = walk.gradients[place]
        tensor = _part(getattr(step.node, attribute), *walk.windows[place]) if attribute else gradient
        result = backward(gradient, tensor, step.node)
        top, _, left, _ = walk.windows[place]
        walk.add(step.inputs[0], result, top, left, fresh=result is not gradient)

    return Rule(_same_reach, pull)


def _add_reach(walk: Walk, step: GraphStep) -> None:
    if step.node._saved_alpha != 1:
        raise Opaque("a weighted sum")
    if any(place is not None and walk.shapes[place] != walk.shapes[step.outputs[0]] for place in step.inputs):
        raise Opaque("a sum of different shapes")
    _same_reach(walk, step)


def _add_pull(walk: Walk, step: GraphStep) -> None:
    top, _, left, _ = walk.windows[step.outputs[0]]
    for place in step.inputs:
        walk.add(place, walk.gradients[step.outputs[0]], top, left)


def _cat_reach(walk: Walk, step: GraphStep) -> None:
    if not joins_channels(step):
        raise Opaque("a concatenation not along the channels")
    # The graph does not store the channels of an input without a gradient; those of a single one are the remainder.
    if step.inputs.count(None) > 1:
        raise Opaque("a concatenation with several inputs without gradients")
    _same_reach(walk, step)


def _cat_pull(walk: Walk, step: GraphStep) -> None:
    out, start = step.outputs[0], 0
    top, _, left, _ = walk.windows[out]
    with_gradient = sum(walk.shapes[place][1] for place in step.inputs if place is not None)
    for place in step.inputs:
        channels = walk.shapes[place][1] if place is not None else walk.shapes[out][1] - with_gradient
        part = slice(start, start + channels)
        walk.add(place, walk.gradients[out][:, part], top, left)
        start = part.stop


def _split_reach(walk: Walk, step: GraphStep) -> None:
    if not joins_channels(step):
        raise Opaque("a split not along the channels")
    for out in step.outputs:
        walk.reach(step.inputs[0], walk.windows.get(out))


def _split_pull(walk: Walk, step: GraphStep) -> None:
    start = 0
    for out in step.outputs:
        part = slice(start, start + walk.shapes[out][1])
        if out in walk.gradients:
            top, _, left, _ = walk.windows[out]
            walk.add(step.inputs[0], walk.gradients[out], top, left, channels=part)
        start = part.stop


def _conv_reach(walk: Walk, step: GraphStep) -> None:
    if step.inputs[1] is not None:
        raise Opaque("a convolution whose weights have a gradient")
    walk.reach(step.inputs[0], walk.graph.convolution(step).spread(walk.windows[step.outputs[0]]))


def _conv_pull(walk: Walk, step: GraphStep) -> None:
    place, out = step.inputs[0], step.outputs[0]
    if place is None:
        return
    gradient, window, conv = walk.gradients[out], walk.windows[out], walk.graph.convolution(step)
    top, left, (height, width), padding = 0, 0, walk.shapes[place][2:], conv.padding
    if conv.pointwise:
        # A product needs no compilation, unlike oneDNN's convolution of each new size.
        result = (gradient.permute(0, 2, 3, 1) @ conv.weight.flatten(1)).permute(0, 3, 1, 2)
        walk.add(place, result, window[0], window[2], fresh=True)
        return
    if window != (0, walk.shapes[out][2], 0, walk.shapes[out][3]):
        top, bottom, left, right = conv.spread(window)
        height, width, padding = bottom - top, right - left, (0, 0)
    # Only its shape is read.
    like = gradient.new_empty(1).expand(1, walk.shapes[place][1], height, width)
    settings = (conv.stride, padding, conv.dilation, False, [0, 0], conv.groups)
    part = aten.convolution_backward(gradient, like, conv.weight, None, *settings, [True, False, False])[0]
    walk.add(place, part, top, left, fresh=True)


def _upsample_factor(walk: Walk, step: GraphStep) -> int:
    assert step.inputs[0] is not None
    (h, w), (height, width) = (walk.shapes[place][2:] for place in (step.inputs[0], step.outputs[0]))
    if height % h or width % w or height // h != width // w:
        raise Opaque("upsampling by a factor that is not whole")
    return int(height // h)


def _upsample_reach(walk: Walk, step: GraphStep) -> None:
    factor = _upsample_factor(walk, step)
    y0, y1, x0, x1 = walk.windows[step.outputs[0]]
    walk.reach(step.inputs[0], (y0 // factor, -(-y1 // factor), x0 // factor, -(-x1 // factor)))


def _upsample_pull(walk: Walk, step: GraphStep) -> None:
    factor, out = _upsample_factor(walk, step), step.outputs[0]
    top, _, left, _ = walk.windows[out]
    blocks, row, column = _sum_blocks(walk.gradients[out], top, left, factor)
    walk.add(step.inputs[0], blocks, row, column, fresh=True)


def _sum_blocks(gradient: Tensor, top: int, left: int, factor: int) -> tuple[Tensor, int, int]:
    """Return the sums over blocks of `factor` by `factor` cells, and the first block's row and column."""
    row, column = top // factor, left // factor
    height, width = -(-(top + gradient.shape[2]) // factor) - row, -(-(left + gradient.shape[3]) // factor) - column
    out = gradient.new_zeros(1, height, width, gradient.shape[1]).permute(0, 3, 1, 2)
    # One position in the blocks at a time: several times as fast as average pooling, which also needs whole blocks.
    for y in range(factor):
        for x in range(factor):
            down, right = (y - top) % factor, (x - left) % factor
            part = gradient[:, :, down::factor, right::factor]
            add_moved(out, part, (top + down) // factor - row, (left + right) // factor - column)
    return out, row, column


def _norm_scale(gradient: Tensor, node: Any) -> Tensor:
    if node._saved_training:
        raise Opaque("a batch norm in training mode")
    weight, scale = node._saved_weight, (node._saved_running_var + node._saved_eps).rsqrt()
    scaled: Tensor = gradient * (scale if weight is None else scale * weight).view(1, -1, 1, 1)
    return scaled


RULES: dict[str, Rule] = {
    "ConvolutionBackward0": Rule(_conv_reach, _conv_pull),
    "AddBackward0": Rule(_add_reach, _add_pull),
    "CatBackward0": Rule(_cat_reach, _cat_pull),
    "SplitBackward0": Rule(_split_reach, _split_pull),
    "SplitWithSizesBackward0": Rule(_split_reach, _split_pull),
    "UpsampleNearest2DBackward0": Rule(_upsample_reach, _upsample_pull),
    "SiluBackward0": _elementwise(lambda g, x, node: aten.silu_backward(g, x), attribute="_saved_self"),
    "ReluBackward0": _elementwise(lambda g, y, node: aten.threshold_backward(g, y, 0), attribute="_saved_result"),
    "SigmoidBackward0": _elementwise(lambda g, y, node: aten.sigmoid_backward(g, y), attribute="_saved_result"),
    "LeakyReluBackward0": _elementwise(
        lambda g, x, node: aten.leaky_relu_backward(g, x, node._saved_negative_slope, False), attribute="_saved_self"
    ),
    "HardswishBackward0": _elementwise(lambda g, x, node: aten.hardswish_backward(g, x), attribute="_saved_self"),
    "NativeBatchNormBackward0": _elementwise(lambda g, _, node: _norm_scale(g, node)),
    "CloneBackward0": _elementwise(lambda g, _, node: g),
    "AliasBackward0": _elementwise(lambda g, _, node: g),
}
