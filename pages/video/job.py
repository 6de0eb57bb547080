"""Explain a clip in a thread, with progress and stop; keep clips and results across server restarts.

A folder is deleted when its session ends. Where the server ends first, it stays for `DAYS`, and whoever gave the clip
is offered to go on with it.
"""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
import time
import weakref
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from sightglass import examples, video
from sightglass.common import users
from sightglass.common.files import to_json, write_file
from sightglass.common.files.scratch import scratch_folder
from sightglass.common.settings import settings
from sightglass.components.session.jobs.background import Status, Task
from sightglass.explain.phrases import listing, plural
from sightglass.video.clips import clip as video_clip
from sightglass.video.clips import example as bundled_clips
from sightglass.video.results import CLIP as RESULT
from sightglass.video.results import clock, read_facts, read_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from sightglass.video import Summary


CLIP, PLAN, LOCK = "clip", "plan.json", "lock"
DAYS = 7
"""For which an interrupted run is kept."""
SETTLED = 60.0
"""Seconds after which a folder without a plan is nobody's: before, somebody may be about to take it."""
_OPEN: weakref.WeakSet[ClipFolder] = weakref.WeakSet()


@dataclass(frozen=True)
class ClipSource:
    """A clip on this machine, and what a person calls it."""

    path: Path | None
    """None: the bundled clip of this name, which is drawn when it is asked for."""
    name: str

    @property
    def file(self) -> Path:
        return bundled_clips.example(self.name) if self.path is None else self.path


@dataclass(frozen=True)
class ClipPlan:
    """What is made of a clip, and where."""

    source: ClipSource
    model: str
    options: dict[str, Any]
    settings: video.Settings
    folder: Path


class ClipFolder:
    """A folder of one uploaded clip and its results, locked while a session of this process uses it."""

    def __init__(self, path: Path, remove: Callable[[], object] | None = None) -> None:
        """`remove` deletes the folder. Raises Timeout where another session has it, and OSError where it cannot be
        written."""
        self.path, self._lock = path, FileLock(path / LOCK)
        self._lock.acquire(timeout=0)
        remove = remove or functools.partial(shutil.rmtree, path, ignore_errors=True)
        self.delete = weakref.finalize(self, _delete, self._lock, remove)
        """Delete the folder, at the latest once nothing refers to this object any more; not where the server ends."""
        self.delete.atexit = False
        _OPEN.add(self)

    def begin(self, plan: ClipPlan) -> None:
        """Note what is made of the clip, so that it can go on."""
        given = {"name": plan.source.name, "model": plan.model, "options": plan.options, "results": plan.folder.name}
        write_file(self.path / PLAN, to_json(given | {"settings": asdict(plan.settings)}).encode())

    def results(self) -> Path:
        """Return a new folder of results, which need not exist yet."""
        return self.path / f"results-{1 + sum(one.name.startswith('results-') for one in self.path.iterdir())}"


@dataclass(frozen=True)
class LeftClip:
    """A clip that somebody had here when the server ended."""

    path: Path
    name: str
    """What a person calls the clip."""
    model: str
    done: bool
    """Whether all of it was explained."""


def new() -> ClipFolder:
    """Return a new folder; where the chosen place cannot be written, a temporary one, which goes with this process."""
    try:
        base = _base()
        base.mkdir(parents=True, exist_ok=True)
        return ClipFolder(Path(tempfile.mkdtemp(prefix="clip-", dir=base)))
    except OSError:
        held = scratch_folder("clip")
        return ClipFolder(Path(held.name), held.cleanup)


def find_left() -> list[LeftClip]:
    """Return the current person's clips that a server left behind, the latest first; delete what is of no use."""
    found = []
    for path in _base().glob("clip-*"):
        try:
            with FileLock(path / LOCK).acquire(timeout=0):
                plan, age = _read_plan(path), time.time() - path.stat().st_mtime
        except (Timeout, OSError):
            continue
        if plan is not None and age < DAYS * 86400:
            found.append((age, LeftClip(path, plan.source.name, plan.model, (plan.folder / RESULT).is_file())))
        elif plan is not None or age > SETTLED:
            shutil.rmtree(path, ignore_errors=True)
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def take(one: LeftClip) -> tuple[ClipFolder, ClipPlan] | None:
    """Return the folder and the plan of one; None where another session was quicker, or it is gone."""
    try:
        folder = ClipFolder(one.path)
    except (Timeout, OSError):
        return None
    plan = _read_plan(one.path)
    return None if plan is None else (folder, plan)


def _base() -> Path:
    return users.folder(settings().clips)


