"""A colour for each followed object."""

from __future__ import annotations

COLORS = ("#2BA5B0", "#E07B2E", "#9A7BE0", "#4C93E0", "#D6549C", "#7CA83A")
"""Told apart by most colour-blind people, and visible on light pages, dark ones and pictures."""


def color_of(track: int) -> str:
    """Return the colour of an object by its number, `#rrggbb`; the numbers from 1 on take turns.

    >>> color_of(1) == color_of(len(COLORS) + 1)
    True
    """
    return COLORS[(track - 1) % len(COLORS)]


def rgb_of(track: int) -> tuple[int, int, int]:
    """Return the same as RGB, 0 to 255."""
    red, green, blue = bytes.fromhex(color_of(track)[1:])
    return red, green, blue
