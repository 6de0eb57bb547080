"""Read from autograd's graph where layers lie in an input.

The node of each step that moves places (a convolution, a pooling, a margin, a cut, a mirror, a resizing) says by how
much. A layer behind a step that is not in these tables, such as attention, has no place here: marks show it.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from torch import Tensor

from sightglass.models.layers import Cover

LOGGER = logging.getLogger(__name__)
AGREEING = 1e-6
"""Largest relative difference of the strides of two branches that are added up."""
UNSIGNED = 2**64
"""What autograd adds to a negative number that it saves."""


@dataclass(frozen=True, slots=True)
class Line:
    """Where the cells of a row or column are: cell i has its middle at pixel `step * i + first`."""

    axis: int
    """0: down; 1: across the input."""
    step: float
    first: float

    def at(self, index: float, step: float = 1.0) -> Line:
        """Return the line whose cell i is at this one's cell `step * i + index`."""
        return replace(self, step=self.step * step, first=self.first + self.step * index)


class Factor(NamedTuple):
    """A part of one dimension of a tensor: flattened ones have several."""

    size: int
    line: Line | None
    """None where it counts no places, such as channels."""


Side = tuple[Factor, ...]
"""The factors of a dimension, the last of which changes fastest; of one of size 1 empty."""
Grid = tuple[Side, ...]
"""The sides of a tensor."""
Shape = tuple[int, ...]


class Parent(NamedTuple):
    """What a node's input is."""

    grid: Grid
    shape: Shape


@dataclass
class Traced:
    """What the graph of a pass shows of its layers."""

    covers: dict[str, Cover] = field(default_factory=dict)
    """Where maps (1, C, h, w) or (1, h, w, C) lie in the input, by path; without those that are not shown."""
    mixed: set[str] = field(default_factory=set)
    """Paths of those whose cells are each made of several places, as of a picture and its mirror image."""


def trace(recorded: Mapping[str, Tensor], tensor: Tensor) -> Traced:
    """Return what the graph shows of the outputs of layers, by path, of a pass of an input (1, C, h, w)."""
    traced = Traced()
    if tensor.grad_fn is None:
        return traced
    pixels = tuple(_side(count, Line(axis, 1.0, 0.5)) for axis, count in enumerate(tensor.shape[2:]))
    reader = _GraphReader(tensor.grad_fn, (*map(_side, tensor.shape[:2]), *pixels))
    for path, output in recorded.items():
        if output.ndim != 4 or len(output) > 1:
            continue
        grid = reader.grid_of(output.grad_fn)
        cover = None if grid is None else _cover_of(grid, tensor.shape[2:])
        if cover is not None:
            traced.covers[path] = cover
        elif output.grad_fn in reader.mixed:
            traced.mixed.add(path)
    return traced


def _cover_of(grid: Grid, pixels: Sequence[int]) -> Cover | None:
    """Return the cover of rows and columns; None where there are other ones."""
    lines = [(side[0].size, line) for side in grid if (line := _line_of(side)) is not None]
    if [line.axis for _, line in lines] != [0, 1]:
        return None
    down, across = (
        (count / line.step / cells, (0.5 - line.first / line.step) / cells)
        for (cells, line), count in zip(lines, pixels, strict=True)
    )
    return down, across


def _side(size: int, line: Line | None = None) -> Side:
    return (Factor(size, line),) if size > 1 else ()


def _line_of(side: Side) -> Line | None:
    """Return the line of a dimension that is a row or column alone."""
    return side[0].line if len(side) == 1 else None


def _has_places(side: Side) -> bool:
    return any(factor.line is not None for factor in side)


class _ContradictionError(Exception):
    """Values of several places are put together."""


