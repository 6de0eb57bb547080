"""The gradient of one detection, walked back only where it is not zero.

One cell of a detection head starts a detection's gradient, and a convolution's backward spreads it by half a kernel: a
small object's reaches a few percent of a map. PyTorch's own backward multiplies all the zeros. Here its graph is
walked back in windows: the same numbers, without the zeros. Each detection goes alone: its bits depend on nothing else.

A target behind an operation that is not among the rules below is left to PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from explain.backward.convolution import LARGE, Kernel, kernel
from explain.backward.gradient import Gradient, Term

if TYPE_CHECKING:
    from collections.abc import Sequence

Window = tuple[int, int, int, int]
"""First row, row after the last, first column, column after the last."""
Place = tuple[Any, int]
"""A node of the graph and which of its operation's results: what a gradient belongs to."""
WHOLE = 0.75
"""Share of a map above which a window is not worth cutting out."""
aten = torch.ops.aten


class Opaque(Exception):
    """A gradient would have to go through an operation that has no rule here."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One operation of the forward pass, from its node in the graph."""

    node: Any
    rule: tuple[Callable[[_Walk, _Step], None], Callable[[_Walk, _Step], None]] | None
    inputs: tuple[Place | None, ...]
    """Where the gradients of its inputs belong; None for what needs none."""
    outputs: tuple[Place, ...]


@dataclass(frozen=True)
class _Convolution:
    """What a convolution's node has saved, read once for all detections."""

    whole: Tensor
    """(K, C, kh, kw)"""
    wanted: slice
    """The inputs whose gradients lead to a source."""
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(cls, node: Any, wanted: slice) -> _Convolution:
        """Raises Opaque for one of another kind."""
        whole: Tensor = node._saved_weight
        if node._saved_transposed or whole.ndim != 4:
            raise Opaque("no plain convolution")
        stride, padding, dilation = map(tuple, (node._saved_stride, node._saved_padding, node._saved_dilation))
        return cls(whole, wanted, stride, padding, dilation, node._saved_groups)

    @cached_property
    def weight(self) -> Tensor:
        """Of the wanted inputs alone."""
        return self.whole[:, self.wanted]

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the input that one output looks at."""
        height, width = ((k - 1) * d + 1 for k, d in zip(self.whole.shape[2:], self.dilation, strict=True))
        return height, width

    @cached_property
    def pointwise(self) -> bool:
        """Whether it looks at each place by itself."""
        return {*self.whole.shape[2:], *self.stride, self.groups} == {1} and not any(self.padding)

    @cached_property
    def kernel(self) -> Kernel | None:
        """Its way back over windows, if there is one beside PyTorch's."""
        # Kept with the whole weight, which lives as long as the model.
        return kernel(self.whole, self.wanted, self.stride, self.dilation, self.groups)

    def spread(self, window: Window) -> Window:
        """The inputs of a window of outputs; may stick out into the padding."""
        y0, y1, x0, x1 = window
        (down, right), (above, before), (height, width) = self.stride, self.padding, self.size
        top, left = y0 * down - above, x0 * right - before
        return top, top + (y1 - y0 - 1) * down + height, left, left + (x1 - x0 - 1) * right + width


def place(tensor: Tensor) -> Place:
    """What a tensor's gradient belongs to; raises Opaque where it has none."""
    if tensor.grad_fn is not None:
        return tensor.grad_fn, tensor.output_nr
    if not tensor.requires_grad:
        raise Opaque("a tensor without a gradient")
    # A leaf's own node hangs on whatever is made of it.
    with torch.enable_grad():
        return tensor.view_as(tensor).grad_fn.next_functions[0][0], 0  # type: ignore[union-attr]


