"""Measure and release process memory (glibc)."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


APART = 16 * 2**20
"""Bytes from which a block has pages of its own, which the system gets back with it, as pictures of four megapixels and
their maps: by itself the C library raises that to 32 MiB."""
KEPT = 64 * 2**20
"""Bytes at the end of a heap that it may keep for the next pass: with glibc's 128 KiB a pass took a fifth longer."""
_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1
_STATM = "/proc/self/statm"
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def resident() -> int:
    """Return the bytes of this process in memory, as the system counts them."""
    try:
        with open(_STATM, "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        # Ten times as long, and only where there is no /proc.
        import psutil  # type: ignore[import-untyped]

        return int(psutil.Process().memory_info().rss)


def set_up(arenas: int | None = None, apart: int = APART, kept: int = KEPT) -> None:
    """Have the C library keep less of what is freed; does nothing where it is not glibc.

    `arenas`: its heaps, each of which keeps what its threads freed; default one for each core, four at least, where
    glibc has eight for each. Holds for the whole process.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_ARENA_MAX, arenas or max(4, os.cpu_count() or 1))
        mallopt(_M_MMAP_THRESHOLD, apart)
        mallopt(_M_TRIM_THRESHOLD, kept)


def give_back() -> None:
    """Return free memory to the system, in 1 to 6 ms on a CPU; does nothing where the C library is not glibc."""
    _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    if sys.platform == "linux":
        found = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    return lambda _: None
