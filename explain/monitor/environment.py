"""Where a monitor lies and how it is set where nobody says: by variables of the environment."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from common.settings import MIB, settings
from explain.monitor.monitor import OFF, Monitor

if TYPE_CHECKING:
    from pathlib import Path


def default() -> Monitor:
    """The process's one monitor, as the environment says (docs/monitoring.md); raises Problem where that is wrong."""
    found = settings()
    return _default(
        found.monitor,
        found.monitor_threshold,
        found.monitor_per_minute,
        found.monitor_mb,
        found.monitor_keep,
        found.monitor_pictures,
    )


@lru_cache(maxsize=8)
def _default(
    folder: Path | None, threshold: float, per_minute: int, megabytes: float, keep: int, pictures: bool
) -> Monitor:
    return Monitor(
        folder or OFF,
        threshold=threshold,
        per_minute=per_minute,
        rotate_bytes=int(megabytes * MIB),
        keep=keep,
        pictures=pictures,
    )
