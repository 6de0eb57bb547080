"""Try the monitor on degraded pictures."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from sightglass import explain, monitor
from sightglass.common.errors import Cancelled
from sightglass.common.files.scratch import scratch_folder
from sightglass.components.session.jobs.background import Status, Task
from sightglass.components.session.pictures import bundled_pictures
from sightglass.explain.phrases import plural
from sightglass.models import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from sightglass.explain.picture.image import Image
    from sightglass.models.spec import ModelSpec
    from sightglass.monitor import Monitor

SOURCE = "trial"
UNSURE = 0.25
"""The quantile of the first half's scores below which a picture counts as unsure: scores differ between models."""


@dataclass
class TrialStatus(Status):
    """What the thread reports to the page."""

    done: int = 0
    since: datetime | None = None
    """When the first half was done and the threshold was set."""


class Trial(Task[TrialStatus]):
    """A trial in a thread, with a log that is deleted when the session ends.

    `shared`: it is the example that every session sees while nothing is monitored; it is deleted with the process.
    """

    def __init__(self, model: ModelSpec, options: dict[str, Any], *, shared: bool = False) -> None:
        self.shared = shared
        self._folder = scratch_folder("watch")
        self.model = model
        self.monitor = monitor.Monitor(
            Path(self._folder.name),
            # Until the first half sets it.
            threshold=0.0,
            # Nothing is left out of a trial, and bundled pictures may be saved.
            per_minute=10_000,
            pictures=True,
        )
        super().__init__(_run, TrialStatus(), model, options, self.monitor)


@st.cache_resource(show_spinner=False, max_entries=4)
def example(model: str, whose: str) -> Trial:
    """Return the process's trial of a model with its own method; `whose`: what `catalog.whose` says of it."""
    del whose
    return Trial(catalog.spec(model), {}, shared=True)


def list_pictures(model: ModelSpec) -> Iterator[tuple[str, bool, Callable[[], Image]]]:
    """Yield (name, whether it is unchanged, a function that makes the picture) of every picture, in order."""
    found = bundled_pictures.known_to(model)
    for plain, ways in ((True, bundled_pictures.AS_THEY_ARE), (False, tuple(bundled_pictures.WORSE))):
        for name, make in bundled_pictures.variants(found, ways):
            yield name, plain, make


def _run(status: TrialStatus, cancel: Event, model: ModelSpec, options: dict[str, Any], monitor: Monitor) -> None:
    explainer, every = explain.Explainer(model.id), list(list_pictures(model))
    with contextlib.suppress(Cancelled):
        for number, (name, plain, make) in enumerate(every):
            if cancel.is_set():
                return
            if not plain and status.since is None:
                # The first half is the reference for the rest.
                reference(monitor, model.id)
                status.since = datetime.now(UTC)
            status.report(number / len(every), f"{name} ({number + 1} of {len(every)})")
            monitor.watch(explainer(make(), cancel=cancel, **options), source=SOURCE)
            status.done = number + 1
        status.report(1.0, f"{plural(len(every), 'picture')} done")


def reference(monitor: Monitor, model: str) -> None:
    """Make what the trial has seen so far the reference, and set the threshold by it."""
    known = monitor.set_reference(model=model).models[model]
    if len(sure := known.numbers.get("confidence", ())):
        monitor.threshold = round(float(np.quantile(sure, UNSURE)), 2)
