"""List a person's batch runs that have an evaluation."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sightglass.batch.labelled import pixels
from sightglass.common import users
from sightglass.common.settings import settings
from sightglass.evaluation import stored

if TYPE_CHECKING:
    from pathlib import Path

MOST = 200
"""Runs that are listed, the newest first."""


@dataclass(frozen=True)
class EvaluatedRun:
    """A run with labels."""

    folder: Path
    written: datetime
    """When its evaluation was, in UTC."""

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.name


def list_runs() -> list[EvaluatedRun]:
    """Return the runs with labels that the current person made on the dashboard, the newest first."""
    found = []
    # The folder is missing until the first run.
    with contextlib.suppress(OSError):
        for folder in users.folder(settings().batches).iterdir():
            for name in (stored.FILE, pixels.FILE):
                with contextlib.suppress(OSError):
                    seconds = (folder / name).stat().st_mtime
                    found.append(EvaluatedRun(folder, datetime.fromtimestamp(seconds, UTC)))
                    break
    return sorted(found, key=lambda one: one.written, reverse=True)[:MOST]


def find_run(id: str) -> EvaluatedRun | None:
    """Return a run of the current person by its id; None where there is no such."""
    return next((one for one in list_runs() if one.id == id), None)
