"""Lines of equal heat: each pixel and each square looked at one by one gives the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sightglass.explain.rendering import contours

SHAPES = [(1, 1), (1, 6), (5, 1), (2, 2), (3, 4), (9, 7)]


def one_by_one(field, level):
    """Marching squares, a square at a time."""
    h, w = field.shape
    values = field.tolist()
    found = []
    for y in range(h + 1):
        for x in range(w + 1):
            (a, b), (d, c) = (
                [values[min(h - 1, max(0, row - 1))][min(w - 1, max(0, col - 1))] for col in (x, x + 1)]
                for row in (y, y + 1)
            )
            left, right = (min(w, max(0, i - 0.5)) for i in (x, x + 1))
            top, bottom = (min(h, max(0, i - 0.5)) for i in (y, y + 1))
            edges = {}
            if (a >= level) != (b >= level):
                edges["north"] = (left + (level - a) / (b - a) * (right - left), top)
            if (b >= level) != (c >= level):
                edges["east"] = (right, top + (level - b) / (c - b) * (bottom - top))
            if (d >= level) != (c >= level):
                edges["south"] = (left + (level - d) / (c - d) * (right - left), bottom)
            if (a >= level) != (d >= level):
                edges["west"] = (left, top + (level - a) / (d - a) * (bottom - top))
            if len(edges) == 2:
                found.append(list(edges.values()))
            elif edges:
                # The middle goes with top left and bottom right, which then are joined, or they are cut off.
                together = ((a + b + c + d) / 4 >= level) == (a >= level)
                pairs = [("north", "east"), ("south", "west")] if together else [("north", "west"), ("south", "east")]
                found += [[edges[one], edges[other]] for one, other in pairs]
    return sorted(sorted(ends) for ends in found)


def ends(segments):
    return sorted(sorted([(x0, y0), (x1, y1)]) for x0, y0, x1, y1 in segments.tolist())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steps", [2, 3, 1000])
def test_segments_are_those_of_each_square(shape, steps):
    rng = np.random.default_rng(steps)
    for level in (0.25, 0.3, 0.5, 1.0):
        for _ in range(8):
            field = (rng.integers(0, steps + 1, shape) / steps).astype(np.float32)
            assert ends(contours.segments(field, level)) == one_by_one(field, level)


def test_a_level_is_not_rounded_to_the_precision_of_the_field():
    field = np.array([[0.1, 0.9]], np.float32)
    # 0.9 lies a little below as a float32; as a float64 it is above all of the field.
    assert float(np.float32(0.9)) < 0.9
    assert len(contours.segments(field, 0.9)) == 0
    assert len(contours.segments(field, float(np.float32(0.9)))) == 2


def pixel_by_pixel(segments, shape, half):
    plane = np.zeros(shape, np.uint8)
    for x0, y0, x1, y1 in segments.tolist():
        long = (x1 - x0) ** 2 + (y1 - y0) ** 2
        for row in range(shape[0]):
            for column in range(shape[1]):
                x, y = column + 0.5, row + 0.5
                t = min(1, max(0, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / long)) if long else 0
                away = math.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0))
                covered = math.floor(255 * min(1, max(0, half + 0.5 - away)) + 0.5)
                plane[row, column] = max(plane[row, column], covered)
    return plane


def some_segments(count, longest, seed=0):
    rng = np.random.default_rng(seed)
    start = rng.random((count, 2)) * (44, 34) - 6  # some of them outside
    return np.concatenate([start, start + (rng.random((count, 2)) - 0.5) * longest], axis=1)


@pytest.mark.parametrize("half", [0.3, 0.625, 1.5, 6.0, 50.0])
@pytest.mark.parametrize("longest", [0, 3, 30, 200])
def test_coverage_is_that_of_each_pixel(half, longest):
    segments = some_segments(12, longest)
    found = contours.coverage(segments, (24, 32), half)
    assert found.dtype == np.uint8
    assert abs(found.astype(int) - pixel_by_pixel(segments, (24, 32), half)).max() == 0
