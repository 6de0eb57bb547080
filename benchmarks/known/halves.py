"""Say which pictures are for development, and which are for the test."""

from __future__ import annotations

import random

from benchmarks.timing import SEED

HALVES = ("development", "test")
"""A new method may be chosen and tuned by the first half alone; the second says how good it is."""


def half_of(protocol: str, number: int) -> str:
    """Return the half of a protocol's picture, counted from 0.

    Of any two in a row a seed says which is in which.
    """
    coin = random.Random(f"{SEED} {protocol} {number // 2}").randrange(2)
    return HALVES[(number + coin) % 2]
