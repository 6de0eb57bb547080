"""Check texts that people type."""

from __future__ import annotations

from sightglass.common.errors import Problem
from sightglass.common.legible import visible


def line(text: str, most: int, what: str) -> str:
    """Return one line without invisible characters; raise Problem if it is too long."""
    text = " ".join(visible(text).split())
    if len(text) > most:
        raise Problem(f"{what} has {len(text):,} letters: {most:,} at most, please.")
    return text
