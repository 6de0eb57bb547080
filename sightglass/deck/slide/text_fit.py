"""Measure words, and fit them into rectangles.

Widths are DejaVu's, which is wide: what fits here fits in Arial, and in whatever stands in for it.
"""

from __future__ import annotations

import functools

from PIL import ImageFont

from sightglass.common.files import packing

LINE = 1.2
"""Height of a line by the letters' size."""
_EM = 100


@functools.cache
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(packing.font("DejaVuSans-Bold" if bold else "DejaVuSans")), _EM)


@functools.lru_cache(8192)
def width_of(words: str, *, bold: bool = False) -> float:
    """Return the width of a line by its letters' size."""
    return float(_font(bold).getlength(words)) / _EM


def break_lines(words: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Return words as lines of at most a width; a word that is longer than that has a line of its own."""
    lines: list[str] = []
    for paragraph in words.splitlines() or [""]:
        line = ""
        # A number and its percent sign stay together.
        for word in paragraph.split(" "):
            tried = f"{line} {word}" if line else word
            if line and width_of(tried, bold=bold) * size > width:
                lines.append(line)
                line = word
            else:
                line = tried
        lines.append(line)
    return lines


def height_of(words: str, width: float, size: float, *, bold: bool = False) -> float:
    """Return the height of words of a size that are broken at a width; 0 for none."""
    return len(break_lines(words, width, size, bold=bold)) * size * LINE if words else 0.0


def size_within(words: str, width: float, height: float, sizes: tuple[float, ...], *, bold: bool = False) -> float:
    """Return the first of some sizes, large to small, at which words fit; the last one where they never do."""
    return next((size for size in sizes if fits(words, width, height, size, bold=bold)), sizes[-1])


def fits(words: str, width: float, height: float, size: float, *, bold: bool = False) -> bool:
    """Return whether words of a size fit a rectangle."""
    lines = break_lines(words, width, size, bold=bold)
    widest = max(width_of(line, bold=bold) for line in lines) * size
    return len(lines) * size * LINE <= height + 1e-6 and widest <= width + 1e-6


def cut_to_lines(words: str, width: float, size: float, most: int, *, bold: bool = False) -> str:
    """Return words that take at most so many lines, cut at a word and ended with an ellipsis."""
    if len(break_lines(words, width, size, bold=bold)) <= most:
        return words
    kept = words.split(" ")
    while len(kept) > 1 and len(break_lines(f"{' '.join(kept)}…", width, size, bold=bold)) > most:
        kept.pop()
    return f"{' '.join(kept).rstrip(',;:')}…"


def cut_to_width(words: str, width: float, size: float, *, bold: bool = False) -> str:
    """Return words that take one line, cut at a letter and ended with an ellipsis."""
    if width_of(words, bold=bold) * size <= width:
        return words
    kept = words
    while len(kept) > 1 and width_of(f"{kept}…", bold=bold) * size > width:
        kept = kept[:-1]
    return f"{kept.rstrip(' ,;:·')}…"
