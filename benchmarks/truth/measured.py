"""The results of one run of `truth`, and how many scenes it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.truth.causes import Change, Shortcut
    from benchmarks.truth.peers import Agreement
    from benchmarks.truth.scores import Scores


@dataclass(frozen=True, slots=True)
class Size:
    """Number of held-out scenes."""

    scenes: int
    """For the tables, per model; one object each."""
    seeds: int
    """For each training from another seed."""
    changed: int
    """With a mark swapped, and so on."""
    shortcut: int
    """Of the one class that carries the shortcut."""
    peers: int
    """Also explained by pytorch-grad-cam."""
    slow: int
    """Also explained by methods that run the model repeatedly."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Everything that was measured."""

    size: Size
    scores: list[Scores]
    seeds: list[Scores]
    """Of other trainings."""
    changes: dict[str, list[Change]]
    shortcuts: list[Shortcut]
    peers: list[Agreement]
    slow: list[Scores]
    machine: dict[str, Any]