class Graph:
    """PyTorch's graph between what a network returned and the layers whose gradients are wanted."""

    def __init__(self, ends: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
        """`ends` and `sources` are (1, C, h, w)."""
        self.ends = [place(end) for end in ends]
        self.sources = [place(source) for source in sources]
        self.shapes = dict(zip((*self.ends, *self.sources), (tuple(t.shape) for t in (*ends, *sources)), strict=True))
        self.like = sources[0]
        self.wanted: dict[Place, slice] = {}
        """Which channels' gradients lead to a source, where not all of them do; `shapes` counts these alone."""
        self._convolutions: dict[Any, _Convolution] = {}
        """By node: read once a pass, and weights that no module holds laid out but once."""
        self.steps = self._steps()
        self._narrow()
        self.late = self._late()
        """Before a 1x1 convolution: places whose gradient is multiplied by its weights later, or never."""

    def _steps(self) -> list[_Step]:
        """Every operation, each after all that use its results."""
        order: list[Any] = []
        seen: set[Any] = set()
        stack = [(node, False) for node, _ in self.ends]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack += [(before, False) for before, _ in node.next_functions if before is not None]
        steps = []
        for node in reversed(order):
            if (name := node.name()).endswith("AccumulateGrad"):
                # Perhaps of a layer's earlier call, which is no source.
                self.shapes.setdefault((node, 0), tuple(node.variable.shape))
                continue
            results = node._input_metadata
            for i, result in enumerate(results):
                self.shapes[node, i] = tuple(result.shape)
            inputs = tuple((before, i) if before is not None else None for before, i in node.next_functions)
            steps.append(_Step(node, _RULES.get(name), inputs, tuple((node, i) for i in range(len(results)))))
        return steps

    def _narrow(self) -> None:
        """Leave out what a map is joined with and needs no gradient, where only convolutions read what was joined."""
        readers: dict[Place, list[_Step]] = {}
        for step in self.steps:
            for at in step.inputs:
                if at is not None:
                    readers.setdefault(at, []).append(step)
        for step in self.steps:
            out, inputs = step.outputs[0], step.inputs
            if step.node.name() != "CatBackward0" or not _joins_channels(step) or inputs.count(None) != 1:
                continue
            if out in self.sources or out in self.ends or not all(map(_plain, readers.get(out, ()))):
                continue
            images, channels, height, width = self.shapes[out]
            known = sum(self.shapes[at][1] for at in inputs if at is not None)
            if inputs[0] is None:
                self.wanted[out] = slice(channels - known, channels)
            elif inputs[-1] is None:
                self.wanted[out] = slice(0, known)
            else:
                continue
            self.shapes[out] = images, known, height, width

    def _late(self) -> set[Place]:
        """Places whose gradient goes to a source and no further, or through blocks that are added up first."""
        late = set(self.sources) - {at for step in self.steps for at in step.outputs}
        # Each after all that it is made of.
        for step in reversed(self.steps):
            joined = step.node.name() == "CatBackward0" and any(at in late for at in step.inputs)
            if joined or step.node.name() == "UpsampleNearest2DBackward0":
                late.add(step.outputs[0])
        return late

    def convolution(self, step: _Step) -> _Convolution:
        """Raises Opaque for one of a kind that has no rule."""
        if step.node not in self._convolutions:
            at = step.inputs[0]
            wanted = self.wanted.get(at, slice(None)) if at is not None else slice(None)
            self._convolutions[step.node] = _Convolution.of(step.node, wanted)
        return self._convolutions[step.node]

    def gradients(self, seeds: Sequence[Gradient | None]) -> list[Gradient]:
        """One Gradient per source. `seeds`: what a target's gradient is at each end. Raises Opaque."""
        return _Walk(self).run({end: seed for end, seed in zip(self.ends, seeds, strict=True) if seed is not None})


class _Walk:
    """One target, back from its seeds to the sources."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.shapes = graph, graph.shapes
        self.windows: dict[Place, Window] = {}
        """Where gradients are not 0."""
        self.held: dict[Place, Tensor] = {}
        """Gradients (1, C, h', w') within their windows, as far as they are known."""
        self.products: dict[Place, list[Term]] = {}
        """What is to be added to them."""
        self.owned: set[Place] = set()
        """Places whose gradient shares no memory with another, and can be added to in place."""

    def run(self, seeds: dict[Place, Gradient]) -> list[Gradient]:
        """One Gradient per source."""
        for at, seed in seeds.items():
            self.reach(at, _bounds(seed))
        steps = []
        for step in self.graph.steps:
            if not self.windows.keys().isdisjoint(step.outputs):
                if step.rule is None:
                    raise Opaque(step.node.name())
                steps.append(step)
                step.rule[0](self, step)
        self.windows = {at: self._worth(at, window) for at, window in self.windows.items()}
        for at, seed in seeds.items():
            if at in self.windows:
                self.add(at, seed.values[None], seed.top, seed.left)
        final: dict[Place, Gradient] = {}
        sources = set(self.graph.sources)
        for step in steps:
            final |= {at: self._found(at) for at in sources.intersection(step.outputs)}
            assert step.rule is not None
            step.rule[1](self, step)
            for at in step.outputs:
                self.held.pop(at, None)
                self.products.pop(at, None)
        return [final[at] if at in final else self._found(at) for at in self.graph.sources]

    def _found(self, at: Place) -> Gradient:
        _, channels, height, width = self.shapes[at]
        terms = self.products.get(at, [])
        if at in self.held:
            top, _, left, _ = self.windows[at]
            terms = [Term(self.held[at][0], top, left), *terms]
        elif not terms:
            terms = [Term(self.graph.like.new_zeros(channels, 1, 1), 0, 0)]
        return Gradient(tuple(terms), (height, width))

    def reach(self, at: Place | None, window: Window | None) -> None:
        """The gradient at a place will be not 0 within this window too."""
        if at is None or window is None:
            return
        height, width = self.shapes[at][2:]
        y0, y1, x0, x1 = window
        new = max(y0, 0), min(y1, height), max(x0, 0), min(x1, width)
        if new[0] >= new[1] or new[2] >= new[3]:
            # Nothing but padding was read.
            return
        if (old := self.windows.get(at)) is not None:
            new = min(old[0], new[0]), max(old[1], new[1]), min(old[2], new[2]), max(old[3], new[3])
        self.windows[at] = new

    def _worth(self, at: Place, window: Window) -> Window:
        height, width = self.shapes[at][2:]
        y0, y1, x0, x1 = window
        return (0, height, 0, width) if (y1 - y0) * (x1 - x0) > WHOLE * height * width else window

    def whole(self, at: Place) -> bool:
        """Whether a window is all of its map."""
        return self.windows[at] == (0, self.shapes[at][2], 0, self.shapes[at][3])

    def add(
        self,
        at: Place | None,
        part: Tensor,
        top: int,
        left: int,
        *,
        channels: slice | None = None,
        fresh: bool = False,
    ) -> None:
        """Add (1, C, a, b) that starts at a row and a column; what is outside the window is 0 there.

        `fresh`: nobody else holds its memory.
        """
        if at is None or at not in self.windows:
            return
        y0, y1, x0, x1 = self.windows[at]
        fits = (top, left, *part.shape[2:]) == (y0, x0, y1 - y0, x1 - x0) and channels is None
        if fits and at not in self.held:
            self.held[at] = part
            if fresh:
                self.owned.add(at)
        elif fits and at not in self.owned:
            self.held[at] = self.held[at] + part
            self.owned.add(at)
        else:
            out = self._buffer(at)
            _add_moved(out if channels is None else out[:, channels], part, top - y0, left - x0)

    def multiply(self, at: Place | None, term: Term) -> None:
        """Add what a 1x1 convolution's weights make of the gradient after it, where it is late as a product."""
        if at is None or at not in self.windows:
            return
        assert term.weight is not None
        if at in self.graph.late and len(term.weight) <= term.weight.shape[1]:
            self.products.setdefault(at, []).append(term)
        else:
            whole = self.whole(at) and term.values.shape[1:] == self.shapes[at][2:]
            self.add(at, term.worked_out(whole=whole)[None], term.top, term.left, fresh=True)

    def _buffer(self, at: Place) -> Tensor:
        """The gradient at a place, to be added to."""
        if at not in self.held:
            y0, y1, x0, x1 = self.windows[at]
            # Channels last in memory, as the convolutions on a CPU want it.
            out = self.graph.like.new_zeros(1, y1 - y0, x1 - x0, self.shapes[at][1])
            self.held[at] = out.permute(0, 3, 1, 2)
        elif at not in self.owned:
            self.held[at] = self.held[at].clone()
        self.owned.add(at)
        return self.held[at]

    def cut(self, tensor: Tensor, at: Place) -> Tensor:
        """The part of a (1, C, h, w) in a place's window."""
        return _part(tensor, *self.windows[at])


def _part(tensor: Tensor, y0: int, y1: int, x0: int, x1: int) -> Tensor:
    # Half the time of brackets, which look at every dimension.
    return tensor.narrow(2, y0, y1 - y0).narrow(3, x0, x1 - x0)


def _add_moved(out: Tensor, part: Tensor, down: int, right: int) -> None:
    (height, width), (a, b) = out.shape[2:], part.shape[2:]
    y0, y1, x0, x1 = max(down, 0), min(down + a, height), max(right, 0), min(right + b, width)
    if y0 < y1 and x0 < x1:
        _part(out, y0, y1, x0, x1).add_(_part(part, y0 - down, y1 - down, x0 - right, x1 - right))


def _bounds(gradient: Gradient) -> Window | None:
    """The smallest window that holds all that is not 0; None where everything is."""
    top, left = gradient.top, gradient.left
    # Of one cell of a map it is known without a look, which a GPU would have to be waited for.
    if gradient.values.shape[1:] == (1, 1) != gradient.shape:
        return top, top + 1, left, left + 1
    found = (gradient.values.amax(0).ne(0) | gradient.values.amin(0).ne(0)).cpu().numpy()
    rows = np.flatnonzero(found.any(1))
    if not rows.size:
        return None
    columns = np.flatnonzero(found.any(0))
    return top + int(rows[0]), top + int(rows[-1]) + 1, left + int(columns[0]), left + int(columns[-1]) + 1


# Rules: first where an operation's inputs get a gradient from, then which. What an operation was given, its node knows.


def _same_reach(walk: _Walk, step: _Step) -> None:
    for at in step.inputs:
        walk.reach(at, walk.windows[step.outputs[0]])


def _elementwise(backward: Callable[[Tensor, Tensor, Any], Tensor], *, by: str = "") -> Any:
    """`backward(gradient, tensor, node)` of an operation with one tensor; `by`: the one its node has saved."""

    def pull(walk: _Walk, step: _Step) -> None:
        at = step.outputs[0]
        gradient = walk.held[at]
        found = backward(gradient, walk.cut(getattr(step.node, by), at) if by else gradient, step.node)
        top, _, left, _ = walk.windows[at]
        walk.add(step.inputs[0], found, top, left, fresh=found is not gradient)

    return _same_reach, pull


def _add_reach(walk: _Walk, step: _Step) -> None:
    if step.node._saved_alpha != 1:
        raise Opaque("a weighted sum")
    if any(at is not None and walk.shapes[at] != walk.shapes[step.outputs[0]] for at in step.inputs):
        raise Opaque("a sum of different shapes")
    _same_reach(walk, step)


def _add_pull(walk: _Walk, step: _Step) -> None:
    top, _, left, _ = walk.windows[step.outputs[0]]
    for at in step.inputs:
        walk.add(at, walk.held[step.outputs[0]], top, left)


def _joins_channels(step: _Step) -> bool:
    """Whether what is joined or split is the channels."""
    return int(step.node._saved_dim) % 2**64 in (1, 2**64 - 3)


def _along_channels(step: _Step) -> None:
    if not _joins_channels(step):
        raise Opaque("joined or split along another side than the channels")


def _cat_reach(walk: _Walk, step: _Step) -> None:
    _along_channels(step)
    # Of an input without a gradient the graph does not say how many channels it has: of one, the rest of them.
    if step.inputs.count(None) > 1:
        raise Opaque("joined with several that have no gradient")
    _same_reach(walk, step)


def _cat_pull(walk: _Walk, step: _Step) -> None:
    out, start = step.outputs[0], 0
    top, _, left, _ = walk.windows[out]
    known = sum(walk.shapes[at][1] for at in step.inputs if at is not None)
    for at in step.inputs:
        channels = walk.shapes[at][1] if at is not None else walk.shapes[out][1] - known
        part = slice(start, start + channels)
        if out in walk.held:
            walk.add(at, walk.held[out][:, part], top, left)
        for term in walk.products.get(out, ()):
            assert term.weight is not None
            walk.multiply(at, replace(term, weight=term.weight[:, part]))
        start = part.stop


def _split_reach(walk: _Walk, step: _Step) -> None:
    _along_channels(step)
    for out in step.outputs:
        walk.reach(step.inputs[0], walk.windows.get(out))


def _split_pull(walk: _Walk, step: _Step) -> None:
    start = 0
    for out in step.outputs:
        part = slice(start, start + walk.shapes[out][1])
        if out in walk.held:
            top, _, left, _ = walk.windows[out]
            walk.add(step.inputs[0], walk.held[out], top, left, channels=part)
        start = part.stop


def _plain(step: _Step) -> bool:
    """Whether every channel that a convolution reads goes into all that it returns."""
    return bool(step.node.name() == "ConvolutionBackward0" and step.node._saved_groups == 1)


def _conv_reach(walk: _Walk, step: _Step) -> None:
    if step.inputs[1] is not None:
        raise Opaque("a convolution whose weights have a gradient")
    walk.reach(step.inputs[0], walk.graph.convolution(step).spread(walk.windows[step.outputs[0]]))


def _conv_pull(walk: _Walk, step: _Step) -> None:
    at, out = step.inputs[0], step.outputs[0]
    if at is None:
        return
    gradient, window, conv = walk.held[out], walk.windows[out], walk.graph.convolution(step)
    if conv.pointwise:
        walk.multiply(at, Term(gradient[0], window[0], window[2], conv.weight))
        return
    top, left, (tall, wide), padding, small = 0, 0, walk.shapes[at][2:], conv.padding, False
    if not walk.whole(out):
        top, bottom, left, right = conv.spread(window)
        tall, wide, padding = bottom - top, right - left, (0, 0)
        small = gradient.shape[2] * gradient.shape[3] * conv.weight.numel() < LARGE
    # Laid out for what needs it alone.
    way = conv.kernel if small or conv.stride == (1, 1) else None
    if way is not None and (small or way.convolves(padding)):
        found = way.gradient(gradient) if small else way.convolved(gradient, padding)
        walk.add(at, found, top, left, fresh=True)
        return
    # Only its shape is looked at.
    like = gradient.new_empty(1).expand(1, walk.shapes[at][1], tall, wide)
    shape = (conv.stride, padding, conv.dilation, False, [0, 0], conv.groups)
    part = aten.convolution_backward(gradient, like, conv.weight, None, *shape, [True, False, False])[0]
    walk.add(at, part, top, left, fresh=True)


def _upsample_factor(walk: _Walk, step: _Step) -> int:
    assert step.inputs[0] is not None
    (h, w), (height, width) = (walk.shapes[at][2:] for at in (step.inputs[0], step.outputs[0]))
    if height % h or width % w or height // h != width // w:
        raise Opaque("grown by other than a whole factor")
    return int(height // h)


def _upsample_reach(walk: _Walk, step: _Step) -> None:
    factor = _upsample_factor(walk, step)
    y0, y1, x0, x1 = walk.windows[step.outputs[0]]
    walk.reach(step.inputs[0], (y0 // factor, -(-y1 // factor), x0 // factor, -(-x1 // factor)))


def _upsample_pull(walk: _Walk, step: _Step) -> None:
    factor, out = _upsample_factor(walk, step), step.outputs[0]
    if out in walk.held:
        top, _, left, _ = walk.windows[out]
        blocks, row, column = _blocks(walk.held[out], top, left, factor)
        walk.add(step.inputs[0], blocks, row, column, fresh=True)
    for term in walk.products.get(out, ()):
        blocks, row, column = _blocks(term.values[None], term.top, term.left, factor)
        walk.multiply(step.inputs[0], replace(term, values=blocks[0], top=row, left=column))


def _blocks(gradient: Tensor, top: int, left: int, factor: int) -> tuple[Tensor, int, int]:
    """The sums of a (1, C, h, w) over blocks, and the first one's row and column."""
    row, column = top // factor, left // factor
    height, width = -(-(top + gradient.shape[2]) // factor) - row, -(-(left + gradient.shape[3]) // factor) - column
    out = gradient.new_zeros(1, height, width, gradient.shape[1]).permute(0, 3, 1, 2)
    # A place of the blocks at a time: several times as fast as average pooling, which wants whole blocks too.
    for y in range(factor):
        for x in range(factor):
            down, right = (y - top) % factor, (x - left) % factor
            part = gradient[:, :, down::factor, right::factor]
            _add_moved(out, part, (top + down) // factor - row, (left + right) // factor - column)
    return out, row, column


def _norm_scale(gradient: Tensor, node: Any) -> Tensor:
    if node._saved_training:
        raise Opaque("a batch norm that learns")
    weight, scale = node._saved_weight, (node._saved_running_var + node._saved_eps).rsqrt()
    scaled: Tensor = gradient * (scale if weight is None else scale * weight).view(1, -1, 1, 1)
    return scaled


_RULES: dict[str, tuple[Callable[[_Walk, _Step], None], Callable[[_Walk, _Step], None]]] = {
    "ConvolutionBackward0": (_conv_reach, _conv_pull),
    "AddBackward0": (_add_reach, _add_pull),
    "CatBackward0": (_cat_reach, _cat_pull),
    "SplitBackward0": (_split_reach, _split_pull),
    "SplitWithSizesBackward0": (_split_reach, _split_pull),
    "UpsampleNearest2DBackward0": (_upsample_reach, _upsample_pull),
    "SiluBackward0": _elementwise(lambda g, x, node: aten.silu_backward(g, x), by="_saved_self"),
    "ReluBackward0": _elementwise(lambda g, y, node: aten.threshold_backward(g, y, 0), by="_saved_result"),
    "SigmoidBackward0": _elementwise(lambda g, y, node: aten.sigmoid_backward(g, y), by="_saved_result"),
    "LeakyReluBackward0": _elementwise(
        lambda g, x, node: aten.leaky_relu_backward(g, x, node._saved_negative_slope, False), by="_saved_self"
    ),
    "HardswishBackward0": _elementwise(lambda g, x, node: aten.hardswish_backward(g, x), by="_saved_self"),
    "NativeBatchNormBackward0": _elementwise(lambda g, _, node: _norm_scale(g, node)),
    "CloneBackward0": _elementwise(lambda g, _, node: g),
    "AliasBackward0": _elementwise(lambda g, _, node: g),
}
