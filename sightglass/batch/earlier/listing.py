"""List the batch runs of before, and how far each came."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from sightglass.batch import journal, output, table
from sightglass.batch.earlier import facts
from sightglass.common.errors import ModelProblem

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.batch.earlier.facts import RunFacts

MOST = 20
"""Runs that are listed."""


@dataclass(frozen=True)
class EarlierRun:
    """A run of before, over the same pictures with one model or two."""

    folder: Path
    facts: RunFacts | None = None
    """None where they cannot be read."""
    left: int = 0
    """Pictures that are still to be explained."""
    problem: str = ""
    """Why its facts cannot be read."""


def list_runs(base: Path) -> list[EarlierRun]:
    """Return the newest runs with results in folders of `base`, the one that ran last first."""
    times: dict[Path, float] = {}
    # The folder is missing until the first run.
    with contextlib.suppress(OSError):
        for folder in base.iterdir():
            with contextlib.suppress(OSError):
                times[folder] = (folder / facts.FILE).stat().st_mtime
    runs: list[EarlierRun] = []
    seconds: set[str] = set()
    for folder in sorted(times, key=lambda one: -times[one]):
        run = _read_run(folder)
        if run.facts is not None and run.facts.origin.second is not None:
            seconds.add(run.facts.origin.second.folder)
        runs.append(run)
    # A second model's run is part of the first one's.
    return [run for run in runs if run.folder.name not in seconds][:MOST]


def _read_run(folder: Path) -> EarlierRun:
    try:
        found = _read_facts(folder)
    except ModelProblem as problem:
        return EarlierRun(folder, problem=str(problem))
    except OSError:
        found = None
    if found is None:
        return EarlierRun(folder, problem=str(facts.unreadable(folder)))
    left = _count_left(folder, found)
    if (second := found.origin.second) is not None:
        left = max(left, _count_left(folder.parent / second.folder, _find_second(folder.parent / second.folder, found)))
    return EarlierRun(folder, found, left)


def _read_facts(folder: Path) -> RunFacts | None:
    """Return the facts of a run, read again only where their file has changed."""
    file = (folder / facts.FILE).stat()
    return _read_file(folder, (file.st_mtime_ns, file.st_size, file.st_ino))


# A page asks for all of them at each draw.
@lru_cache(maxsize=1024)
def _read_file(folder: Path, _changed: tuple[int, int, int]) -> RunFacts | None:
    return facts.read_facts(output.Local(folder))


def _find_second(folder: Path, first: RunFacts) -> RunFacts:
    """Return the facts of a second model's run; those of the first, with nothing done, before it began."""
    with contextlib.suppress(ModelProblem, OSError):
        if (found := _read_facts(folder)) is not None:
            return found
    return replace(first, done=None)


def _count_left(folder: Path, found: RunFacts) -> int:
    """Return how many pictures of a run are still to be explained."""
    done = found.done
    if done is None:
        try:
            done = _count_done(folder, (folder / journal.NAME).stat().st_mtime_ns)
        except OSError:
            done = 0
    # Whatever its facts say, a run without a table has no result to show.
    return max(found.pictures - done, 0 if (folder / table.PARQUET).is_file() else 1)


@lru_cache(maxsize=256)
def _count_done(folder: Path, _changed: int) -> int:
    return sum(bool(stamp) for stamp in journal.stamps_of(folder).values())
