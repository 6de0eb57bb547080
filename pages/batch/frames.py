"""Tables of runs, cached for all sessions."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.batch import analysis, labels, tags
from sightglass.batch.table import PARQUET
from sightglass.common.settings import MIB
from sightglass.explain.evidence.cache import ByteCache

if TYPE_CHECKING:
    from sightglass.pages.batch.job import BatchJob

    Frame = Any

_tables: ByteCache[tuple[Any, int]] = ByteCache(32 * MIB, itemgetter(1))
"""Tables, and what was found in them, each with its bytes; sessions share them, and change nothing in them."""


def frame(first: str, second: str | None, changed: int) -> Frame:
    """Return a run's table, read again when the file has changed, or when it made room."""

    def read() -> tuple[Frame, int]:
        made = analysis.load(Path(first), Path(second) if second else None)
        return made, _nbytes(made)

    return _tables.get_or_make((first, second, changed), read)[0]


def of_job(job: BatchJob) -> Frame:
    """Return the table of a finished run."""
    return frame(*key(job))


def odd(first: str, second: str | None, changed: int) -> tuple[Frame, list[analysis.Group]]:
    """Return how unusual each map is, and the groups of similar ones."""

    def find() -> tuple[tuple[Frame, list[analysis.Group]], int]:
        made, groups = analysis.odd(frame(first, second, changed))
        # The groups are parts of the table.
        return (made, groups), 2 * _nbytes(made)

    found: tuple[Frame, list[analysis.Group]] = _tables.get_or_make(("odd", first, second, changed), find)[0]
    return found


def _nbytes(table: Frame) -> int:
    return int(table.memory_usage(deep=True).sum())


def key(job: BatchJob) -> tuple[str, str | None, int]:
    """Return what identifies a run's table for the cached functions above."""
    first, second = job.folders
    # The second model has no table if the run was stopped before it started.
    there = second is not None and len(job.status.summaries) > 1 and job.status.summaries[1].done > 0
    changed = [(folder / PARQUET).stat().st_mtime_ns for folder in (first, *([second] if there and second else []))]
    for name in (labels.FILE, tags.FILE):
        if (said := first / name).exists():
            changed.append(said.stat().st_mtime_ns)
    return str(first), str(second) if there else None, sum(changed)
