"""The folder of a run's parts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from sightglass.video.results import timeline
from sightglass.video.results.summary import CLIP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sightglass.batch.journal import Journal
    from sightglass.common.files import Json

WORK = "work"
"""Folder of the parts; it is removed at the end."""


class ClipWorkspace:
    """The folder of one run."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.folder, self.work, self.journal = folder, folder / WORK, journal

    def entry(self, key: str) -> Json | None:
        """Return what the journal says of a part or a stage; None where it is not done."""
        return next(iter(self.journal.outcomes([key])), None)

    def count(self, stage: str) -> int:
        """Return how many parts of a stage are done, from the first on."""
        return next(i for i in itertools.count() if f"{stage}/{i}" not in self.journal.done)

    def path(self, stage: str, number: int, suffix: str) -> Path:
        """Return the file of a part."""
        return self.work / stage / f"{number:06}.{suffix}"

    def files(self) -> Iterator[Path]:
        """Yield the files that there should be, by the journal."""
        if "whole" in self.journal.done:
            yield from (self.folder / name for name in (CLIP, timeline.CSV, timeline.JSON))
            return
        yield from (self.path("seen", i, "npz") for i in range(self.count("seen")))
        for i in range(self.count("drawn")):
            yield from (self.path("drawn", i, "nut"), self.path("rows", i, "jsonl"))
