"""Gradients of many detections at once, each only where it is not zero.

One cell of a detection head starts a detection's gradient, and a convolution's backward spreads it by half a kernel: a
small object's reaches a few percent of a map. PyTorch's own backward multiplies all the zeros, one detection after the
other. Here its graph is walked back for a group of detections together, each in a window of its own: the same numbers,
without the zeros.

A target behind an operation that is not among the rules below is left to PyTorch.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Window = tuple[int, int, int, int]
"""First row, row after the last, first column, column after the last."""
Place = tuple[Any, int]
"""A node of the graph and which of its operation's results: what a gradient belongs to."""
WHOLE = 0.75
"""Share of a map from which a window is not worth cutting out."""
LITTLE, ALIKE = 0.15, 1.3
"""Windows on less than `LITTLE` of their maps go together; larger ones with any less than `ALIKE` times as large."""
TOGETHER = 16
"""Targets walked back at once, at most: it is their memory."""
aten = torch.ops.aten


LOGGER = logging.getLogger(__name__)


class Opaque(Exception):
    """A gradient would have to go through an operation that has no rule here."""


@dataclass(frozen=True, slots=True)
class Gradient:
    """One target's gradient at one layer: `values` (C, h', w') from row `top` and column `left` on, 0 elsewhere."""

    values: Tensor
    top: int
    left: int
    shape: tuple[int, int]
    """(h, w) of the layer's whole map."""

    def part(self, activations: Tensor) -> Tensor:
        """The window's part of a (C, h, w)."""
        height, width = self.values.shape[1:]
        return activations[:, self.top : self.top + height, self.left : self.left + width]

    def placed(self, part: Tensor, elsewhere: float | Tensor = 0.0) -> Tensor:
        """A map of the window (h', w') as a whole one (h, w)."""
        height, width = part.shape
        if (height, width) == self.shape:
            return part
        out = part.new_zeros(self.shape)
        out += elsewhere
        out[self.top : self.top + height, self.left : self.left + width] = part
        return out

    def dense(self) -> Tensor:
        """(C, h, w)."""
        return torch.stack([self.placed(channel) for channel in self.values])


@dataclass(frozen=True, slots=True)
class _Step:
    """One operation of the forward pass, from its node in the graph."""

    node: Any
    rule: tuple[Callable[[_Walk, _Step], None], Callable[[_Walk, _Step], None]] | None
    inputs: tuple[Place | None, ...]
    """Where the gradients of its inputs belong; None for what needs none."""
    outputs: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Windows of one size in one tensor, one for each target of a group."""

    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    height: int
    width: int
    whole: bool


def place(tensor: Tensor) -> Place:
    """What a tensor's gradient belongs to; raises Opaque where it has none."""
    if tensor.grad_fn is not None:
        return tensor.grad_fn, tensor.output_nr
    if not tensor.requires_grad:
        raise Opaque("a tensor without a gradient")
    # A leaf's own node hangs on whatever is made of it.
    return tensor.view_as(tensor).grad_fn.next_functions[0][0], 0  # type: ignore[union-attr]