class _GraphReader:
    """The grids of nodes of autograd's graph."""

    def __init__(self, source: Any, grid: Grid) -> None:
        self._grids: dict[Any, Grid | None] = {source: grid}
        self._independent: set[Any] = set()
        """Nodes that do not depend on the input, such as weights."""
        self.mixed: set[Any] = set()
        """Nodes that are made of grids which contradict each other, and those that are computed from them."""

    def grid_of(self, node: Any) -> Grid | None:
        """Return a node's grid; None where it is not known."""
        for each in self._unread(node):
            parents = [parent for parent, _ in each.next_functions]
            if all(parent is None or parent in self._independent for parent in parents):
                self._independent.add(each)
            else:
                self._grids[each] = self._read(each)
        return self._grids.get(node)

    def _unread(self, node: Any) -> Iterator[Any]:
        """Yield what is not read yet of all that a node is computed from, each after its parents."""
        waiting = [(node, False)]
        while waiting:
            each, is_ready = waiting.pop()
            if each is None or each in self._grids or each in self._independent:
                continue
            if is_ready:
                yield each
                continue
            waiting.append((each, True))
            waiting += [(parent, False) for parent, _ in each.next_functions]

    def _read(self, node: Any) -> Grid | None:
        read = STEPS.get(re.sub(r"Backward\d*$", "", node.name()))
        edges = [(each, output) for each, output in node.next_functions if each and each not in self._independent]
        parents = [parent for edge in edges if (parent := self._parent(*edge)) is not None]
        if any(each in self.mixed for each, _ in edges):
            self.mixed.add(node)
        if read is None or len(parents) < len(edges):
            return None
        try:
            return read(node, parents, _shape_of(node))
        except _ContradictionError:
            self.mixed.add(node)
        # What a node has saved may have been changed or freed since, or be another thing in another PyTorch.
        except (RuntimeError, AttributeError, IndexError, ValueError):
            LOGGER.info("%s shows no place", node.name(), exc_info=True)
        return None

    def _parent(self, node: Any, output: int) -> Parent | None:
        """Return one output of a node; its outputs differ in dimensions without places alone."""
        grid = self._grids.get(node)
        if grid is None:
            return None
        shape = _shape_of(node, output)
        sides = (side if _has_places(side) else _side(size) for side, size in zip(grid, shape, strict=True))
        return Parent(tuple(sides), shape)


def _shape_of(node: Any, output: int = 0) -> Shape:
    return tuple(node._input_metadata[output].shape)


def _with_sign(number: int) -> int:
    return number - UNSIGNED if number >= UNSIGNED // 2 else number


def _index_of(number: int, size: int) -> int:
    """Return an index of a dimension from its start."""
    number = _with_sign(number)
    return max(0, number + size if number < 0 else number)


def _merge(sides: Sequence[Side]) -> Side | None:
    """Return the places of values that are computed from several; None where they are not known of all.

    Raises _ContradictionError where they are elsewhere.
    """
    first = sides[0]
    if any([factor.size for factor in side] != [factor.size for factor in first] for side in sides):
        return None if any(map(_has_places, sides)) else first
    merged: list[Factor] = []
    for factors in zip(*sides, strict=True):
        lines = [factor.line for factor in factors if factor.line is not None]
        if not lines:
            merged.append(factors[0])
            continue
        middle = sum(line.first for line in lines) / len(lines)
        if not all(_agree(line, lines[0]) for line in lines):
            raise _ContradictionError
        if len(lines) < len(factors):
            return None
        merged.append(Factor(factors[0].size, replace(lines[0], first=middle)))
    return tuple(merged)


def _agree(line: Line, other: Line) -> bool:
    """Return whether two lines have the same cells, aside by less than one."""
    is_alike = line.axis == other.axis and math.isclose(line.step, other.step, rel_tol=AGREEING)
    return is_alike and abs(line.first - other.first) < abs(line.step)


