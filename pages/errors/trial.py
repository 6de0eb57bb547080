"""Evaluate demo-s on the bundled set with planted causes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from sightglass import batch
from sightglass.common.errors import Cancelled
from sightglass.common.files.scratch import scratch_folder
from sightglass.components.session.jobs.background import Status, Task
from sightglass.evaluation import known_cause
from sightglass.explain.picture.source import find

if TYPE_CHECKING:
    from threading import Event

    from sightglass.explain.picture.item import Item

MODEL = "demo-s"


class KnownCauseJob(Task[Status]):
    """A run over the set in a thread, for all sessions; its results are deleted with the process."""

    def __init__(self) -> None:
        self._scratch = scratch_folder("errors")
        self.folder = Path(self._scratch.name) / "results"
        super().__init__(_run, Status(), self)

    def open_pictures(self) -> Path:
        """Return the folder of the set, drawn on first use; where nothing can be saved, for this process alone."""
        try:
            return known_cause.open_set()
        except OSError:
            folder = Path(self._scratch.name) / "pictures"
            if not folder.is_dir():
                known_cause.make(folder)
            return folder

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before its end."""
        return self.finished() and (self.cancel.is_set() or isinstance(self.status.failure, Cancelled))


@st.cache_resource(show_spinner=False)
def example() -> KnownCauseJob:
    """Return the process's run over the set."""
    return KnownCauseJob()


def list_pictures() -> list[Item]:
    """Return the pictures of the set, drawn where they are not there yet."""
    return find(str(example().open_pictures()))


def _run(status: Status, cancel: Event, job: KnownCauseJob) -> None:
    status.report(0.0, "Drawing the pictures")
    place = job.open_pictures()
    if cancel.is_set():
        raise Cancelled
    labels = place / known_cause.LABELS["detect"]
    batch.run(str(place), MODEL, job.folder, labels=labels, progress=status.report, cancel=cancel)
