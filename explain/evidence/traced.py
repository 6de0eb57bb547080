"""Read from autograd's graph where layers lie in an input.

The node of each step that moves places (a convolution, a pooling, a margin, a cut, a mirror, a resizing) says by how
much. A layer behind a step that is not in these tables, such as attention, has no place here: marks show it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sightglass.models.layers import Cover, Frame

LOGGER = logging.getLogger(__name__)
UNSIGNED = 2**64
"""What autograd adds to a negative number that it saves."""
BENT = 0.5
"""Cells that what is sampled may lie beside even rows and columns."""
Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Line:
    """Where the cells of a row or column are: cell i has its middle at pixel `step * i + first`."""

    axis: int
    """0: down; 1: across the input; 2 and 3 of the first turned picture of it, 4 and 5 of the next one."""
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
class Traced(Generic[Name]):
    """What the graph of a pass shows of its layers, by their names."""

    covers: dict[Name, Cover] = field(default_factory=dict)
    """Where maps (1, C, h, w) or (1, h, w, C) lie in the input; without those that are not shown."""
    frames: dict[Name, Frame] = field(default_factory=dict)
    """The turned pictures of the input in which those are that lie in one."""
    mixed: set[Name] = field(default_factory=set)
    """Those whose cells are each made of several places, as of a picture and its mirror image."""
    turned: set[Name] = field(default_factory=set)
    """Those whose rows and columns are none of the input, nor of one that was turned: it was bent before."""
    varies: bool = False
    """Whether it depends on the picture which places are sampled."""


def trace(recorded: Mapping[Name, Tensor], tensor: Tensor) -> Traced[Name]:
    """Return what the graph of a pass shows of layers' outputs.

    `tensor`: the input (1, C, h, w).
    """
    traced = Traced[Name]()
    if tensor.grad_fn is None:
        return traced
    reader = _GraphReader(tensor.grad_fn, tensor.shape)
    losses = {MIXED: traced.mixed, TURNED: traced.turned}
    for name, output in recorded.items():
        if output.ndim != 4 or len(output) > 1:
            continue
        grid = reader.grid_of(output.grad_fn, output.output_nr)
        place = None if grid is None else reader.place_of(grid)
        if place is not None:
            traced.covers[name] = place[0]
            if place[1] is not None:
                traced.frames[name] = place[1]
        elif output.grad_fn in reader.lost:
            losses[reader.lost[output.grad_fn]].add(name)
    traced.varies = reader.varies
    return traced


def _cover_of(lines: Sequence[tuple[int, Line]], pixels: Sequence[int]) -> Cover:
    """Return the cover of rows and columns over a picture.

    `lines`: with their numbers of cells; `pixels`: the picture's.
    """
    down, across = (
        (count / line.step / cells, (0.5 - line.first / line.step) / cells)
        for (cells, line), count in zip(lines, pixels, strict=True)
    )
    return down, across


UPRIGHT: Frame = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def _transposed(frame: Frame) -> Frame:
    """Return the frame of a picture whose rows were made columns."""
    (x_by_x, x_by_y, x), (y_by_x, y_by_y, y) = frame
    return (x_by_y, x_by_x, x), (y_by_y, y_by_x, y)


def _pixels(height: int, width: int, axis: int = 0) -> Grid:
    """Return the rows and columns of a picture."""
    return _side(height, Line(axis, 1.0, 0.5)), _side(width, Line(axis + 1, 1.0, 0.5))


def _side(size: int, line: Line | None = None) -> Side:
    return (Factor(size, line),) if size > 1 else ()


def _line_of(side: Side) -> Line | None:
    """Return the line of a dimension that is a row or column alone."""
    return side[0].line if len(side) == 1 else None


def _has_places(side: Side) -> bool:
    return any(factor.line is not None for factor in side)


MIXED, TURNED = "mixed", "turned"
"""Ways to lose the places of cells: several are put together, or they lie in no rows and columns of the input."""


class _LostError(Exception):
    """The places of cells are lost; the argument says how."""


class _TurnedError(Exception):
    """What is computed lies in rows and columns of a picture that was turned."""

    def __init__(self, steps: NDArray[np.float64], size: Sequence[int], lines: Sequence[Line]) -> None:
        """Take where cells of the turned picture were read.

        `steps` (3, 2) times (row, column, 1) are a row and a column that `lines` place. `size`: of the turned picture.
        """
        super().__init__()
        self._steps, self._size, self._lines = steps, size, lines

    def frame_in(self, pictures: Sequence[Picture]) -> Frame:
        """Return where the turned picture lies in the input.

        `pictures`: the input and those before, one of which the lines are in.
        """
        size, before = pictures[self._lines[0].axis // 2]
        # From x and y of -1 to 1 to the turned picture's rows and columns.
        high, wide = self._size
        cells = np.array([[0, high / 2, (high - 1) / 2], [wide / 2, 0, (wide - 1) / 2], [0, 0, 1]])
        whole = np.eye(3)
        for number, line in enumerate(self._lines):
            pixels = line.step * self._steps[:, number] @ cells + np.array([0, 0, line.first])
            # y, down the picture, is the second one.
            whole[1 - line.axis % 2] = 2 * pixels / size[line.axis % 2] - np.array([0, 0, 1])
        (x_by_x, x_by_y, x), (y_by_x, y_by_y, y) = (np.array(before or UPRIGHT) @ whole).tolist()
        return (x_by_x, x_by_y, x), (y_by_x, y_by_y, y)


class Picture(NamedTuple):
    """The input, or a turned picture of it, in which rows and columns lie."""

    size: tuple[int, ...]
    frame: Frame | None


class _GraphReader:
    """The grids of nodes of autograd's graph."""

    def __init__(self, source: Any, shape: Sequence[int]) -> None:
        """Take the node of the input, and its shape (1, C, h, w)."""
        first, channels, height, width = shape
        self._grids: dict[Any, Grid | None] = {source: (_side(first), _side(channels), *_pixels(height, width))}
        self._pictures: list[Picture] = [Picture((height, width), None)]
        """The input, and turned pictures of it."""
        self._independent: set[Any] = set()
        """Nodes that do not depend on the input, such as weights."""
        self.lost: dict[Any, str] = {}
        """How nodes lose their places, and those that are computed from them."""
        self.varies = False
        """Whether a node samples at places that depend on the input."""

    def place_of(self, grid: Grid) -> tuple[Cover, Frame | None] | None:
        """Return the cover of rows and columns, and their picture's frame.

        None where there are other ones.
        """
        lines = [(side[0].size, line) for side in grid if (line := _line_of(side)) is not None]
        if len(lines) != 2:
            return None
        first, second = (line.axis for _, line in lines)
        # Those of one picture follow each other.
        if min(first, second) % 2 or abs(first - second) != 1:
            return None
        size, frame = self._pictures[first // 2]
        if first < second:
            return _cover_of(lines, size), frame
        return _cover_of(lines, size[::-1]), _transposed(frame or UPRIGHT)

    def grid_of(self, node: Any, output: int = 0) -> Grid | None:
        """Return the grid of a node's output; None where it is not known."""
        for each in self._unread(node):
            parents = [parent for parent, _ in each.next_functions]
            if all(parent is None or parent in self._independent for parent in parents):
                self._independent.add(each)
            else:
                self._grids[each] = self._read(each)
        parent = self._parent(node, output)
        return None if parent is None else parent.grid

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
        step = re.sub(r"Backward\d*$", "", node.name())
        read = STEPS.get(step)
        edges = [(each, output) for each, output in node.next_functions if each and each not in self._independent]
        if step in SAMPLED and len(edges) > 1:
            # The other ones say which places are read.
            self.varies = True
            del edges[1:]
        parents = [parent for edge in edges if (parent := self._parent(*edge)) is not None]
        lost = next((self.lost[each] for each, _ in edges if each in self.lost), None)
        if lost is not None:
            self.lost[node] = lost
        if read is None or len(parents) < len(edges):
            return None
        shape = _shape_of(node)
        try:
            return read(node, parents, shape)
        except _TurnedError as error:
            self._pictures.append(Picture(shape[2:], error.frame_in(self._pictures)))
            return (*parents[0].grid[:2], *_pixels(shape[2], shape[3], 2 * len(self._pictures) - 2))
        except _LostError as error:
            self.lost[node] = str(error)
        # What a node has saved may have been changed or freed since, or be another thing in another PyTorch.
        except (RuntimeError, AttributeError, IndexError, ValueError):
            LOGGER.info("%s shows no place", node.name(), exc_info=True)
        return None

    def _parent(self, node: Any, output: int) -> Parent | None:
        """Return one output of a node.

        But for parts of a split they differ in dimensions without places alone.
        """
        grid = self._grids.get(node)
        if grid is None:
            return None
        shape = _shape_of(node, output)
        if node.name().startswith("Split"):
            dim = _index_of(node._saved_dim, len(shape))
            start = sum(_shape_of(node, before)[dim] for before in range(output))
            line = _line_of(grid[dim])
            part = _side(shape[dim], None if line is None else line.at(start))
            grid = (*grid[:dim], part, *grid[dim + 1 :])
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

    Raises _LostError where they are elsewhere.
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
        size = factors[0].size
        if not all(_agree(line, lines[0], size) for line in lines):
            raise _LostError(MIXED)
        if len(lines) < len(factors):
            return None
        step, first = (sum(values) / len(lines) for values in zip(*((of.step, of.first) for of in lines), strict=True))
        merged.append(Factor(size, Line(lines[0].axis, step, first)))
    return tuple(merged)


def _agree(line: Line, other: Line, size: int) -> bool:
    """Return whether so many cells of two lines are at the same places.

    They are aside by less than one at both ends.
    """
    apart = [abs(line.first + line.step * end - other.first - other.step * end) for end in (0, size - 1)]
    return line.axis == other.axis and max(apart) < abs(line.step)


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


def _read_sampled(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of what is sampled at given places.

    Raises _TurnedError where these are in rows and columns of a turned picture, and _LostError where in none.
    """
    shares, sizes = node._saved_grid.detach()[0].double().cpu().numpy(), parents[0].shape[2:]
    cells = np.array(sizes)
    # Rows and columns, from -1 to 1 over the sides.
    places = shares[..., ::-1]
    at = (places + 1) / 2 * (cells - 1) if node._saved_align_corners else ((places + 1) * cells - 1) / 2
    down, across = np.indices(at.shape[:2])
    known = np.stack([down.ravel(), across.ravel(), np.ones(down.size)], 1)
    steps = np.linalg.lstsq(known, at.reshape(-1, 2), rcond=None)[0]
    if np.abs(known @ steps - at.reshape(-1, 2)).max() > BENT:
        raise _LostError(TURNED)
    (down_by_row, _), (_, across_by_column), (first_row, first_column) = steps.tolist()
    sideways = np.abs(steps[[1, 0], [0, 1]]) * (np.array(at.shape[1::-1]) - 1)
    if sideways.max() > BENT or 0 in (down_by_row, across_by_column):
        lines = [line for side in parents[0].grid[2:] if (line := _line_of(side)) is not None]
        if len(lines) < 2 or lines[0].axis // 2 != lines[1].axis // 2:
            raise _LostError(TURNED)
        raise _TurnedError(steps, shape[2:], lines)
    moves = [(first_row, down_by_row), (first_column, across_by_column)]
    return _with_lines(parents[0], shape, 2, lambda number, line, *_: line.at(*moves[number]))


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


def _read_rotated(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of a map that was turned by right angles."""
    one, other = (_index_of(dim, len(shape)) for dim in node._saved_dims)
    turns = _with_sign(node._saved_k) % 4
    flipped = {0: [], 1: [other], 2: [one, other], 3: [one]}[turns]
    grid = _replaced(parents[0], parents[0].shape, flipped, lambda line, cells: line.at(cells - 1, -1))
    return grid if grid is None or turns % 2 == 0 else _exchanged(grid, one, other)


def _read_split(node: Any, parents: Sequence[Parent], shape: Shape) -> Grid | None:
    """Return the grid of the first part of a split."""
    return _replaced(parents[0], shape, [_index_of(node._saved_dim, len(shape))], lambda line, _: line)


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
    one, other = (_index_of(dim, len(shape)) for dim in (node._saved_dim0, node._saved_dim1))
    return _exchanged(parents[0].grid, one, other)


def _exchanged(grid: Grid, one: int, other: int) -> Grid:
    """Return a grid with two of its sides in each other's place."""
    sides = list(grid)
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
SAMPLED = ("GridSampler2D",)
"""Nodes whose first input is read at places that the second one says."""
PADDED = "ConstantPadNd ReflectionPad2D ReplicationPad2D"
REDUCED = "Mean Sum Amax Amin Max Min Var Std LinalgVectorNorm Norm"
PRODUCTS = "Addmm Mm Linear"
STEPS: dict[str, Reading] = {
    **dict.fromkeys(ALIKE.split(), _read_alike),
    **dict.fromkeys(RESHAPED.split(), _read_reshaped),
    **dict.fromkeys(WINDOWS.split(), _read_window),
    **dict.fromkeys(RESIZED.split(), _read_resized),
    **dict.fromkeys(SAMPLED, _read_sampled),
    **dict.fromkeys(PADDED.split(), _read_padded),
    **dict.fromkeys(REDUCED.split(), _read_reduced),
    **dict.fromkeys(PRODUCTS.split(), _read_product),
    "Slice": _read_slice,
    "Flip": _read_flip,
    "Rot90": _read_rotated,
    "Split": _read_split,
    "SplitWithSizes": _read_split,
    "Index": _read_picked,
    "IndexSelect": _read_picked,
    "Cat": _read_joined,
    "Stack": _read_stacked,
    "Permute": _read_permuted,
    "Transpose": _read_transposed,
}
"""How the grid of a node is read from those of its parents, by its name without "Backward0"."""
