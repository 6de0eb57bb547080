"""Models that people add, and the limits of what they may add."""

from sightglass.common.settings import settings

MEMORY_MB = 4096
"""Memory in MiB to reckon with where the setting `memory_mb` is 0."""
UPLOAD_SHARE = 0.25
"""Share of the memory that one dropped file may take."""


def is_on() -> bool:
    """Return whether anybody may add models on this server."""
    return settings().own_models is not None


def upload_megabytes() -> int:
    """Return the MB allowed per dropped file, kept in memory until stored."""
    return max(1, int(min(settings().own_models_mb, (settings().memory_mb or MEMORY_MB) * UPLOAD_SHARE)))
