"""Models that people add, and the limits of what they may add."""

from sightglass.common.settings import settings

MEMORY_MB, IN_MEMORY = 4096, 4
"""The process's memory unless it is set, and what part of it one dropped file may take: a quarter."""


def is_on() -> bool:
    """Return whether anybody may add models on this server."""
    return settings().own_models is not None


def upload_megabytes() -> int:
    """Return the MB allowed per dropped file, kept in memory until stored."""
    return max(1, int(min(settings().own_models_mb, (settings().memory_mb or MEMORY_MB) / IN_MEMORY)))
