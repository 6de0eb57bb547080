"""Temporary folders that end with their process."""

from __future__ import annotations

import tempfile
from pathlib import Path

PREFIX = "sightglass-"


def scratch_folder(kind: str) -> tempfile.TemporaryDirectory[str]:
    """Return a new temporary folder of this `kind`. Raises OSError."""
    return tempfile.TemporaryDirectory(prefix=f"{PREFIX}{kind}-", ignore_cleanup_errors=True)


def find_scratch_folders() -> list[Path]:
    """Return the temporary folders of all processes and users."""
    return list(Path(tempfile.gettempdir()).resolve().glob(f"{PREFIX}*"))
