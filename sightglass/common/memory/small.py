"""Overrides for 1 GB machines."""

from __future__ import annotations

import os

from sightglass.common import memory
from sightglass.common.errors import SettingProblem
from sightglass.common.settings import settings

SHAPES = "64"
"""Shapes for which oneDNN keeps what it compiled, of 1,024: 40 MiB less, and a map of one picture needs no more."""
ARENAS = 2
"""Heaps of the C library."""
PIXELS = 4_000_000
"""Pixels of a picture, of 100 million: a larger one is opened smaller. No bundled model sees a tenth of these."""
APART = 256 * 1024
"""Bytes from which a block has pages of its own."""
KEPT = 128 * 1024
"""Bytes at the end of a heap that it may keep."""


def choose() -> bool:
    """Return whether the profile is set; a malformed one, which no server starts with, is none."""
    try:
        return settings().profile == "small"
    except SettingProblem:
        return False


def threads() -> int:
    """Return how many threads PyTorch gets where nobody set them: one core stays free for requests, or all but one."""
    return 1 if choose() else max(1, (os.cpu_count() or 2) - 1)


def room() -> int | None:
    """Return the pixels above which a picture that a person gives is opened smaller; None: it never is."""
    return PIXELS if choose() else None


def prepare() -> None:
    """Set up the memory of the process, before PyTorch is imported."""
    if not choose():
        memory.set_up()
        return
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", SHAPES)
    memory.set_up(ARENAS, APART, KEPT)
