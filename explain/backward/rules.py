"""Gradient rules per autograd node, restricted to windows.

A detection's gradient starts in one cell of the head, and each convolution's backward pass spreads it by half a kernel:
a small object's covers a few percent of a map. PyTorch's own backward pass multiplies all the zeros. Here its graph is
traversed in windows: the same numbers, without the zeros. Each detection is computed separately, so its bits depend on
nothing else. A target behind an operation that has no rule here is left to PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightglass.explain.backward.gradient import Gradient
from sightglass.explain.backward.graph import Graph, GraphStep, Opaque, Place, Window, joins_channels

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
        self.owned: set[Place] = set()
        """Places whose gradient shares no memory with another, and can be added to in place."""

    def gradient(self, place: Place) -> Gradient:
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
        height, width = self.shapes[place][2:]
        y0, y1, x0, x1 = window
        return (0, height, 0, width) if (y1 - y0) * (x1 - x0) > WHOLE * height * width else window

    def whole(self, place: Place) -> bool:
        """Return whether a place's window is its whole map."""
        return self.windows[place] == (0, self.shapes[place][2], 0, self.shapes[place][3])

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
                self.owned.add(place)
        elif fits and place not in self.owned:
            self.gradients[place] = self.gradients[place] + part
            self.owned.add(place)
        else:
            buffer = self._buffer(place)
            add_moved(buffer if channels is None else buffer[:, channels], part, top - y0, left - x0)

    def _buffer(self, place: Place) -> Tensor:
        """Return a place's gradient as a writable buffer."""
        if place not in self.gradients:
            y0, y1, x0, x1 = self.windows[place]
            # Channels last in memory, which convolutions on a CPU prefer.
            buffer = self.graph.like.new_zeros(1, y1 - y0, x1 - x0, self.shapes[place][1])
            self.gradients[place] = buffer.permute(0, 3, 1, 2)
        elif place not in self.owned:
            self.gradients[place] = self.gradients[place].clone()
        self.owned.add(place)
        return self.gradients[place]

    def cut(self, tensor: Tensor, place: Place) -> Tensor:
        """Return the part of a (1, C, h, w) in a place's window."""
        return _part(tensor, *self.windows[place])


def _part(tensor: Tensor, y0: int, y1: int, x0: int, x1: int) -> Tensor:
    # Half the time of indexing, which checks every dimension.
    return tensor.narrow(2, y0, y1 - y0).narrow(3, x0, x1 - x0)


def add_moved(out: Tensor, part: Tensor, down: int, right: int) -> None:
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


Rule = tuple[Callable[[Walk, GraphStep], None], Callable[[Walk, GraphStep], None]]
"""The two steps of an operation's backward pass: extend the windows of its inputs, then add to their gradients."""
aten = torch.ops.aten


def walk_back(graph: Graph, seeds: Sequence[Gradient | None]) -> list[Gradient]:
    """Return one Gradient per source from `seeds`; raises Opaque."""
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
            rule[0](walk, step)
    walk.windows = {place: walk.widen(place, window) for place, window in walk.windows.items()}
    for place, seed in ends.items():
        if place in walk.windows:
            walk.add(place, seed.values[None], seed.top, seed.left)
    final: dict[Place, Gradient] = {}
    sources = set(graph.sources)
    for step, rule in visited:
        final |= {place: walk.gradient(place) for place in sources.intersection(step.outputs)}
        rule[1](walk, step)
        for place in step.outputs:
            walk.gradients.pop(place, None)
    return [final[place] if place in final else walk.gradient(place) for place in graph.sources]


def _same_reach(walk: Walk, step: GraphStep) -> None:
    for place in step.inputs:
        walk.reach(place, walk.windows[step.outputs[0]])


def _elementwise(backward: Callable[[Tensor, Tensor, Any], Tensor], *, attribute: str = "") -> Any:
    """Make the rule of `backward(gradient, tensor, node)`; `attribute`: the tensor's."""

    def pull(walk: Walk, step: GraphStep) -> None:
        place = step.outputs[0]
        gradient = walk.gradients[place]
        tensor = walk.cut(getattr(step.node, attribute), place) if attribute else gradient
        result = backward(gradient, tensor, step.node)
        top, _, left, _ = walk.windows[place]
        walk.add(step.inputs[0], result, top, left, fresh=result is not gradient)

    return _same_reach, pull


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


def _along_channels(step: GraphStep) -> None:
    if not joins_channels(step):
        raise Opaque("a concatenation or split not along the channels")


def _cat_reach(walk: Walk, step: GraphStep) -> None:
    _along_channels(step)
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
        if out in walk.gradients:
            walk.add(place, walk.gradients[out][:, part], top, left)
        start = part.stop


def _split_reach(walk: Walk, step: GraphStep) -> None:
    _along_channels(step)
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
    top, left, (tall, wide), padding = 0, 0, walk.shapes[place][2:], conv.padding
    if conv.pointwise:
        # A product needs no compilation, unlike oneDNN's convolution of each new size.
        rows = gradient.permute(0, 2, 3, 1)
        result = (rows @ conv.weight.flatten(1)).permute(0, 3, 1, 2)
        walk.add(place, result, window[0], window[2], fresh=True)
        return
    if not walk.whole(out):
        top, bottom, left, right = conv.spread(window)
        tall, wide, padding = bottom - top, right - left, (0, 0)
    # Only its shape is read.
    like = gradient.new_empty(1).expand(1, walk.shapes[place][1], tall, wide)
    shape = (conv.stride, padding, conv.dilation, False, [0, 0], conv.groups)
    part = aten.convolution_backward(gradient, like, conv.weight, None, *shape, [True, False, False])[0]
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
    if out in walk.gradients:
        top, _, left, _ = walk.windows[out]
        blocks, row, column = _blocks(walk.gradients[out], top, left, factor)
        walk.add(step.inputs[0], blocks, row, column, fresh=True)


def _blocks(gradient: Tensor, top: int, left: int, factor: int) -> tuple[Tensor, int, int]:
    """Return the sums over blocks, and the first block's row and column."""
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
    "ConvolutionBackward0": (_conv_reach, _conv_pull),
    "AddBackward0": (_add_reach, _add_pull),
    "CatBackward0": (_cat_reach, _cat_pull),
    "SplitBackward0": (_split_reach, _split_pull),
    "SplitWithSizesBackward0": (_split_reach, _split_pull),
    "UpsampleNearest2DBackward0": (_upsample_reach, _upsample_pull),
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
