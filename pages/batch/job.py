"""A run over many pictures beside the page: with progress and a stop, and one model after the other."""

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
class Leg:
    """One model's run, and where its results go."""

    model: str
    options: dict[str, Any]
    folder: Path


@dataclass
class State:
    """What the thread tells the page."""

    share: float = 0.0
    words: str = "Starting"
    summaries: list[Summary] = field(default_factory=list)
    failure: BaseException | None = None


class Job:
    """One or two runs in a thread of their own; it goes on while the session shows other screens, and ends with it."""

    def __init__(self, source: Source, legs: tuple[Leg, ...], *, resume: bool = True) -> None:
        self.source, self.legs, self.state = source, legs, State()
        self.cancel = threading.Event()
        # The thread does not know this object: when the session lets go of it, nobody waits any more.
        weakref.finalize(self, self.cancel.set)
        self._thread = threading.Thread(
            target=_run, args=(source, legs, self.state, self.cancel, resume), name="batch", daemon=True
        )
        self._thread.start()

    @property
    def folders(self) -> tuple[Path, Path | None]:
        """Where the first model's results are, and the second's."""
        return self.legs[0].folder, self.legs[1].folder if self.legs[1:] else None

    @property
    def stopped(self) -> bool:
        return any(summary.cancelled for summary in self.state.summaries)

    def finished(self, wait: float = 0.0) -> bool:
        self._thread.join(wait)
        return not self._thread.is_alive()


def _run(source: Source, legs: tuple[Leg, ...], state: State, cancel: threading.Event, resume: bool) -> None:
    if sys.platform == "linux":
        # Pages come first, and with them the hand that stops this.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    try:
        from explain.batch import run

        for number, leg in enumerate(legs):
            before = f"{leg.model}: " if len(legs) > 1 else ""

            def tell(share: float, words: str, number: int = number, before: str = before) -> None:
                state.share, state.words = (number + share) / len(legs), before + words

            summary = run(
                source.items,
                leg.model,
                leg.folder,
                options=leg.options,
                progress=tell,
                cancel=cancel,
                resume=resume,
            )
            state.summaries.append(summary)
            if summary.cancelled:
                return
    except (Exception, Cancelled) as failure:
        state.failure = failure


def folder_for(source: Source, model: str, options: dict[str, Any], scratch: Path) -> Path:
    """Where results go. Of a folder of the operator's always to the same place, so that a run is gone on with; of what
    was uploaded to `scratch`, which goes with the session."""
    plain = model.replace("/", "-")
    if not source.path:
        return scratch / plain
    named = json.dumps([source.path, model, options], default=str, sort_keys=True)
    digest = hashlib.sha256(named.encode()).hexdigest()[:10]
    base = settings().batches
    return base / f"{file_stem(source.name.replace('_', '-'), collapse=False, max_length=40)}-{plain}-{digest}"