def _read_alike(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of values that are computed place by place, where smaller ones are repeated."""
    sides: list[Side] = []
    for back, size in enumerate(reversed(shape), 1):
        found = [grid[-back] for grid, parent in parents if len(parent) >= back and parent[-back] == size > 1]
        merged = _merge(found) if found else _side(size)
        if merged is None:
            return None
        sides.insert(0, merged)
    return tuple(sides)


def _read_reshaped(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of the same values in another shape."""
    factors = [factor for side in parents[0].grid for factor in side]
    sides: list[Side] = []
    for size in shape:
        side: list[Factor] = []
        left = size
        while left > 1:
            if not factors:
                return None
            factor = factors.pop(0)
            if left % factor.size == 0:
                side.append(factor)
                left //= factor.size
                continue
            if factor.line is not None or factor.size % left:
                return None
            factors.insert(0, Factor(factor.size // left, None))
            side.append(Factor(left, None))
            left = 1
        sides.append(tuple(side))
    return tuple(sides)


def _with_lines(parent: Parent, shape: Shape, count: int, move: Callable[[int, Line, int, int], Line]) -> Grid | None:
    """Return a grid whose last `count` rows or columns are moved.

    `move`: returns the line of one from its number, its line, and its sizes before and after.
    """
    before = len(shape) - count
    sides: list[Side] = [side if _has_places(side) else _side(shape[i]) for i, side in enumerate(parent.grid[:before])]
    for number, (side, cells, size) in enumerate(
        zip(parent.grid[before:], parent.shape[before:], shape[before:], strict=True)
    ):
        line = _line_of(side)
        if line is None and _has_places(side):
            return None
        sides.append(_side(size) if line is None else _side(size, move(number, line, cells, size)))
    return tuple(sides)


def _read_window(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of a convolution or a pooling."""
    is_convolution = node.name().startswith("Convolution")
    kernel = node._saved_weight.shape[2:] if is_convolution else node._saved_kernel_size
    # One number may stand for all sides.
    sides = len(shape) - 2 if is_convolution else 2
    kernel, strides, paddings, dilations = (
        [*values] * sides if len(values) == 1 else values
        for values in (kernel, node._saved_stride or kernel, node._saved_padding, getattr(node, "_saved_dilation", [1]))
    )
    is_transposed = is_convolution and node._saved_transposed

    def move(number: int, line: Line, *_: int) -> Line:
        stride, padding, reach = strides[number], paddings[number], dilations[number] * (kernel[number] - 1)
        # With as much padding as the window reaches, cells are drawn evenly, as all tools do.
        middle = (stride - 1) / 2 if 2 * padding == reach else reach / 2 - padding
        return line.at(-middle / stride, 1 / stride) if is_transposed else line.at(middle, stride)

    grid = _with_lines(parents[0], shape, len(kernel), move)
    # A convolution reads all channels.
    return (grid[0], _side(shape[1]), *grid[2:]) if grid is not None and is_convolution else grid


def _read_resized(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of a map of another size."""
    aligns = getattr(node, "_saved_align_corners", False)

    def move(_: int, line: Line, cells: int, size: int) -> Line:
        if aligns and size > 1:
            return line.at(0, (cells - 1) / (size - 1))
        return line.at(0.5 * cells / size - 0.5, cells / size)

    return _with_lines(parents[0], shape, 2, move)


def _read_padded(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of a map with margins, of which negative ones are cut off."""
    margins = node._saved_pad if hasattr(node, "_saved_pad") else node._saved_padding
    # From the last side on, before and after.
    starts = [_with_sign(margin) for margin in margins[::2]][::-1]
    return _with_lines(parents[0], shape, len(starts), lambda number, line, *_: line.at(-starts[number]))


def _replaced(
    parent: Parent, shape: Shape, dims: Sequence[int], move: Callable[[Line, int], Line | None]
) -> Grid | None:
    """Return a grid whose dimensions `dims` are moved; `move`: of a line and its size."""
    sides = list(parent.grid)
    for dim in dims:
        line = _line_of(sides[dim])
        moved = None if line is None else move(line, parent.shape[dim])
        if moved is None and _has_places(sides[dim]):
            return None
        sides[dim] = _side(shape[dim], moved)
    return tuple(sides)


def _read_slice(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    dim = _index_of(node._saved_dim, len(shape))

    def move(line: Line, cells: int) -> Line:
        return line.at(_index_of(node._saved_start, cells), node._saved_step)

    return _replaced(parents[0], shape, [dim], move) if parents[0].shape != shape else parents[0].grid


def _read_flip(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    dims = [_index_of(dim, len(shape)) for dim in node._saved_dims]
    return _replaced(parents[0], shape, dims, lambda line, cells: line.at(cells - 1, -1))


def _read_split(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of a part of the channels."""
    return _replaced(parents[0], shape, [_index_of(node._saved_dim, len(shape))], lambda *_: None)


def _read_picked(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of chosen channels."""
    if len(shape) != len(parents[0].shape):
        return None
    indices = getattr(node, "_saved_indices", ())
    picked = [dim for dim, index in enumerate(indices) if index is not None] or [node._saved_dim]
    return _replaced(parents[0], shape, [_index_of(dim, len(shape)) for dim in picked], lambda *_: None)


def _read_joined(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of channels of several maps beside each other."""
    joined = _index_of(node._saved_dim, len(shape))
    sides: list[Side] = []
    for dim, size in enumerate(shape):
        found = [parent.grid[dim] for parent in parents]
        merged = _merge(found) if dim != joined else _side(size)
        if merged is None or (dim == joined and any(map(_has_places, found))):
            return None
        sides.append(merged)
    return tuple(sides)


def _read_stacked(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of several maps along a dimension of their own."""
    merged = [_merge(sides) for sides in zip(*(parent.grid for parent in parents), strict=True)]
    known = [side for side in merged if side is not None]
    place = _index_of(node._saved_dim, len(shape))
    return (*known[:place], _side(shape[place]), *known[place:]) if len(known) == len(merged) else None


def _read_reduced(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of means, sums or maxima over some dimensions."""
    count = len(parents[0].shape)
    saved = getattr(node, "_saved_dim", None)
    dims = range(count) if saved is None else [saved] if isinstance(saved, int) else saved
    reduced = {_index_of(dim, count) for dim in dims} or set(range(count))
    kept = [() if dim in reduced else side for dim, side in enumerate(parents[0].grid)]
    if len(shape) == count:
        return tuple(kept)
    return tuple(side for dim, side in enumerate(kept) if dim not in reduced)


def _read_permuted(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    return tuple(parents[0].grid[_index_of(dim, len(shape))] for dim in node._saved_dims)


def _read_transposed(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    sides = list(parents[0].grid)
    one, other = (_index_of(dim, len(shape)) for dim in (node._saved_dim0, node._saved_dim1))
    sides[one], sides[other] = sides[other], sides[one]
    return tuple(sides)


def _read_product(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of a linear layer; None of a product of two maps."""
    if len(parents) > 1 or len(parents[0].shape) != len(shape) or parents[0].shape[:-1] != shape[:-1]:
        return None
    return (*parents[0].grid[:-1], _side(shape[-1]))


Reading = Callable[[Any, Sequence[Parent], Shape], Grid | None]
ALIKE = (
    "Abs Add AddRelu Alias BatchNorm Celu Clamp ClampMax ClampMin Clone CudnnBatchNorm Div Elu Erf Exp Expand Gelu "
    "Hardsigmoid Hardswish Hardtanh LeakyRelu Log LogSigmoid Maximum Minimum MiopenBatchNorm Mish Mul "
    "NativeBatchNorm NativeDropout NativeGroupNorm NativeLayerNorm FusedRmsNorm Neg Pow Prelu PreluKernel Relu Relu6 "
    "Rsqrt Rsub Selu Sigmoid Silu Softmax Softplus Sqrt Sub Tanh Threshold ToCopy Where"
)
"""Nodes of what is computed place by place, without "Backward0"."""
RESHAPED = "View UnsafeView ReshapeAlias Squeeze Unsqueeze"
WINDOWS = "Convolution MaxPool2DWithIndices AvgPool2D"
RESIZED = (
    "UpsampleNearest2D UpsampleNearestExact2D UpsampleBilinear2D UpsampleBilinear2DAa UpsampleBicubic2D "
    "UpsampleBicubic2DAa AdaptiveAvgPool2D AdaptiveMaxPool2D PixelShuffle PixelUnshuffle"
)
PADDED = "ConstantPadNd ReflectionPad2D ReplicationPad2D"
REDUCED = "Mean Sum Amax Amin Max Min Var Std LinalgVectorNorm Norm"
PRODUCTS = "Addmm Mm Linear"
STEPS: dict[str, Reading] = {
    **dict.fromkeys(ALIKE.split(), _read_alike),
    **dict.fromkeys(RESHAPED.split(), _read_reshaped),
    **dict.fromkeys(WINDOWS.split(), _read_window),
    **dict.fromkeys(RESIZED.split(), _read_resized),
    **dict.fromkeys(PADDED.split(), _read_padded),
    **dict.fromkeys(REDUCED.split(), _read_reduced),
    **dict.fromkeys(PRODUCTS.split(), _read_product),
    "Slice": _read_slice,
    "Flip": _read_flip,
    "Split": _read_split,
    "Index": _read_picked,
    "IndexSelect": _read_picked,
    "Cat": _read_joined,
    "Stack": _read_stacked,
    "Permute": _read_permuted,
    "Transpose": _read_transposed,
}
"""How the grid of a node is read from those of its parents, by its name without "Backward0"."""
