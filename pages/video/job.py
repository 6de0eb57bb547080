"""Explain a clip in a thread, with progress and stop."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from sightglass import examples, video
from sightglass.common import users
from sightglass.components.session.jobs.background import Status, Task
from sightglass.explain.phrases import listing, plural
from sightglass.pages.video.folders import ClipPlan, ClipSource
from sightglass.video.clips import clip as video_clip
from sightglass.video.results import clock, read_facts, read_result

if TYPE_CHECKING:
    from threading import Event

    from sightglass.pages.video.folders import ClipFolder
    from sightglass.video import Summary


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
