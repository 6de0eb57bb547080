"""Statistics of a heatmap, and agreement of two.

Maps are float32 (h, w) within 0..1 at any resolution; positions are in pixels of the original picture, of which the map
covers the part `extent` (x0, y0, x1, y1). "Heat" is the map read as a quantity that is shared out over the cells. No
map gives NaN: with no heat at all every number is 0, the centre and the peak are the middle of the extent and there are
no regions; a flat map has an even heat, a Gini coefficient of 0, and its peak in the middle.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sightglass.explain.phrases import NBSP, percent
from sightglass.explain.rendering.style import Values, check_values

COARSE = 320
"""Cells a side that a map is brought down to, by area, before anything is counted: its own grid is far smaller."""
Extent = tuple[float, float, float, float]
Point = tuple[float, float]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

RING = 0.1  # the border ring is the outer tenth of each side
BINS = 20  # of the histogram
MIDDLE = 1 / 12  # how far the middle of a picture reaches, to either side
_LEAST, _ONE = 0x30800000, 0x3F800000
"""The bits of 2 ** -30 and 1 as float32: heat below counts as the least."""
_STEPS = ((_ONE - _LEAST) >> 14) + 1


@dataclass(frozen=True)
class Region:
    """A connected area above half of the maximum: box, share and greatest value."""

    box: Extent
    share_of_heat: float
    peak: float


@dataclass(frozen=True)
class Statistics:
    """The numbers of one map; MEANING explains each."""

    mean: float
    max: float
    flat: bool
    coverage_25: float
    coverage_50: float
    coverage_75: float
    evidence_50: float
    half_heat_area: float
    entropy: float
    entropy_normalised: float
    gini: float
    centre: Point
    spread: float
    peak: Point
    regions: tuple[Region, ...]
    n_regions: int
    border_share: float
    border_area: float
    quadrants: tuple[float, float, float, float]
    histogram: tuple[int, ...]


NAMES: dict[str, str] = {
    "mean": "Mean strength",
    "max": "Greatest strength",
    "flat": "The same everywhere",
    "coverage_25": f"Area above 25{NBSP}%",
    "coverage_50": f"Area above 50{NBSP}%",
    "coverage_75": f"Area above 75{NBSP}%",
    "evidence_50": f"Evidence above 50{NBSP}%",
    "half_heat_area": "Area holding half the evidence",
    "entropy": "Scatter (entropy), bits",
    "entropy_normalised": "Scatter (entropy), 0 to 1",
    "gini": "Unevenness (Gini)",
    "centre": "Centre of the evidence",
    "spread": "Spread around the centre",
    "peak": "Strongest point",
    "n_regions": "Number of strong areas",
    "border_share": "Evidence near the edges",
    "border_area": "Area near the edges",
    "quadrants": "Evidence in each quarter",
}
"""What the numbers are called wherever a person reads them."""
MEANING: dict[str, str] = {
    "mean": "How strong the evidence is on average, from 0 to 1.",
    "max": "The strongest value anywhere in the map; about 1 where it was scaled to its maximum on the model's input.",
    "flat": "Whether every place is equally strong, so that the map points nowhere.",
    "coverage_25": "How much of the area is above a quarter of the scale.",
    "coverage_50": "How much of the area is above half of the scale.",
    "coverage_75": "How much of the area is above three quarters of the scale.",
    "evidence_50": "How much of the evidence is above half of the scale.",
    "half_heat_area": "The smallest part of the area that holds half of all the evidence: small means little counts.",
    "entropy": "How scattered the evidence is, in bits: one more bit means twice as many places share it evenly.",
    "entropy_normalised": "How scattered the evidence is: 0 is a single point, 1 is the same everywhere.",
    "gini": "How unequally the evidence is shared out: 0 is the same everywhere, near 1 is all in one place.",
    "centre": "The point on which the evidence would balance, in pixels of the picture.",
    "spread": "How far the evidence is from its centre, as a part of the diagonal; 0.29 or so is evenly everywhere.",
    "peak": "The strongest point, in pixels of the picture.",
    "regions": "The separate areas above half of the maximum, the one with most evidence first, at most ten.",
    "n_regions": "How many separate areas are above half of the maximum.",
    "border_share": "How much of the evidence is in the outer tenth along the edges; an even spread puts 36 % there.",
    "border_area": "How much of the area that outer tenth takes up, to compare with.",
    "quadrants": "How the evidence is shared by the four quarters: top left, top right, bottom left, bottom right.",
    "histogram": "How many cells of the map fall into each of twenty equal steps from weak to strong.",
}

DIGITS = {"mean": 2, "max": 2, "entropy": 2, "entropy_normalised": 2, "gini": 2, "spread": 2, "n_regions": 0, "peak": 0}
DIGITS |= {"centre": 0, "box": 0, "found": 0, "box_ratio": 1, "advantage": 2, "over_random": 2}
"""Decimals of the numbers that are no shares; shares are shown in percent."""


def format_value(name: str, value: Any) -> str:
    """Format a number for people: `24 %`, `0.41`, `3`, `405, 540`, `yes`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ", ".join(format_value(name, part) for part in value)
    return f"{value:.{DIGITS[name]}f}" if name in DIGITS else percent(value)


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation of two maps, -1..1, and the IoU of their hottest fifths, 0..1: 1 if identical."""

    rank_correlation: float
    iou_top20: float


def coarse(values: Values, cells: int = COARSE) -> Values:
    """Reduce a map (h, w), or a picture (h, w, C), by area to at most `cells` a side."""
    height, width = values.shape[:2]
    scale = cells / max(height, width)
    if scale >= 1:
        return values
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA))


def describe(values: Values, extent: Extent | None = None) -> Statistics:
    """Compute every number of one map; `extent` is (0, 0, w, h) if not given. Raises ValueError for wrong values."""
    values = check_values(values)
    heat = np.clip(values, 0, 1)
    height, width = values.shape
    x0, y0, x1, y1 = extent = extent or (0.0, 0.0, float(width), float(height))
    if not (np.isfinite(extent).all() and x0 < x1 and y0 < y1):
        raise ValueError(f"extent must be x0, y0, x1, y1 with x0 < x1 and y0 < y1, got {extent}.")
    size, total, top = values.size, float(heat.sum(dtype=np.float64)), float(values.max())
    flat, middle = float(values.min()) == top, ((x0 + x1) / 2, (y0 + y1) / 2)
    step_x, step_y = (x1 - x0) / width, (y1 - y0) / height
    across, down = x0 + (np.arange(width) + 0.5) * step_x, y0 + (np.arange(height) + 0.5) * step_y
    row, column = divmod(int(values.argmax()), width)
    centre, deviation = _balance(heat, total, across, down) if total else (middle, 0.0)
    hottest, gini = _inequality(heat) if total else (0, 0.0)
    shares = heat / np.float32(total or 1)
    shares = shares[shares > 0]  # only now: the division can send the smallest to 0
    bits = max(0.0, -float(np.sum(shares * np.log2(shares), dtype=np.float64)))
    quadrants, inner = _share_by_part(heat, total or 1)
    regions, n_regions = _regions(values, heat, total or 1, extent)
    bins = np.minimum((np.maximum(values, 0) * BINS).astype(np.uint8), BINS - 1)
    return Statistics(
        mean=float(values.mean(dtype=np.float64)),
        max=top,
        flat=flat,
        coverage_25=float(np.count_nonzero(values > 0.25)) / size,
        coverage_50=float(np.count_nonzero(values > 0.5)) / size,
        coverage_75=float(np.count_nonzero(values > 0.75)) / size,
        evidence_50=float(heat[values > 0.5].sum(dtype=np.float64)) / (total or 1),
        half_heat_area=hottest / size,
        entropy=bits,
        entropy_normalised=min(1.0, bits / float(np.log2(size))) if size > 1 else 0.0,
        gini=min(1.0, max(0.0, gini)),
        centre=centre,
        spread=deviation / float(np.hypot(x1 - x0, y1 - y0)),
        peak=middle if flat else (float(across[column]), float(down[row])),
        regions=regions,
        n_regions=n_regions,
        border_share=max(0.0, 1 - inner) if total else 0.0,
        border_area=1 - (1 - 2 * RING) ** 2,
        quadrants=quadrants,
        histogram=tuple(np.bincount(bins.ravel(), minlength=BINS).tolist()),
    )


def describe_place(statistics: Statistics, seen: Extent, size: tuple[int, int]) -> str:
    """Describe the place of the heat: "in the middle of the picture", ...

    `seen`: the map's area in original pixels, of a picture of `size` (width, height). The place is that of the
    strongest point, `peak`, with that of another region far from it that has as much evidence, or nearly.
    """
    if not statistics.regions:
        return "nowhere in the picture"
    x0, y0, x1, y1 = seen
    if statistics.flat or statistics.half_heat_area >= 0.4:
        return f"spread over the whole {'crop' if (x1 - x0) * (y1 - y0) < 0.99 * size[0] * size[1] else 'picture'}"
    width, height = size
    x, y = statistics.peak
    place = _locate(x / width, y / height)
    least = statistics.regions[0].share_of_heat / 2
    for region in statistics.regions[:2]:
        left, top, right, bottom = region.box
        if left <= x <= right and top <= y <= bottom:
            continue
        middle = ((left + right) / 2 / width, (top + bottom) / 2 / height)
        other = _locate(*middle)
        if region.share_of_heat >= least and other != place and _apart(middle, (x / width, y / height), 1 / 3):
            return f"{place} and {other}"
    return place


def rank_correlation(a: Values, b: Values) -> float:
    """Return Spearman's rank correlation of two maps of one shape, -1..1, as `Agreement` has it."""
    return rank_correlations(a, [b])[0]


