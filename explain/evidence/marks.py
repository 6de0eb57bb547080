"""Marks planted in an input, and where a layer's output changes by them."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps
from torch import Tensor
from torch.nn.functional import interpolate

from sightglass.common import packaged
from sightglass.explain.evidence.determinism import own_random_state
from sightglass.explain.picture.image import load_bundled
from sightglass.models.adapter import Adapter
from sightglass.models.demo.pictures import SCENES
from sightglass.models.families.custom.guard import ModuleGuard
from sightglass.models.layers import Cover
from sightglass.models.picture_functions import FEWEST, SIDE

VISIBLE, ROUNDING = 1e-3, 1e-5
"""Least change by a mark: as a share of the largest by any, and of the output's largest number."""
EXACT, LOOSE, UNCOUNTED = 0.6, 1.25, 0.9
"""Cells that four in five marks may be off: where tokens are counted, elsewhere, and in no order of tokens."""
RELATED, UNRELATED = 0.8, 0.5
"""Correlations of the marks' places in the input and in a grid that fit each other, and that contradict."""
SHARP, SMALLEST = 0.15, 0.25
"""Largest share of a grid that changes with a mark which is somewhere, and least share of one that is in the input."""
FULL = 8
"""Marks, and cells of a side, from which on a cover is measured."""
MARGIN = 0.1
"""Largest share of a side that convolutions without padding may cut off, which is no place of its own."""
COMPACT = 0.08
"""Largest deviation of the places that change with a mark, in shares, where their middle is the mark's."""
FINE = 12
"""Cells of a side from which on convolutions put marks aside by less than a margin does."""
FOLLOWED = 1.5
"""Misfit up to which a coarse grid lies where the one before it lies."""
ERRORS = 2.0
"""Standard errors beyond which a grid's end is elsewhere."""
Array = NDArray[np.float64]


def photograph(adapter: Adapter, move: Callable[[Tensor], Tensor], size: tuple[int, int] | None = None) -> Tensor:
    """Return the measuring photograph as a model's input; `size`: (h, w)."""
    picture = Pillow.fromarray(load_bundled([*packaged.photographs(), *SCENES][0]).pixels)
    height, width = adapter.taken_size((224, 224))
    pixels = np.asarray(ImageOps.fit(picture, (width, height)))[..., np.arange(adapter.channels) % 3].copy()
    tensor = move(adapter.prepare(pixels, adapter.preprocessings[0]).tensor)
    if size is None or tensor.shape[-2:] == size:
        return tensor
    return move(interpolate(tensor.float(), size, mode="bilinear", antialias=True))


def invert(tensor: Tensor) -> Tensor:
    """Return an input of other numbers, each at least half the range away."""
    low, high = tensor.amin((2, 3), keepdim=True), tensor.amax((2, 3), keepdim=True)
    high = torch.where(high > low, high, low + 1)
    return torch.where(tensor > (low + high) / 2, low, high)


def plant(tensor: Tensor, inverse: Tensor, places: Sequence[Sequence[float]]) -> tuple[list[Tensor], Array]:
    """Return inputs with a mark each, and the marks' centres (M, 2), in shares."""
    size = tensor.shape[-2:]
    side = max(2, round(SIDE * min(size)))
    corners = np.rint(np.array(places) * size - side / 2)
    corners = corners.clip(0, np.array(size) - side).astype(int)
    marked = []
    for y, x in corners:
        marked.append(tensor.clone())
        part = (..., slice(y, y + side), slice(x, x + side))
        marked[-1][part] = inverse[part]
    return marked, (corners + side / 2) / size


def fitted_cover(at: Array, centres: Array) -> Cover:
    """Return the cover that puts marks (M, 2) nearest to their centres in a grid, by least squares."""
    aside = at - at.mean(0)
    scales = (aside * centres).sum(0) / ((aside**2).sum(0) + 1e-30)
    starts = centres.mean(0) - scales * at.mean(0)
    (down, top), (across, left) = np.stack([scales, starts], 1).tolist()
    return (down, top), (across, left)


