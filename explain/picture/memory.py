"""Bound memory while decoding large pictures."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from PIL import Image as Pillow

AT_ONCE = 50_000_000
"""Pixels decoded at the same time, in all threads: four photographs of 12 megapixels, or one larger picture."""
STRIP = 4_000_000
"""Pixels copied at a time: Pillow copies a picture twice on its way to NumPy."""


class MemoryGate:
    """Admit work up to `limit` units at the same time; larger work is admitted alone.

    >>> turns = MemoryGate(10)
    >>> with turns.take(25):
    ...     turns.used
    25
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, units: int) -> Iterator[None]:
        """Wait until `units` fit beside the work in progress."""
        with self._changed:
            self._changed.wait_for(lambda: not self.used or self.used + units <= self.limit)
            self.used += units
        try:
            yield
        finally:
            with self._changed:
                self.used -= units
                self._changed.notify_all()


DECODING = MemoryGate(AT_ONCE)


def strips(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of a picture in parts of about STRIP pixels: what is computed of a part at a time stays small."""
    rows = max(1, STRIP // max(1, width))
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def copy(image: Pillow.Image) -> NDArray[np.uint8]:
    """Return the pixels of an RGB image, uint8 (H, W, 3)."""
    width, height = image.size
    if width * height <= STRIP:
        return np.array(image)
    pixels = np.empty((height, width, 3), np.uint8)
    for rows in strips(height, width):
        pixels[rows] = np.asarray(image.crop((0, rows.start, width, rows.stop)))
    return pixels
