"""What is made of a clip, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightglass.video import Settings


@dataclass(frozen=True)
class Source:
    """A clip on this machine, and what a person calls it."""

    path: Path
    name: str


@dataclass(frozen=True)
class Plan:
    """What is made of a clip, and where."""

    source: Source
    model: str
    options: dict[str, Any]
    settings: Settings
    folder: Path