def _line(at: Array, centres: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the line (scale, start) through marks (M,) and their centres, and its errors at both ends."""
    aside = at - at.mean()
    scale = float(aside @ centres / (aside @ aside))
    start = float(centres.mean()) - scale * float(at.mean())
    residual = centres - scale * at - start
    variance = float(residual @ residual) / (len(at) - 2)
    errors = [math.sqrt(variance * (1 / len(at) + (end - at.mean()) ** 2 / (aside @ aside))) for end in (0, 1)]
    return (scale, start), (errors[0], errors[1])


def _is_inside(cover: Cover, limit: Array) -> bool:
    """Return whether a grid leaves out as much at both ends of each side, as convolutions without padding do."""
    before, after = -ends_of(cover)[:, 0], ends_of(cover)[:, 1] - 1
    return bool((before > 0).all() and (after > 0).all() and (np.abs(before - after) <= limit.max(1)).all())


def expected_at(at: Array, cover: Cover) -> Array:
    """Return where a cover has marks in its grid, (M, 2)."""
    (down, top), (across, left) = cover
    return np.asarray(at * [down, across] + [top, left])


def ends_of(cover: Cover) -> Array:
    """Return where the input's ends lie in a grid, (2, 2), in shares."""
    return np.array([(start, start + scale) for scale, start in cover])


@contextmanager
def undone(adapter: Adapter) -> Iterator[None]:
    """Put back on exit what a measuring pass changes."""
    guard = adapter.guard or ModuleGuard(adapter.module)
    with own_random_state(), guard.undone():
        yield


class MarkedGrid:
    """A grid that marks change, and where they are in it, in shares.

    `unit` is a cell, or more where a change is spread out; `cover` where the marks themselves say that the grid lies.
    """

    def __init__(self, changes: Array, at: Array) -> None:
        """Locate the changes (M, h, w) of marks with their centres at (M, 2)."""
        self.at, self.sides = at, np.array(changes.shape[1:])
        others = np.median(changes, 0)
        # What stands out at a place beside what any mark does there.
        peaks = np.maximum(changes - others, 0) / (others + changes.mean())
        peaks[peaks < peaks.max((1, 2), keepdims=True) / 2] = 0
        self.sharp = float(np.median((peaks > 0).mean((1, 2)))) < SHARP
        rows, columns = peaks.any(2), peaks.any(1)
        self.whole = np.stack([~(lines[:, 0] | lines[:, -1]) for lines in (rows, columns)], 1)
        """Which marks change no end of the grid, (M, 2): of others a part is cut off, and the middle moves."""
        peaks /= peaks.sum((1, 2), keepdims=True) + 1e-30
        shares = [(peaks.sum(2 - axis), (np.arange(side) + 0.5) / side) for axis, side in enumerate(self.sides)]
        self.centres = np.stack([weights @ places for weights, places in shares], 1)
        spread = np.stack([weights @ places**2 for weights, places in shares], 1) - self.centres**2
        self.spread = np.sqrt(np.median(spread, 0).clip(0))
        self.unit = np.maximum(np.maximum(1 / self.sides, SIDE), self.spread)
        self.cover = fitted_cover(at, self.centres)
        with np.errstate(invalid="ignore"):
            self.related = np.nan_to_num(np.corrcoef(at.T, self.centres.T)[:2, 2:].diagonal())

    @classmethod
    def of_visible(cls, changes: Array, at: Array) -> "MarkedGrid | None":
        """Return the grid of the marks that change it visibly; None of too few."""
        visible = changes.max((1, 2)) > VISIBLE * changes.max()
        return cls(changes[visible], at[visible]) if visible.sum() >= FEWEST else None

    def relation(self, cover: Cover) -> float:
        """Return the least correlation of the marks' rows and columns with a cover's, -1..1."""
        return float(np.where(self.sides > 2, self.related * np.sign(cover)[:, 0], 1).min())

    def misfit(self, cover: Cover, *, exact: bool) -> float:
        """Return how far marks are from a cover's places; 1 is the limit."""
        unit = 1 / self.sides if exact else self._unit_at(cover)
        cells = np.abs(self.centres - expected_at(self.at, cover)) / unit
        off = float(np.quantile(cells.max(1), 0.8)) / (EXACT if exact else LOOSE)
        return off if exact or self.relation(cover) > RELATED else math.inf

    def _unit_at(self, cover: Cover) -> Array:
        """Return `unit` at a cover: a mark is as much larger in the grid as the grid covers less."""
        scales = [abs(scale) for scale, _ in cover]
        return np.asarray(np.maximum(self.unit, SIDE * np.array(scales)))

    def allows(self, cover: Cover) -> bool:
        """Return whether the marks that are inside the grid by a cover are near their places; True of too few."""
        expected, unit = expected_at(self.at, cover), self._unit_at(cover)
        inside = ((expected > unit / 2) & (expected < 1 - unit / 2)).all(1)
        if inside.sum() < FEWEST:
            return True
        cells = np.abs(self.centres - expected)[inside] / unit
        return float(np.quantile(cells.max(1), 0.8)) <= FOLLOWED * LOOSE

    def ends(self) -> tuple[Cover, Array] | None:
        """Return where whole marks say that the grid lies, and the errors of its ends in shares, (2, 2).

        None where too few are whole, or the grid is too coarse to say.
        """
        is_coarse = self.sides.min() < FINE or self.spread.max() > COMPACT
        if is_coarse or self.whole.sum(0).min() < FEWEST:
            return None
        lines = [_line(self.at[whole, axis], self.centres[whole, axis]) for axis, whole in enumerate(self.whole.T)]
        (down, errors_down), (across, errors_across) = lines
        return (down, across), np.array([errors_down, errors_across])

    def turns(self, cells: float) -> bool:
        """Return whether whole marks lie turned, by more than some cells from one end to the other."""
        whole = self.whole.all(1)
        if self.ends() is None or whole.sum() <= FEWEST:
            return False
        at, centres = self.at[whole], self.centres[whole]
        columns = np.column_stack([at, np.ones(len(at))])
        slopes, *_ = np.linalg.lstsq(columns, centres, rcond=None)
        residual = centres - columns @ slopes
        variance = (residual**2).sum(0) / (len(at) - columns.shape[1])
        errors = np.sqrt(np.outer(np.linalg.inv(columns.T @ columns).diagonal(), variance))
        across = np.abs(slopes[[1, 0], [0, 1]])
        return bool((across > cells / self.sides + ERRORS * errors[[1, 0], [0, 1]]).any())

    def settled(self, likely: Sequence[Cover], cells: float) -> Cover:
        """Return the first likely cover that whole marks fit, or theirs where none does.

        `cells`: how far an end may be off. Where marks are spread too widely, their middles alone are to fit.
        """
        found = self.ends()
        if found is None:
            return next((cover for cover in likely if self.misfit(cover, exact=False) <= FOLLOWED), likely[-1])
        own, errors = found
        limit = cells / self.sides[:, None] + ERRORS * errors
        if _is_inside(own, limit):
            return likely[0]
        return next((cover for cover in likely if (np.abs(ends_of(cover) - ends_of(own)) <= limit).all()), own)

    @property
    def shows_cover(self) -> bool:
        """Whether so many marks are in line in so fine a grid that they say where it lies."""
        fine = min(*self.sides, len(self.at)) >= FULL and min(abs(scale) for scale, _ in self.cover) > SMALLEST
        return fine and self.aside > MARGIN and self.misfit(self.cover, exact=False) < EXACT

    @property
    def shown(self) -> Cover:
        """Where marks show the grid: the mirrored whole if they fit it, or their own cover."""
        (down, _), (across, _) = self.cover
        rows = (-1.0, 1.0) if down < 0 else (1.0, 0.0)
        columns = (-1.0, 1.0) if across < 0 else (1.0, 0.0)
        is_mirrored = min(down, across) < 0
        return (rows, columns) if is_mirrored and self.misfit((rows, columns), exact=False) <= 1 else self.cover

    @property
    def aside(self) -> float:
        """How far the marks' cover ends beside the input, as a share."""
        return max(abs(end) for scale, start in self.cover for end in (start, scale + start - 1))
