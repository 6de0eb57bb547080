"""Find finished batch runs of this session and person."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sightglass.batch.table import PARQUET
from sightglass.common import users
from sightglass.common.settings import settings
from sightglass.components.session import state
from sightglass.pages.batch.job import Batch

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 40
"""Finished batch runs that are offered, newest first."""


def find_finished(file: str = PARQUET) -> list[Path]:
    """Return the folders of finished batch runs, of this session and of this person's earlier ones; newest first.

    `file`: what is in each of them.
    """
    found: dict[Path, float] = {}
    job = state.of(Batch).job
    places = [plan.folder for plan in job.plans] if job is not None and job.finished() else []
    base = users.folder(settings().batches)
    # The folder is missing until the first run.
    with contextlib.suppress(OSError):
        places += [path for path in base.iterdir() if path.is_dir()]
    for place in places:
        try:
            found[place] = (place / file).stat().st_mtime
        except OSError:
            continue
    return sorted(found, key=lambda place: -found[place])[:RUNS]
