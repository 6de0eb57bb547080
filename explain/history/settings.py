"""Where the history lies and how large it may be, by the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from common.errors import Problem

FOLDER, MEGABYTES = "SIGHTGLASS_HISTORY", "SIGHTGLASS_HISTORY_MB"
OFF = "off"
MOST = 2048
"""MB, where nothing else is said."""


def folder() -> Path | None:
    """SIGHTGLASS_HISTORY, or a folder of this user's; None where the history is switched off."""
    named = os.environ.get(FOLDER, "").strip()
    if named.lower() == OFF:
        return None
    return Path(named).expanduser() if named else data() / "sightglass" / "history"


def data() -> Path:
    """The folder in which this machine keeps what programs hold for this user."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    # A relative path there is to be ignored, as the XDG specification has it.
    given = os.environ.get("XDG_DATA_HOME", "")
    return Path(given) if given.startswith("/") else Path.home() / ".local" / "share"


def limit() -> int:
    """SIGHTGLASS_HISTORY_MB in bytes; raises Problem where that is no number above 0."""
    given = os.environ.get(MEGABYTES, "").strip() or str(MOST)
    try:
        number = float(given)
    except ValueError:
        number = 0
    if not 0 < number < 1e9:
        raise Problem(f"{MEGABYTES} is {given}: give the most that the history may take, in MB.")
    return int(number * 1_000_000)
