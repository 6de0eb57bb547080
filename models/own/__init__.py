"""Models that people add, and the limits of what they may add."""

from sightglass.common.settings import settings

MEMORY_MB, UPLOAD_SHARE = 4096, 0.25
"""Memory assumed where `memory_mb` is 0, in MiB, and the share of the memory that one dropped file may take."""


def is_on() -> bool:
    """Return whether anybody may add models on this server."""
    return settings().own_models is not None


def upload_megabytes() -> int:
    """Return the MB allowed per dropped file, kept in memory until stored."""
    return max(1, int(min(settings().own_models_mb, (settings().memory_mb or MEMORY_MB) * UPLOAD_SHARE)))