def rank_correlations(values: Values, others: Iterable[Values]) -> list[float]:
    """Return a map's rank correlation with each of others, -1..1."""
    ranks = _ranks(check_values(values))
    return [_correlation(ranks, _ranks(check_values(other))) for other in others]


def agreement_matrix(maps: Sequence[Values]) -> tuple[tuple[Agreement, ...], ...]:
    """Return the pairwise agreement of maps, [row][column].

    rank_correlation: Spearman's with mean ranks for ties; a flat map has 1 with flat maps, else 0. iou_top20: of
    `hottest_mask(map, 0.2)`, 1 if both are empty.
    """
    maps = [check_values(m) for m in maps]
    if len({m.shape for m in maps}) > 1:
        raise ValueError(f"Maps to compare must have the same shape, got {', '.join(str(m.shape) for m in maps)}.")
    ranks = [_ranks(m) for m in maps]
    masks = [hottest_mask(m, 0.2) for m in maps]
    table = [[Agreement(1.0, 1.0)] * len(maps) for _ in maps]
    for i in range(len(maps)):
        for j in range(i):
            table[i][j] = table[j][i] = Agreement(_correlation(ranks[i], ranks[j]), iou(masks[i], masks[j]))
    return tuple(tuple(row) for row in table)


def hottest_mask(values: Values, fraction: float) -> Mask:
    """Return the hottest fraction of the picture, bool (H, W).

    Equal values are treated alike: those at the threshold are all in or all out, whichever is nearer to the fraction
    (out if equally near). So a flat map gives nothing up to a half, and everything above.
    """
    values = check_values(values)
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must lie within 0..1, got {fraction}.")
    count = round(fraction * values.size)
    if not count:
        return np.zeros(values.shape, dtype=np.bool_)
    edge = np.partition(values, values.size - count, axis=None)[values.size - count]
    above, with_edge = values > edge, values >= edge
    nearer = np.count_nonzero(with_edge) - count < count - np.count_nonzero(above)
    return np.asarray(with_edge if nearer else above)


