"""Where a monitor lies and how it is set where nobody says: by variables of the environment."""

from __future__ import annotations

import os
from functools import lru_cache

from common.errors import Problem
from explain.monitor.monitor import Monitor

_VARIABLES = ("", "_THRESHOLD", "_PER_MINUTE", "_MB", "_KEEP", "_PICTURES")


def default() -> Monitor:
    """The process's one monitor, as the environment says (docs/monitoring.md); raises Problem where that is wrong."""
    return _default(tuple(os.environ.get(f"SIGHTGLASS_MONITOR{name}") for name in _VARIABLES))


@lru_cache(maxsize=8)
def _default(given: tuple[str | None, ...]) -> Monitor:
    folder, threshold, per_minute, megabytes, keep, pictures = given

    def number(name: str, text: str | None, otherwise: float) -> float:
        try:
            return float(text) if text else otherwise
        except ValueError:
            raise Problem(f"SIGHTGLASS_MONITOR{name} is {text!r}: give a number.") from None

    return Monitor(
        folder or None,
        threshold=number("_THRESHOLD", threshold, 0.5),
        per_minute=int(number("_PER_MINUTE", per_minute, 30)),
        rotate_bytes=int(number("_MB", megabytes, 16) * 2**20),
        keep=int(number("_KEEP", keep, 8)),
        pictures=(pictures or "").lower() in ("1", "yes", "true", "on"),
    )