class Graph:
    """PyTorch's graph between what a network returned and the layers whose gradients are wanted."""

    def __init__(self, ends: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
        """`ends` and `sources` are (1, C, h, w)."""
        self.ends = [place(end) for end in ends]
        self.sources = [place(source) for source in sources]
        self.shapes = dict(zip((*self.ends, *self.sources), (tuple(t.shape) for t in (*ends, *sources)), strict=True))
        self.like = sources[0]
        self.steps = self._steps()

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
                continue
            results = node._input_metadata
            for i, result in enumerate(results):
                self.shapes[node, i] = tuple(result.shape)
            inputs = tuple((before, i) if before is not None else None for before, i in node.next_functions)
            steps.append(_Step(node, _RULES.get(name), inputs, tuple((node, i) for i in range(len(results)))))
        return steps

    def gradients(self, seeds: Sequence[Sequence[Tensor | None]]) -> list[list[Gradient] | None]:
        """For each target one Gradient per source, None where an operation on its way has no rule.

        `seeds`: for each target what its gradient is at each end.
        """
        starts = [
            {end: (seed, _bounds(seed)) for end, seed in zip(self.ends, given, strict=True) if seed is not None}
            for given in seeds
        ]
        groups: dict[Any, list[int]] = defaultdict(list)
        for i, given in enumerate(starts):
            small = all(w is None or (w[1] - w[0]) * (w[3] - w[2]) <= 9 for _, w in given.values())
            # Windows of one group have one size: only those that start alike stay alike.
            groups[frozenset(end for end, (_, w) in given.items() if w) if small else i].append(i)
        found: dict[int, list[Gradient]] = {}
        for members in groups.values():
            for first in range(0, len(members), TOGETHER):
                some = members[first : first + TOGETHER]
                try:
                    found |= dict(zip(some, _Walk(self, [starts[i] for i in some]).run(), strict=True))
                except Opaque as reason:
                    LOGGER.debug("%d targets are left to torch: %s", len(some), reason)
        return [found.get(i) for i in range(len(seeds))]


class _Walk:
    """One group of targets, back from their seeds to the sources."""

    def __init__(self, graph: Graph, starts: Sequence[dict[Place, tuple[Tensor, Window | None]]]) -> None:
        self.graph, self.starts, self.shapes = graph, starts, graph.shapes
        self.count = len(starts)
        self.windows: dict[Place, list[Window | None]] = {}
        self.frames: dict[Place, _Frame] = {}
        self.held: dict[Place, Tensor] = {}
        """By place: gradients (k, C, h', w') within the frame, as far as they are known."""
        self.owned: set[Place] = set()
        """Places whose gradient shares no memory with another, and can be added to in place."""

    def run(self) -> list[list[Gradient]]:
        """For each target one Gradient per source."""
        for i, given in enumerate(self.starts):
            for at, (_, window) in given.items():
                self.reach(at, i, window)
        steps = []
        for step in self.graph.steps:
            if any(at in self.windows for at in step.outputs):
                if step.rule is None:
                    raise Opaque(step.node.name())
                steps.append(step)
                step.rule[0](self, step)
        found: dict[int, list[Gradient]] = {}
        for some in self._alike():
            part = _Walk(self.graph, [self.starts[i] for i in some])
            part.windows = {at: [windows[i] for i in some] for at, windows in self.windows.items()}
            found |= dict(zip(some, part._back(steps), strict=True))
        return [found[i] for i in range(self.count)]

    def _alike(self) -> list[list[int]]:
        """The targets in groups of windows about as large: in a group all are as large as the largest."""
        share = [0.0] * self.count
        for at, windows in self.windows.items():
            height, width = self.shapes[at][2:]
            for i, window in enumerate(windows):
                if window is not None:
                    y0, y1, x0, x1 = window
                    share[i] += (y1 - y0) * (x1 - x0) / (height * width * len(self.windows))
        groups: list[list[int]] = []
        for i in sorted(range(self.count), key=share.__getitem__):
            if groups and (share[i] < LITTLE or share[i] < ALIKE * share[groups[-1][0]]):
                groups[-1].append(i)
            else:
                groups.append([i])
        return groups

    def _back(self, steps: Sequence[_Step]) -> list[list[Gradient]]:
        self.frames = {at: self._frame(at) for at in self.windows}
        for i, given in enumerate(self.starts):
            for at, (seed, window) in given.items():
                if window is not None:
                    self._seed(at, i, seed)
        sources = self.graph.sources
        final: dict[Place, list[Gradient]] = {}
        for step in steps:
            final |= {at: self._found(at) for at in step.outputs if at in sources}
            assert step.rule is not None
            step.rule[1](self, step)
            for at in step.outputs:
                self.held.pop(at, None)
        final |= {at: self._found(at) for at in sources if at not in final}
        return [[final[at][i] for at in sources] for i in range(self.count)]

    def _found(self, at: Place) -> list[Gradient]:
        _, channels, height, width = self.shapes[at]
        if at not in self.held:
            nothing = Gradient(self.graph.like.new_zeros(channels, 1, 1), 0, 0, (height, width))
            return [nothing] * self.count
        frame = self.frames[at]
        return [
            Gradient(one, top, left, (height, width))
            for one, top, left in zip(self.held[at], frame.tops, frame.lefts, strict=True)
        ]

    # Where gradients will be.

    def reach(self, at: Place | None, i: int, window: Window | None) -> None:
        """Target i's gradient at a place will be not 0 within this window too."""
        if at is None or window is None:
            return
        height, width = self.shapes[at][2:]
        y0, y1, x0, x1 = window
        new = max(y0, 0), min(y1, height), max(x0, 0), min(x1, width)
        old = self.windows.setdefault(at, [None] * self.count)[i]
        if old is not None:
            new = min(old[0], new[0]), max(old[1], new[1]), min(old[2], new[2]), max(old[3], new[3])
        self.windows[at][i] = new

    def _frame(self, at: Place) -> _Frame:
        height, width = self.shapes[at][2:]
        known = [window for window in self.windows[at] if window is not None]
        h = max((y1 - y0 for y0, y1, _, _ in known), default=1)
        w = max((x1 - x0 for _, _, x0, x1 in known), default=1)
        if h * w > WHOLE * height * width:
            return _Frame((0,) * self.count, (0,) * self.count, height, width, whole=True)
        windows = [window or (0, 1, 0, 1) for window in self.windows[at]]
        tops = tuple(min(y0, height - h) for y0, _, _, _ in windows)
        lefts = tuple(min(x0, width - w) for _, _, x0, _ in windows)
        return _Frame(tops, lefts, h, w, whole=(h, w) == (height, width))

    # What gradients are.

    def _seed(self, at: Place, i: int, seed: Tensor) -> None:
        frame = self.frames[at]
        y, x = frame.tops[i], frame.lefts[i]
        self._buffer(at)[i] += seed[0, :, y : y + frame.height, x : x + frame.width]

    def _buffer(self, at: Place) -> Tensor:
        """The gradient at a place, to be added to."""
        if at not in self.held:
            frame = self.frames[at]
            # Channels last in memory, as the convolutions on a CPU want it.
            out = self.graph.like.new_zeros(self.count, frame.height, frame.width, self.shapes[at][1])
            self.held[at] = out.permute(0, 3, 1, 2)
        elif at not in self.owned:
            self.held[at] = self.held[at].clone()
        self.owned.add(at)
        return self.held[at]

    def add(
        self,
        at: Place | None,
        part: Tensor,
        tops: Sequence[int],
        lefts: Sequence[int],
        *,
        channels: slice | None = None,
        fresh: bool = False,
    ) -> None:
        """Add (k, C, a, b) that starts at each target's own row and column; what is outside the frame is 0 there.

        `fresh`: nobody else holds its memory.
        """
        if at is None or at not in self.frames:
            return
        frame = self.frames[at]
        a, b = part.shape[2:]
        fits = (a, b) == (frame.height, frame.width) and tuple(tops) == frame.tops and tuple(lefts) == frame.lefts
        if fits and channels is None and at not in self.held:
            self.held[at] = part
            if fresh:
                self.owned.add(at)
            return
        if fits and channels is None and at not in self.owned:
            self.held[at] = self.held[at] + part
            self.owned.add(at)
            return
        out = self._buffer(at)
        out = out if channels is None else out[:, channels]
        if fits:
            out += part
            return
        moves = {(t - ft, le - fl) for t, ft, le, fl in zip(tops, frame.tops, lefts, frame.lefts, strict=True)}
        if len(moves) == 1:
            _add_moved(out, part, *moves.pop())
            return
        for i in range(self.count):
            _add_moved(out[i], part[i], tops[i] - frame.tops[i], lefts[i] - frame.lefts[i])

    def cut(self, tensor: Tensor, frame: _Frame) -> Tensor:
        """(k, C, h', w') of a tensor (1, C, h, w) in a frame."""
        if frame.whole:
            return tensor.expand(self.count, -1, -1, -1)
        parts = [
            tensor[0, :, y : y + frame.height, x : x + frame.width]
            for y, x in zip(frame.tops, frame.lefts, strict=True)
        ]
        return torch.stack(parts) if len(parts) > 1 else parts[0][None]


def _add_moved(out: Tensor, part: Tensor, down: int, right: int) -> None:
    (height, width), (a, b) = out.shape[-2:], part.shape[-2:]
    y0, y1, x0, x1 = max(down, 0), min(down + a, height), max(right, 0), min(right + b, width)
    if y0 < y1 and x0 < x1:
        out[..., y0:y1, x0:x1] += part[..., y0 - down : y1 - down, x0 - right : x1 - right]


def _bounds(gradient: Tensor) -> Window | None:
    """The smallest window of a (1, C, h, w) that holds all that is not 0; None where everything is."""
    found = (gradient.amax((0, 1)).ne(0) | gradient.amin((0, 1)).ne(0)).cpu().numpy()
    rows = np.flatnonzero(found.any(1))
    if not rows.size:
        return None
    columns = np.flatnonzero(found.any(0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


# Rules: first where an operation's inputs get a gradient from, then which. What an operation was given, its node knows.


def _same_reach(walk: _Walk, step: _Step) -> None:
    for at in step.inputs:
        for i, window in enumerate(walk.windows[step.outputs[0]]):
            walk.reach(at, i, window)


def _elementwise(backward: Callable[[Tensor, Tensor, Any], Tensor], *, by: str = "") -> Any:
    """`backward(gradient, tensor, node)` of an operation with one tensor; `by`: the one its node has saved."""

    def pull(walk: _Walk, step: _Step) -> None:
        gradient, frame = walk.held[step.outputs[0]], walk.frames[step.outputs[0]]
        cut = walk.cut(getattr(step.node, by), frame) if by else gradient
        found = backward(gradient, cut, step.node)
        walk.add(step.inputs[0], found, frame.tops, frame.lefts, fresh=found is not gradient)

    return _same_reach, pull


def _add_reach(walk: _Walk, step: _Step) -> None:
    if step.node._saved_alpha != 1:
        raise Opaque("a weighted sum")
    if any(at is not None and walk.shapes[at] != walk.shapes[step.outputs[0]] for at in step.inputs):
        raise Opaque("a sum of different shapes")
    _same_reach(walk, step)


def _add_pull(walk: _Walk, step: _Step) -> None:
    frame, gradient = walk.frames[step.outputs[0]], walk.held[step.outputs[0]]
    for at in step.inputs:
        walk.add(at, gradient, frame.tops, frame.lefts)


def _along_channels(step: _Step) -> None:
    if step.node._saved_dim % 2**64 not in (1, 2**64 - 3):
        raise Opaque("joined or split along another side than the channels")


def _cat_reach(walk: _Walk, step: _Step) -> None:
    _along_channels(step)
    # Of an input without a gradient the graph does not say how many channels it has: of one, the rest of them.
    if step.inputs.count(None) > 1:
        raise Opaque("joined with several that have no gradient")
    _same_reach(walk, step)


def _cat_pull(walk: _Walk, step: _Step) -> None:
    frame, start = walk.frames[step.outputs[0]], 0
    known = sum(walk.shapes[at][1] for at in step.inputs if at is not None)
    for at in step.inputs:
        channels = walk.shapes[at][1] if at is not None else walk.shapes[step.outputs[0]][1] - known
        walk.add(at, walk.held[step.outputs[0]][:, start : start + channels], frame.tops, frame.lefts)
        start += channels


def _split_reach(walk: _Walk, step: _Step) -> None:
    _along_channels(step)
    for out in step.outputs:
        for i, window in enumerate(walk.windows.get(out, ())):
            walk.reach(step.inputs[0], i, window)


def _split_pull(walk: _Walk, step: _Step) -> None:
    start = 0
    for out in step.outputs:
        part = slice(start, start + walk.shapes[out][1])
        if out in walk.held:
            frame = walk.frames[out]
            walk.add(step.inputs[0], walk.held[out], frame.tops, frame.lefts, channels=part)
        start = part.stop


def _conv_reach(walk: _Walk, step: _Step) -> None:
    node = step.node
    weight = node._saved_weight
    if node._saved_transposed or weight.ndim != 4 or step.inputs[1] is not None:
        raise Opaque("no plain convolution")
    for i, window in enumerate(walk.windows[step.outputs[0]]):
        if window is not None:
            (top, tall), (left, wide) = (
                _spread(node, weight, side, first, last) for side, (first, last) in enumerate((window[:2], window[2:]))
            )
            walk.reach(step.inputs[0], i, (top, top + tall, left, left + wide))


def _spread(node: Any, weight: Tensor, side: int, first: int, last: int) -> tuple[int, int]:
    """Start and length of the inputs of outputs first..last-1; may stick out into the padding."""
    stride, padding, dilation = (
        given[side] for given in (node._saved_stride, node._saved_padding, node._saved_dilation)
    )
    return first * stride - padding, (last - first - 1) * stride + (weight.shape[2 + side] - 1) * dilation + 1


def _conv_pull(walk: _Walk, step: _Step) -> None:
    node, at = step.node, step.inputs[0]
    if at is None:
        return
    frame, gradient, weight = walk.frames[step.outputs[0]], walk.held[step.outputs[0]], node._saved_weight
    channels, *size = walk.shapes[at][1:]
    tops, lefts, padding = frame.tops, frame.lefts, list(node._saved_padding)
    if not frame.whole:
        rows = [_spread(node, weight, 0, first, first + frame.height) for first in frame.tops]
        columns = [_spread(node, weight, 1, first, first + frame.width) for first in frame.lefts]
        tops, lefts = (tuple(first for first, _ in spread) for spread in (rows, columns))
        size, padding = [rows[0][1], columns[0][1]], [0, 0]
    # Only its shape is looked at.
    like = gradient.new_empty(1).expand(walk.count, channels, *size)
    shape = (list(node._saved_stride), padding, list(node._saved_dilation), False, [0, 0], node._saved_groups)
    part = aten.convolution_backward(gradient, like, weight, None, *shape, [True, False, False])[0]
    walk.add(at, part, tops, lefts, fresh=True)


def _upsample_factor(walk: _Walk, step: _Step) -> int:
    assert step.inputs[0] is not None
    (h, w), (height, width) = (walk.shapes[at][2:] for at in (step.inputs[0], step.outputs[0]))
    if height % h or width % w or height // h != width // w:
        raise Opaque("grown by other than a whole factor")
    return int(height // h)


def _upsample_reach(walk: _Walk, step: _Step) -> None:
    factor = _upsample_factor(walk, step)
    for i, window in enumerate(walk.windows[step.outputs[0]]):
        if window is not None:
            y0, y1, x0, x1 = window
            walk.reach(step.inputs[0], i, (y0 // factor, -(-y1 // factor), x0 // factor, -(-x1 // factor)))


def _upsample_pull(walk: _Walk, step: _Step) -> None:
    factor, frame = _upsample_factor(walk, step), walk.frames[step.outputs[0]]
    gradient = walk.held[step.outputs[0]]
    tops, lefts = (tuple(first // factor for first in firsts) for firsts in (frame.tops, frame.lefts))
    # To whole blocks, each target by what it lacks.
    before = [(top % factor, left % factor) for top, left in zip(frame.tops, frame.lefts, strict=True)]
    tall = max(-(-(down + frame.height) // factor) for down, _ in before) * factor
    wide = max(-(-(right + frame.width) // factor) for _, right in before) * factor
    if (tall, wide) != (frame.height, frame.width):
        padded = [
            F.pad(one, (right, wide - frame.width - right, down, tall - frame.height - down))
            for one, (down, right) in zip(gradient, before, strict=True)
        ]
        gradient = torch.stack(padded)
    walk.add(step.inputs[0], F.avg_pool2d(gradient, factor, divisor_override=1), tops, lefts, fresh=True)


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
