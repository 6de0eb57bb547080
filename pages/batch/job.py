"""Run one or two models over many pictures in a thread, with progress and a stop button."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import Cancelled
from common.files import file_stem
from common.settings import settings

if TYPE_CHECKING:
    from explain.batch import Summary
    from pages.batch.source import Source


@dataclass(frozen=True)
class Plan:
    """One model's run, and where its results go."""

    model: str
    options: dict[str, Any]
    folder: Path


@dataclass
class Status:
    """What the thread reports to the page."""

    share: float = 0.0
    words: str = "Starting"
    summaries: list[Summary] = field(default_factory=list)
    failure: BaseException | None = None


class Job:
    """One or two runs in a thread, which goes on while other pages are shown and ends with the session."""

    def __init__(self, source: Source, plans: tuple[Plan, ...], *, resume: bool = True) -> None:
        self.source, self.plans, self.status = source, plans, Status()
        self.cancel = threading.Event()
        # The thread holds no reference to this object: when the session drops it, the run is cancelled.
        weakref.finalize(self, self.cancel.set)
        self._thread = threading.Thread(
            target=_run, args=(source, plans, self.status, self.cancel, resume), name="batch", daemon=True
        )
        self._thread.start()

    @property
    def folders(self) -> tuple[Path, Path | None]:
        """The results of the first model, and of the second."""
        return self.plans[0].folder, self.plans[1].folder if self.plans[1:] else None

    @property
    def stopped(self) -> bool:
        return any(summary.cancelled for summary in self.status.summaries)

    def finished(self, wait: float = 0.0) -> bool:
        self._thread.join(wait)
        return not self._thread.is_alive()


def _run(source: Source, plans: tuple[Plan, ...], status: Status, cancel: threading.Event, resume: bool) -> None:
    if sys.platform == "linux":
        # Pages and their stop button come first.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    try:
        from explain.batch import run

        for number, plan in enumerate(plans):
            before = f"{plan.model}: " if len(plans) > 1 else ""

            def tell(share: float, words: str, number: int = number, before: str = before) -> None:
                status.share, status.words = (number + share) / len(plans), before + words

            summary = run(
                source.items,
                plan.model,
                plan.folder,
                options=plan.options,
                progress=tell,
                cancel=cancel,
                resume=resume,
            )
            status.summaries.append(summary)
            if summary.cancelled:
                return
    except (Exception, Cancelled) as failure:
        status.failure = failure


@dataclass
class Batch:
    """The session's run."""

    job: Job | None = None


def folder_for(source: Source, model: str, options: dict[str, Any], scratch: Path) -> Path:
    """Return where results go: for a permitted folder always the same place, so that a run can be resumed.

    For uploads it is `scratch`, which is deleted when the session ends.
    """
    plain = model.replace("/", "-")
    if not source.path:
        return scratch / plain
    named = json.dumps([source.path, model, options], default=str, sort_keys=True)
    digest = hashlib.sha256(named.encode()).hexdigest()[:10]
    base = settings().batches
    return base / f"{file_stem(source.name.replace('_', '-'), collapse=False, max_length=40)}-{plain}-{digest}"
