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
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from sightglass import examples, video
from sightglass.common import users
from sightglass.common.errors import ImageProblem, Problem
from sightglass.common.files import to_json, write_file
from sightglass.common.files.scratch import scratch_folder
from sightglass.common.settings import settings
from sightglass.components.saving import slides
from sightglass.components.session import reopen, state
from sightglass.components.session.jobs.background import Status, Task
from sightglass.components.session.markdown import sentence
from sightglass.components.session.pictures import image_source
from sightglass.components.views import charts
from sightglass.deck import views
from sightglass.explain.phrases import capital, listing, plural
from sightglass.explain.picture.image import Image
from sightglass.explain.tasks import task_of
from sightglass.models import catalog
from sightglass.video.clips import clip as video_clip
from sightglass.video.clips import example as bundled_clips
from sightglass.video.clips import write
from sightglass.video.results import CLIP as RESULT
from sightglass.video.results import clock, curves, read_facts, read_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from sightglass.deck.scene import Scene
    from sightglass.video import Summary
    from sightglass.video.clips.clip import About
    from sightglass.video.results import AnswerCurve

MOMENTS = 3
"""On a slide, beside the player."""


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
    """None: the bundled clip of this name."""
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
        """Save the clip's plan for resuming."""
        facts = {"name": plan.source.name, "model": plan.model, "options": plan.options, "results": plan.folder.name}
        write_file(self.path / PLAN, to_json(facts | {"settings": asdict(plan.settings)}).encode())

    def results(self) -> Path:
        """Return the path of a new results folder."""
        return self.path / f"results-{1 + sum(path.name.startswith('results-') for path in self.path.iterdir())}"


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
    """Return a new folder; a temporary one if the place is read-only."""
    try:
        base = _base()
        base.mkdir(parents=True, exist_ok=True)
        return ClipFolder(Path(tempfile.mkdtemp(prefix="clip-", dir=base)))
    except OSError:
        folder = scratch_folder("clip")
        return ClipFolder(Path(folder.name), folder.cleanup)


def find_left() -> list[LeftClip]:
    """Return the person's unfinished clips, latest first; delete useless ones."""
    clips = []
    for path in _base().glob("clip-*"):
        try:
            with FileLock(path / LOCK).acquire(timeout=0):
                plan, age = _read_plan(path), time.time() - path.stat().st_mtime
        except (Timeout, OSError):
            continue
        if plan is not None and age < DAYS * 86400:
            clips.append((age, LeftClip(path, plan.source.name, plan.model, (plan.folder / RESULT).is_file())))
        elif plan is not None or age > SETTLED:
            shutil.rmtree(path, ignore_errors=True)
    return [clip for _, clip in sorted(clips, key=lambda pair: pair[0])]


def take(one: LeftClip) -> tuple[ClipFolder, ClipPlan] | None:
    """Return a clip's folder and plan; None if taken or gone."""
    try:
        folder = ClipFolder(one.path)
    except (Timeout, OSError):
        return None
    plan = _read_plan(one.path)
    return None if plan is None else (folder, plan)


def _base() -> Path:
    return users.folder(settings().clips)


def _read_plan(path: Path) -> ClipPlan | None:
    """Return the plan in a folder; None without a usable one."""
    try:
        facts = json.loads((path / PLAN).read_text(encoding="utf-8"))
        chosen = TypeAdapter(video.Settings).validate_python(facts["settings"])
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in facts["options"].items()}
        results = path / Path(facts["results"]).name
        source = ClipSource(path / CLIP, str(facts["name"]))
        return ClipPlan(source, str(facts["model"]), options, chosen, results) if source.file.is_file() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _delete(lock: FileLock, remove: Callable[[], object]) -> None:
    # Where files that are open cannot be deleted, the lock's is one.
    lock.release()
    remove()


@atexit.register
def _leave() -> None:
    """Delete the folders without a plan."""
    for folder in list(_OPEN):
        if not (folder.path / PLAN).exists():
            folder.delete()


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

    def __init__(self, plan: ClipPlan, folder: ClipFolder | None = None, *, done: bool = False) -> None:
        """Create a job; `folder`: an uploaded clip's, kept as long.

        `done`: a finished run, whose result is read.
        """
        self.plan, self.folder = plan, folder
        if folder is not None:
            _RUNS[users.owner(), folder.path.name] = self
        work, words = (_read, "Reading the result") if done else (_run, "Reading the clip")
        super().__init__(work, ClipStatus(words=words), plan)
        if done:
            # Reading takes a moment; then no progress is drawn.
            self.finished(READING)

    @property
    def summary(self) -> Summary:
        assert self.status.summary is not None
        return self.status.summary


def _read(status: ClipStatus, _cancel: Event, plan: ClipPlan) -> None:
    status.summary = read_result(plan.folder)


@st.cache_resource(show_spinner=False, max_entries=1)
def open_example() -> ClipJob:
    """Return the packaged result."""
    folder = examples.find(examples.CLIP)
    facts = read_facts(folder)
    settings = video.Settings(**{name: facts[name] for name in ("every", "smooth", "scale", "end", "side")})
    plan = ClipPlan(ClipSource(None, facts["clip"]["name"]), facts["model"], {}, settings, folder)
    return ClipJob(plan, done=True)


def running(name: str) -> ClipJob | None:
    """Return the person's run in a folder of this name, if any."""
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
    opened: str | None = None
    """What went wrong with a frame that was to be opened."""


