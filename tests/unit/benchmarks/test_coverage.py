"""Intervals hold the true number at least as often as is asked of them, wherever one is printed."""

import pytest

from benchmarks import coverage
from benchmarks.coverage import Coverage

LEAST = 0.93
SMALL, LARGE = (2, 3, 5, 7, 10, 20), (10, 20, 40, 100)


def check(found: dict[tuple[str, int], Coverage], *, without: set[int]) -> None:
    """Check that all intervals hold, and that sets of the sizes `without` have none."""
    figures = {key: each.figures for key, each in found.items()}
    assert {key: each["holds"] for key, each in figures.items() if each and each["holds"] < LEAST} == {}
    assert not any(each for (_, size), each in figures.items() if size in without)
    assert all(each for (_, size), each in figures.items() if size not in without)


@pytest.mark.parametrize(
    ("kind", "sizes", "without"),
    [
        ("accuracy", SMALL, set[int]()),
        ("answers", (5, 7, 20), {5, 7}),
        ("good answers", (7, 10, 40), {7}),
        ("gap in accuracy", SMALL, {2, 3, 5}),
        ("median error", SMALL, {2, 3, 5}),
        ("areas", SMALL, {2, 3, 5, 7}),
    ],
)
def test_intervals_hold(kind: str, sizes: tuple[int, ...], without: set[int]) -> None:
    check(coverage.measure(sizes, 100, [kind]), without=without)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [("good boxes", (20,)), pytest.param("boxes", LARGE, marks=pytest.mark.slow)],
)
def test_intervals_of_boxes_hold(kind: str, sizes: tuple[int, ...]) -> None:
    found = coverage.measure(sizes, 60, [kind])
    check({key: each for key, each in found.items() if each.held}, without=set())