def share_difference(a: Values, b: Values) -> Values:
    """Subtract maps as shares of their sums, by the largest difference.

    Returns float32 (H, W): -1 or 1 at the largest difference, positive where a has the larger share, 0 where both are
    equal. A map without heat has a share of 0 everywhere; of a signed map the strength counts, whatever its sign.
    """
    a, b = check_values(np.abs(a)), check_values(np.abs(b))
    if a.shape != b.shape:
        raise ValueError(f"Both maps must have the same shape, got {a.shape} and {b.shape}.")
    shares = [values / (values.sum(dtype=np.float64) or 1.0) for values in (a, b)]
    gap = shares[0] - shares[1]
    return np.asarray(gap / (abs(gap).max() or 1.0), np.float32)


def rescale(values: Values) -> Values:
    """Rescale signed values to 0..1, monotonically; constants become 0."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def iou(a: Mask, b: Mask) -> float:
    """Return two masks' intersection over union, 0..1; 1 if both are empty."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def _balance(heat: Values, total: float, across: Floats, down: Floats) -> tuple[Point, float]:
    """Return the centre of the heat, and its standard deviation around it, by the cells' places (w,) and (h,)."""
    # The sums over rows and columns are enough, as shares.
    columns, rows = heat.sum(axis=0, dtype=np.float64) / total, heat.sum(axis=1, dtype=np.float64) / total
    centre = float(columns @ across), float(rows @ down)
    return centre, max(0.0, float(columns @ (across - centre[0]) ** 2 + rows @ (down - centre[1]) ** 2)) ** 0.5


