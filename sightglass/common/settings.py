"""Read settings from the environment."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightglass.common.environment import Settings

MIB = 2**20
_FOLDERS = ("HOME", "LOCALAPPDATA", "XDG_DATA_HOME")
"""Other variables that defaults depend on."""


def settings() -> Settings:
    """Return the settings; a field whose variable is malformed raises SettingProblem when it is read."""
    return _read(tuple(item for item in os.environ.items() if item[0].startswith("SIGHTGLASS_") or item[0] in _FOLDERS))


@lru_cache(maxsize=8)
def _read(_environment: tuple[tuple[str, str], ...]) -> Settings:
    # Here, so that importing this module stays cheap.
    from sightglass.common import environment

    return environment.read()