def _read_plan(path: Path) -> ClipPlan | None:
    """Return the plan in a folder; None without one that can be used."""
    try:
        given = json.loads((path / PLAN).read_text(encoding="utf-8"))
        chosen = TypeAdapter(video.Settings).validate_python(given["settings"])
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in given["options"].items()}
        results = path / Path(given["results"]).name
        source = ClipSource(path / CLIP, str(given["name"]))
        return ClipPlan(source, str(given["model"]), options, chosen, results) if source.file.is_file() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _delete(lock: FileLock, remove: Callable[[], object]) -> None:
    # Where files that are open cannot be deleted, the lock's is one.
    lock.release()
    remove()


@atexit.register
def _leave() -> None:
    """Delete the folders with which nothing could go on."""
    for one in list(_OPEN):
        if not (one.path / PLAN).exists():
            one.delete()


READING = 10.0
"""Seconds for which a page waits for a finished run; then it shows that it is read."""
NAMED = 2
"""Answers in a headline."""
_RUNS: weakref.WeakValueDictionary[tuple[str, str], ClipJob] = weakref.WeakValueDictionary()
"""The runs of all sessions, by whose they are and the name of their folder."""


@dataclass
class ClipStatus(Status):
    """What the thread reports to the page."""

    summary: Summary | None = None


class ClipJob(Task[ClipStatus]):
    """One run over a clip."""

    def __init__(self, plan: ClipPlan, folder: ClipFolder | None = None) -> None:
        """`folder`: that of an uploaded clip and its results, which lives as long as this object."""
        self.plan, self.folder = plan, folder
        if folder is not None:
            _RUNS[users.owner(), folder.path.name] = self
        super().__init__(_run, ClipStatus(words="Reading the clip"), plan)

    @property
    def summary(self) -> Summary:
        assert self.status.summary is not None
        return self.status.summary


class OpenedClip(ClipJob):
    """A finished run, whose result is read and not made."""

    def __init__(self, plan: ClipPlan, folder: ClipFolder | None = None) -> None:
        self.plan, self.folder = plan, folder
        if folder is not None:
            _RUNS[users.owner(), folder.path.name] = self
        Task.__init__(self, _read, ClipStatus(), plan)
        # Reading takes a moment; then no progress is drawn.
        self.finished(READING)


def _read(status: ClipStatus, _cancel: Event, plan: ClipPlan) -> None:
    status.summary = read_result(plan.folder)


@st.cache_resource(show_spinner=False, max_entries=1)
def open_example() -> OpenedClip:
    """Return the packaged result."""
    folder = examples.find(examples.CLIP)
    facts = read_facts(folder)
    settings = video.Settings(**{name: facts[name] for name in ("every", "smooth", "scale", "end", "side")})
    return OpenedClip(ClipPlan(ClipSource(None, facts["clip"]["name"]), facts["model"], {}, settings, folder))


def running(name: str) -> ClipJob | None:
    """Return the current person's run in a folder of this name, while any session has it."""
    return _RUNS.get((users.owner(), name))


def _run(status: ClipStatus, cancel: Event, plan: ClipPlan) -> None:
    clip = video_clip.Clip(plan.source.file, plan.source.name)
    status.summary = video.run(
        clip,
        plan.model,
        plan.folder,
        options=plan.options,
        settings=plan.settings,
        progress=status.report,
        cancel=cancel,
    )


@dataclass
class Video:
    """The session's clip."""

    job: ClipJob | None = None
    generation: int = 0
    """Counts uploaders: a new one is empty."""
    given: ClipFolder | None = None
    """The folder of the clip that was uploaded last."""
    before: ClipJob | None = None
    """The run that Another clip left."""
    opened: str | None = None
    """What went wrong with a frame that was to be opened."""


def describe(plan: ClipPlan) -> str:
    """Return `efficientnet-lite0, every frame; smoothed over 0.1 s`."""
    chosen = plan.settings
    every = "every frame" if chosen.every == 1 else f"one frame in {chosen.every}"
    smooth = f"smoothed over {chosen.smooth:g} s" if chosen.smooth else "not smoothed"
    scale = "one scale over the clip" if chosen.scale == "clip" else "each map with its own maximum"
    targets = plan.options.get("targets") or ()
    only = f"; {', '.join(map(str, targets))} only" if targets else ""
    return f"{plan.model}, {every}; {smooth}; {scale}{only}"


def headline(summary: Summary) -> str:
    """Return the page's sentence on a finished run."""
    if not summary.moments:
        return f"{plural(summary.frames, 'frame')}, and nothing changes for longer than an instant"
    # A moment of an unsure model has no label.
    named = [one for one in summary.moments if one.kind in ("answer", "object") and one.label]
    if not named:
        return f"{plural(len(summary.moments), 'moment')} in {plural(summary.frames, 'frame')}"
    parts = [f"{one.label} from {clock(one.seconds).partition('.')[0]}" for one in named[:NAMED]]
    more = [f"{len(named) - NAMED} more"] if len(named) > NAMED else []
    words = listing([*parts, *more])
    return f"{words[0].upper()}{words[1:]}"