def _share_by_part(heat: Values, total: float) -> tuple[tuple[float, float, float, float], float]:
    """Return the shares of heat in the quarters, as `Statistics.quadrants`, and inside of the border ring."""
    height, width = heat.shape
    inner_x, inner_y = (overlaps(side, RING * side, (1 - RING) * side) for side in (width, height))
    left, upper = overlaps(width, 0, 0.5 * width), overlaps(height, 0, 0.5 * height)
    # One product for all: [0][0] to [1][1] are the quarters, [2][2] is all but the border ring.
    parts = np.stack([upper, 1 - upper, inner_y]) @ heat @ np.stack([left, 1 - left, inner_x], axis=1) / total
    return (float(parts[0, 0]), float(parts[0, 1]), float(parts[1, 0]), float(parts[1, 1])), float(parts[2, 2])


def _inequality(heat: Values) -> tuple[int, float]:
    """Return the size of the hottest half of heat, and Gini's coefficient, to 0.0002."""
    heat = heat / heat.max()
    # Bits of positive floats are ordered; the shift leaves the exponent and 9 bits of the mantissa.
    steps = (np.maximum(heat.ravel().view(np.int32), _LEAST) - _LEAST) >> 14
    counts = np.bincount(steps, minlength=_STEPS)[::-1]
    sums = np.bincount(steps, weights=heat.ravel(), minlength=_STEPS)[::-1]
    above, gathered = np.cumsum(counts) - counts, np.cumsum(sums)
    step = int(np.searchsorted(gathered, gathered[-1] / 2))
    part = (gathered[-1] / 2 - (gathered[step] - sums[step])) / sums[step]
    # Each value counts once for every rank below its own; those of one step share their ranks evenly.
    ranked = float(sums @ (heat.size - above - (counts - 1) / 2))
    gini = (2 * ranked / float(gathered[-1]) - (heat.size + 1)) / heat.size
    return int(above[step]) + max(1, math.ceil(part * counts[step] - 1e-9)), gini


def overlaps(cells: int, start: float, end: float) -> Floats:
    """Return each cell's overlap with an interval, in cells."""
    return np.diff(np.clip(np.arange(cells + 1), start, end))


def _regions(values: Values, heat: Values, total: float, extent: Extent) -> tuple[tuple[Region, ...], int]:
    """Return the ten regions with most heat, in pixels of the picture, and the number of all."""
    hot = values > values.max() / 2
    count, labels, stats, _ = cv2.connectedComponentsWithStats(hot.view(np.uint8), connectivity=8)
    heats = np.bincount(labels[hot], weights=heat[hot], minlength=count)
    (rows, columns), (x0, y0, x1, y1) = values.shape, extent
    step_x, step_y = (x1 - x0) / columns, (y1 - y0) / rows
    regions = []
    for label in 1 + np.argsort(-heats[1:], kind="stable")[:10]:
        x, y, width, height = (int(number) for number in stats[label][:4])
        cut = np.s_[y : y + height, x : x + width]
        peak = float(values[cut][labels[cut] == label].max())
        box = x0 + x * step_x, y0 + y * step_y, x0 + (x + width) * step_x, y0 + (y + height) * step_y
        regions.append(Region(box, float(heats[label]) / total, peak))
    return tuple(regions), count - 1


def _apart(a: Point, b: Point, least: float) -> bool:
    return max(abs(a[0] - b[0]), abs(a[1] - b[1])) > least


def _locate(x: float, y: float) -> str:
    """Describe a point (x, y), in shares of the picture's sides."""
    across = _side_of(x, 1 / 3, 2 / 3, ("left", "right"))
    down = _side_of(y, 1 / 3, 2 / 3, ("top", "bottom"))
    if not across and not down:
        above = _side_of(y, 0.5 - MIDDLE, 0.5 + MIDDLE, ("above", "below"))
        beside = _side_of(x, 0.5 - MIDDLE, 0.5 + MIDDLE, ("left of", "right of"))
        return f"{' and '.join(filter(None, (above, beside))) or 'in'} the middle of the picture"
    edge = " edge" if not (across and down) and min(x, 1 - x, y, 1 - y) < 0.12 else ""
    return f"at the {' '.join(filter(None, (down, across)))}{edge}"


def _side_of(place: float, low: float, high: float, words: tuple[str, str]) -> str:
    """Return the word for what is below `low` or above `high`; empty between."""
    if place < low:
        return words[0]
    return words[1] if place > high else ""


def _ranks(values: Values) -> Floats:
    """Ranks about their mean and of unit length; zeros for a flat map."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places.ravel()]
    ranks = ranks - ranks.mean()
    return np.asarray(ranks / (np.linalg.norm(ranks) or 1.0), dtype=np.float64)


def _correlation(a: Floats, b: Floats) -> float:
    return float(np.clip(a @ b, -1, 1)) if a.any() or b.any() else 1.0