def describe(plan: ClipPlan) -> str:
    """Return `efficientnet-lite0, every frame; smoothed over 0.1 s`."""
    chosen = plan.settings
    frames = "every frame" if chosen.every == 1 else f"one frame in {chosen.every}"
    smooth = f"smoothed over {chosen.smooth:g} s" if chosen.smooth else "not smoothed"
    scale = "one scale over the clip" if chosen.scale == "clip" else "each map with its own maximum"
    targets = plan.options.get("targets") or ()
    only = f"; {', '.join(map(str, targets))} only" if targets else ""
    return f"{plan.model}, {frames}; {smooth}; {scale}{only}"


def headline(summary: Summary) -> str:
    """Return the page's sentence on a finished run."""
    if not summary.moments:
        return f"{plural(summary.frames, 'frame')}, and nothing changes for longer than an instant"
    # A moment of an unsure model has no label.
    named = [moment for moment in summary.moments if moment.kind in ("answer", "object") and moment.label]
    if not named:
        return f"{plural(len(summary.moments), 'moment')} in {plural(summary.frames, 'frame')}"
    parts = [f"{moment.label} from {clock(moment.seconds).partition('.')[0]}" for moment in named[:NAMED]]
    more = [f"{len(named) - NAMED} more"] if len(named) > NAMED else []
    return capital(listing([*parts, *more]))


TALL = 520
"""Pixels of the height of an upright clip."""


def draw(job: ClipJob, *, key: str) -> None:
    """Draw the player and its timeline."""
    summary, start = job.summary, job.plan.settings.start
    changed = summary.clip.stat().st_mtime_ns
    about = _about(str(summary.clip), changed)
    task = task_of(catalog.catalog().get(job.plan.model) or "")
    moments = [replace(moment, seconds=max(0.0, moment.seconds - start)) for moment in summary.moments]
    at = min(st.session_state.get(f"{key}-at", 0.0), about.seconds)
    player, beside = st.columns(2, gap="medium")
    with player:
        # A clip of a phone that is held upright would fill more than the window.
        upright = about.height > about.width
        width: Any = round(TALL * about.width / about.height) if upright else "stretch"
        st.video(str(summary.clip), start_time=at, width=width)
    with beside:
        charts.draw_timeline(
            _curves(str(summary.folder), about.seconds, start, changed),
            moments,
            seconds=about.seconds,
            score=task.heading,
            key=key,
        )
        st.button(
            f"Open the frame at {clock(at)} on Explore",
            icon=":material/open_in_new:",
            key=f"{key}-open",
            on_click=_open,
            args=(job.plan, at),
            help="The frame of the clip itself, as the picture to explain.",
        )
    for note in summary.notes:
        st.caption(sentence(note))
    if summary.skipped:
        st.caption(f"{summary.skipped:,} broken frames of the file were left out.")


@st.cache_data(show_spinner=False, max_entries=8)
def _about(path: str, changed: int) -> About:
    """Return a drawn clip's properties, read again after changes."""
    del changed
    return video_clip.Clip(path).about


@st.cache_data(show_spinner=False, max_entries=8)
def _curves(folder: str, seconds: float, start: float, changed: int) -> tuple[AnswerCurve, ...]:
    del changed
    return curves(Path(folder), seconds, start)


def _open(plan: ClipPlan, at: float) -> None:
    """Open the drawn clip's frame on Explore."""
    try:
        image = frame(plan, at)
    except Problem as problem:
        state.of(Video).opened = str(problem)
        return
    image_source.turn_to(image)
    reopen.open_explore("map")


def frame(plan: ClipPlan, seconds: float) -> Image:
    """Return the original frame at a time; raise ImageProblem if unreadable."""
    clip = video_clip.Clip(plan.source.file, plan.source.name)
    at = plan.settings.start + seconds
    picture = clip.at(at)
    if picture is None:
        raise ImageProblem(f"{plan.source.name} has no frame at {clock(at)} any more: choose the clip again.")
    return Image(picture.pixels, f"{plan.source.name.rpartition('.')[0]} {clock(at).replace(':', '.')} s.png")


def draw_slide_button(job: ClipJob) -> None:
    """Draw the button for the clip's slide."""

    def slide(_look: object) -> Scene:
        words = f"Where a model looked in {job.plan.source.name}, frame by frame."
        start, summary = job.plan.settings.start, job.summary
        named = [moment for moment in summary.moments if moment.label]
        moments = [
            (max(0.0, each.seconds - start), f"{clock(each.seconds).partition('.')[0]} {each.label}") for each in named
        ]
        clip, notes = summary.clip, describe(job.plan)
        return views.of_clip(
            clip, title=headline(summary), sentence=words, notes=notes, made=job.plan.model, moments=moments[:MOMENTS]
        )

    slides.button("video", slide)


def downloads(job: ClipJob) -> None:
    """Draw the menu of files."""
    run, stem = job.summary, job.plan.source.name.rpartition(".")[0] or "clip"
    with st.popover("Download", icon=":material/download:", help="The drawn clip, a small film of it, and the numbers"):
        offers = (
            ("The clip, .mp4", f"{stem}_heatmap.mp4", run.clip.read_bytes, "With the sound of the clip."),
            ("A GIF", f"{stem}_heatmap.gif", partial(_film, run.clip), "Small, the first minute, no sound."),
            ("The timeline, .csv", "timeline.csv", (run.folder / "timeline.csv").read_bytes, "For a spreadsheet."),
            ("The timeline, .json", "timeline.json", (run.folder / "timeline.json").read_bytes, "With the moments."),
        )
        for label, file, make, help in offers:
            charts.download(label, make, file, key=f"video-{file}", help=help, width="stretch", type="tertiary")


def _film(clip: Path) -> bytes:
    film = clip.with_suffix(".gif")
    if not film.exists():
        write.film(clip, film, "gif")
    return film.read_bytes()
