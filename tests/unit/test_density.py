"""The project's code gets no denser, and stays within its size: `python -m tests.density` prints the figures.

A limit is what was measured when it was written, rounded up. Lower it when a change makes a figure better.
"""

from pathlib import Path

import pytest

from tests.density import (
    FIGURES,
    PRODUCT,
    SOURCES,
    TESTS,
    Measured,
    count_lines,
    measure,
    source_files,
    total,
    worst_files,
    worst_functions,
)

LIMITS = {
    "nodes": 7.87,
    "long lines": 7.8,
    "ternaries": 47.4,
    "walruses": 6.8,
    "pairs": 8.1,
    "wordy docstrings": 25.7,
    "very branched": 8,
    "branched": 169,
}
"""The most that each figure of the product may be."""
JOINED_ASSERTS = 16.7
"""The most percent of the tests' asserts that may be joined by `and`."""
MOST_LINES = {"product": (PRODUCT, 85_500), "tests": (TESTS, 46_900)}

TINY = '''"""A module."""

import os

SIZE = 3
"""An attribute's docstring, which is no line of code and no docstring of a function either, as it follows a value."""


def choose(first, second):
    """Return one of two values, whatever they are, with far more words than a first line should have."""
    left, right = first, second  # a comment
    if left and right:
        return [each for each in left if each if each != right]

    def inner():
        """Say nothing."""
        while (now := os.getpid()) and now:
            assert now and left
            assert now

    return inner if left else {}
'''


@pytest.fixture(scope="module")
def product() -> list[Measured]:
    return measure(PRODUCT)


def check_limit(files: list[Measured], name: str, limit: float) -> None:
    """Fail where a figure is above its limit, and say where it comes from."""
    figure = FIGURES[name]
    value = figure.of(total(files))
    worst = worst_files(files, figure, limit) if figure.whole else worst_functions(files, 5)
    assert value <= limit, f"{value:.3f} {figure.title}, at most {limit}: see {'; '.join(worst)}"


@pytest.mark.parametrize("name", LIMITS)
def test_product_gets_no_denser(name: str, product: list[Measured]) -> None:
    check_limit(product, name, LIMITS[name])


def test_asserts_of_tests_are_joined_no_more() -> None:
    check_limit(measure(TESTS), "joined asserts", JOINED_ASSERTS)


@pytest.mark.parametrize("name", MOST_LINES)
def test_lines_within_ceiling(name: str) -> None:
    roots, most = MOST_LINES[name]
    assert 0 < count_lines(source_files(roots, SOURCES)) <= most


def test_figures_by_hand(tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    for path in (tmp_path / "tiny.py", tmp_path / "vendor" / "other.py"):
        path.write_text(TINY, "utf-8")
    (tmp_path / "link.py").symlink_to(tmp_path / "tiny.py")
    (file,) = measure([tmp_path])
    expected = {
        "lines": 11,
        "long lines": 0,
        "ternaries": 1,
        "walruses": 1,
        "assignments": 2,
        "pairs": 1,
        "docstrings": 2,
        "wordy docstrings": 1,
        "asserts": 2,
        "joined asserts": 1,
    }
    assert {name: file.counts[name] for name in expected} == expected
    # Of `choose`: `if`, `and`, the comprehension with two conditions, the ternary; of `inner`: `while` and twice `and`.
    assert {function.name: function.branches for function in file.functions} == {"choose": 6, "inner": 3}


def test_worst_places_are_named(tmp_path: Path) -> None:
    (tmp_path / "calm.py").write_text("x = 1\n" * 20, "utf-8")
    (tmp_path / "dense.py").write_text("x = 1 if y else 2\n" * 2, "utf-8")
    files = measure([tmp_path])
    with pytest.raises(
        AssertionError, match=r"90\.909 ternaries in 1,000 lines, at most 50: see \S+/dense\.py 1000\.0"
    ):
        check_limit(files, "ternaries", 50)
