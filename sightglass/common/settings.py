"""Read settings from the environment; memory for loaded models and for evidence."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightglass.common.environment import Settings

TOTAL_MB = 4096
"""MiB from which the two limits derive, where SIGHTGLASS_MEMORY_MB is not set."""

_FOLDERS = ("HOME", "LOCALAPPDATA", "XDG_DATA_HOME")
"""Other variables that defaults depend on."""


MIB = 2**20


def settings() -> Settings:
    """Return the settings; a field whose variable is malformed raises SettingProblem when it is read."""
    return _read(tuple(item for item in os.environ.items() if item[0].startswith("SIGHTGLASS_") or item[0] in _FOLDERS))


@lru_cache(maxsize=8)
def _read(_environment: tuple[tuple[str, str], ...]) -> Settings:
    # Here, so that importing this module stays cheap.
    from sightglass.common import environment

    return environment.read()


MODELS, EVIDENCE = 1 / 2, 1 / 16
"""Shares of the total."""


def models_mb() -> float:
    """Return the MiB that loaded models may take."""
    limit = settings().models_mb
    return _total() * MODELS if limit is None else limit


def evidence_mb() -> float:
    """Return the MiB that the evidence and maps of the latest pictures may take."""
    limit = settings().evidence_mb
    return _total() * EVIDENCE if limit is None else limit


def models_bytes() -> int:
    return int(models_mb() * MIB)


def evidence_bytes() -> int:
    return int(evidence_mb() * MIB)


def _total() -> float:
    total = settings().memory_mb
    return TOTAL_MB if total is None else total
