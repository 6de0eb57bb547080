"""Store uploaded clips for some days, explain one in a thread, with progress and stop, and draw its result."""

import contextlib
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import streamlit as st
from pydantic import TypeAdapter

from sightglass import examples, video
from sightglass.common.errors import Problem, Unreadable
from sightglass.common.files import to_json
from sightglass.common.files.keeping import read_json, replace_file
from sightglass.common.settings import settings
from sightglass.explain.phrases import capital, megabytes, plural
from sightglass.explain.picture.decode import Pixels
from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.explain.tasks import Task, task_of
from sightglass.models import catalog
from sightglass.models.demo import pictures
from sightglass.pages.video import still
from sightglass.report.view import Picture, View
from sightglass.report.views import new_view, statement
from sightglass.ui import player, saving
from sightglass.ui.session import page, reopen, state, url_state
from sightglass.ui.session.jobs import background
from sightglass.ui.session.jobs.background import Job
from sightglass.ui.session.markdown import sentence
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.state import Kept
from sightglass.ui.views import charts, panels
from sightglass.video import Summary
from sightglass.video.clip import Clip, ClipInfo, ReceivedClip
from sightglass.video.results import CLIP as RESULT
from sightglass.video.results import read_result
from sightglass.video.timeline import AnswerCurve, Moment, clock, name_moments, read_curves

MOMENT = "moment"
"""Name in the address of the seconds that the player begins at."""
MOMENTS = 3
"""On a slide, beside the player."""
CLIP, PLAN = "clip", "plan.json"
"""Files in a clip's folder."""
DAYS = 7
"""Days for which an uploaded clip is kept."""


@dataclass(frozen=True)
class ClipPlan:
    """How a clip is explained, and where its results are."""

    clip: Clip
    model: str
    options: dict[str, Any]
    settings: video.Settings
    folder: Path

    @property
    def name(self) -> str:
        """The name of the clip's folder; empty for the example."""
        return "" if self.clip.path == pictures.CLIP else self.folder.parent.name

    def save(self) -> None:
        """Save the plan beside the clip, to resume it later."""
        saved = SavedPlan(self.clip.name, self.model, self.options, self.folder.name, self.settings)
        file = self.folder.parent / PLAN
        replace_file(file, to_json(saved).encode(), partial(_read_plan, self.folder.parent))


@dataclass(frozen=True)
class SavedPlan:
    """A plan as it lies beside its clip."""

    name: str
    """The clip's."""
    model: str
    options: dict[str, Any]
    results: str
    """Name of their folder."""
    settings: video.Settings


_SAVED = TypeAdapter(SavedPlan)


def _read_plan(folder: Path) -> SavedPlan | None:
    return read_json(folder / PLAN, _SAVED, "put a copy of it back, or give the clip again")


def add_clip(data: memoryview | bytes) -> Path:
    """Save a clip in a folder of its own, and delete those older than `DAYS`."""
    for folder in settings().clips.glob("clip-*"):
        # Another server may have deleted it.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > DAYS * 86400:
                shutil.rmtree(folder, ignore_errors=True)
    settings().clips.mkdir(parents=True, exist_ok=True)
    # Under a fixed name: the clip's own could be anything.
    path = Path(tempfile.mkdtemp(prefix="clip-", dir=settings().clips)) / CLIP
    path.write_bytes(data)
    return path


def results_of(clip: Clip) -> Path:
    """Return the path of a new results folder beside a clip."""
    folder = clip.path.parent
    return folder / f"results-{1 + sum(path.name.startswith('results-') for path in folder.iterdir())}"


def read_plan(name: str) -> ClipPlan | None:
    """Return the plan of a clip's folder; None without the folder. Raises Unreadable."""
    folder = settings().clips / Path(name).name
    saved = _read_plan(folder)
    if saved is None:
        if any(folder.glob("results-*")):
            raise Unreadable(f"{PLAN} in {folder} is missing: put a copy of it back, or give the clip again.")
        return None
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in saved.options.items()}
    clip = ReceivedClip(folder / CLIP, saved.name)
    return ClipPlan(clip, saved.model, options, saved.settings, folder / Path(saved.results).name)


NEWEST_SIDE = 640
"""Pixels of the longer side of the frame that is shown during the work."""


@dataclass
class Newest:
    """The frame that was explained last, under its map."""

    seconds: float = 0.0
    jpeg: bytes = b""
    """Empty before the first."""

    def take(self, seconds: float, pixels: Pixels) -> None:
        self.seconds, self.jpeg = seconds, to_jpeg(Image(pixels).thumbnail(NEWEST_SIDE))


class ClipJob(Job["Summary"]):
    """One run over a clip, or the reading of a finished one."""

    def __init__(self, plan: ClipPlan, *, stopped: bool = False) -> None:
        """`stopped`: say what was done and run nothing."""
        self.plan = plan
        self.newest = Newest()
        done = (plan.folder / RESULT).is_file()
        call = (lambda **_: read_result(plan.folder)) if done else partial(_run, plan, stopped, self.newest)
        super().__init__(call, name=plan.name, reads=done)

    @property
    def summary(self) -> Summary:
        assert self.result is not None
        return self.result

    @cached_property
    def about(self) -> ClipInfo:
        """Return the facts of the drawn clip."""
        return Clip(self.summary.clip).about

    @cached_property
    def curves(self) -> tuple[AnswerCurve, ...]:
        return read_curves(self.summary.folder, self.about.seconds, self.plan.settings.start, self.task)

    @cached_property
    def moments(self) -> tuple[Moment, ...]:
        """The moments, in seconds of the drawn clip."""
        start = self.plan.settings.start
        return tuple(replace(each, seconds=max(0.0, each.seconds - start)) for each in self.summary.moments)

    @property
    def task(self) -> Task:
        """Return what the model answers."""
        return task_of(catalog.catalog().get(self.plan.model) or "")


def _run(plan: ClipPlan, stopped: bool, newest: Newest, *, progress: Any, cancel: Any, **_: Any) -> Summary:
    stop = threading.Event() if stopped else cancel
    if stopped:
        stop.set()
    run = partial(video.run, plan.clip, plan.model, plan.folder, options=plan.options, settings=plan.settings)
    run = partial(run, progress=progress, preview=newest.take, cancel=stop)
    nothing = Summary(plan.folder, resumed=True, cancelled=True)
    follow = lambda: (0.0, "Another run explains this clip")  # noqa: E731
    return background.wait_for_folder(run, follow, progress, cancel) or nothing


def find(name: str) -> ClipJob | None:
    """Return the job of a clip, at work or as it was stopped.

    None without its plan. Raises Unreadable.
    """
    job: ClipJob | None = background.SHARED.get(name)
    if job is None and name and (plan := read_plan(name)) is not None:
        job = ClipJob(plan, stopped=True)
    return job


@st.cache_resource(show_spinner=False, max_entries=1)
def open_example() -> ClipJob:
    """Return the packaged result."""
    folder = examples.find(examples.CLIP)
    facts = read_result(folder).run
    settings = video.Settings(**{name: facts[name] for name in ("every", "smooth", "end", "side")})
    return ClipJob(ClipPlan(Clip(pictures.CLIP), facts["recipe"]["model"], {}, settings, folder))


@dataclass
class Video(Kept):
    """The session's clip."""

    job: ClipJob | None = None
    clip: tuple[Path, str] | None = None
    """Path and name of one that was uploaded or recorded, and is not explained yet."""
    uploaded: bool = False
    """Whether the uploader has its file."""
    recorded: bool = False
    """Whether `clip` is from the camera."""
    name: str = ""
    """The folder of the explained clip that a reload finds again."""
    generation: int = 0
    """Counts uploaders: a new one is empty."""
    opened: tuple[ClipPlan, float] | None = None
    """A clip and the second of its drawn clip that opens on Explore in the next run."""

    def kept(self) -> Self:
        """Return what is found on the disk again."""
        return type(self)(
            clip=self.clip, recorded=self.recorded, name=self.name if self.job is None else self.job.plan.name
        )

    def choose(self, path: Path | None, name: str) -> Clip | None:
        """Take the uploader's file, or without one the clip from before.

        Return the clip; None without any, or once its file was taken out of the uploader. Raises Problem for one
        that cannot be read.
        """
        chosen = self.clip if path is None else (path, name)
        if path is None and self.uploaded:
            # It was taken out of the uploader.
            chosen = None
        self.clip, self.uploaded = None, path is not None
        self.recorded = self.recorded and path is None
        if chosen is None or not chosen[0].is_file():
            return None
        clip = ReceivedClip(*chosen)
        # What cannot be read is not asked for again.
        self.clip = chosen
        return clip


def describe(plan: ClipPlan) -> str:
    """Return `efficientnet-lite0, every frame; smoothed over 0.1 s`."""
    chosen = plan.settings
    frames = "every frame" if chosen.every == 1 else f"one frame in {chosen.every}"
    smooth = f"smoothed over {chosen.smooth:g} s" if chosen.smooth else "not smoothed"
    targets = plan.options.get("targets") or ()
    only = f"; {', '.join(map(str, targets))} only" if targets else ""
    return f"{plan.model}, {frames}; {smooth}{only}"


def headline(job: ClipJob) -> str:
    """Return the page's sentence on a finished run."""
    frames = plural(job.summary.frames, "frame")
    if not job.moments:
        return f"{frames}, and nothing changes for longer than an instant"
    return capital(name_moments(job.moments)) or f"{plural(len(job.moments), 'moment')} in {frames}"


@st.fragment(run_every=0.5)
def draw_newest(job: ClipJob) -> None:
    """Draw the frame that was explained last, while others are."""
    from sightglass.report.html_page import data_url  # imports Jinja

    newest = job.newest
    if newest.jpeg:
        at = f"The frame at {clock(newest.seconds)} under its map"
        about = job.plan.clip.about
        # As large as the player that follows.
        look = f"width:{round(MAX_HEIGHT * about.width / about.height)}px;max-width:100%;border-radius:6px"
        # A media file of Streamlit's would stay for as long as the session.
        st.html(f'<img src="{data_url(newest.jpeg, "jpeg")}" alt="{at}" style="{look}">')
        st.caption(f"{at}, not yet smoothed.")


MAX_HEIGHT = 560
"""Pixels of the height of a clip, so that it fits into the window."""
PAGE_WIDTH = 1392
"""Pixels of a page's content in a window of 1440."""


SHOWN = {"clip": "Clip", "frame": "Explore the frame"}


def choose_shown() -> str:
    """Draw the choice between the clip and its frame; return the chosen one."""
    look: dict[str, Any] = {"key": "video-shown", "name": "shown", "label_visibility": "collapsed"}
    look["help"] = "The clip; or the frame at which it stands, with its own map, which is not smoothed."
    return url_state.widget(st.segmented_control, "Shown", SHOWN, "clip", **look)


def draw(job: ClipJob, *, key: str, shown: str) -> None:
    """Draw the player, or the frame at which it stands, beside the timeline."""
    summary, about = job.summary, job.about
    still_shown = shown == "frame"
    with contextlib.suppress(ValueError):
        st.session_state.setdefault(f"{key}-at", max(0.0, float(url_state.read_once(MOMENT) or 0)))
    begin = min(st.session_state.get(f"{key}-at", 0.0), about.seconds)
    width = round(MAX_HEIGHT * about.width / about.height)
    share = min(width / PAGE_WIDTH, 2 / 3)
    with st.container(key=key):
        left, right = st.columns(panels.COLUMNS if still_shown else [share, 1 - share], gap="medium")
        below = st.container()
    with left:
        picture = st.container()
        # Also where a frame is shown: it is out of sight, and goes where the chart is clicked.
        st.video(str(summary.clip), width=width)
    with right:
        top = st.container()
    with below if still_shown else top:
        look: dict[str, Any] = {"seconds": about.seconds, "score": job.task.heading, "key": f"{key}-chart"}
        charts.draw_timeline(job.curves, job.moments, **look)
    with right:
        late = job.plan.settings.every * about.seconds / max(summary.frames, 1)
        look = {"seconds": about.seconds, "begin": begin, "late": late, "hidden": still_shown}
        played = player.follow(key, job.moments, **look)
    if played.at is not None:
        st.session_state[f"{key}-at"] = played.at
        url_state.set_url(MOMENT, round(played.at, 3), 0.0)
    if still_shown:
        still.draw(job.plan, begin if played.at is None else played.at, picture, top)
    for note in summary.notes:
        st.caption(sentence(note))
    if summary.skipped:
        st.caption(f"{summary.skipped:,} broken frames of the file were left out.")
    if played.opened is not None:
        state.of(Video).opened = job.plan, played.opened
        st.rerun()


def open_frame() -> None:
    """Open the frame that was chosen in the last run.

    Called before the controls are drawn.
    """
    video = state.of(Video)
    if video.opened is None:
        return
    plan, seconds = video.opened
    video.opened = None
    _open(plan, seconds)
    reopen.go()


@page.keeping_problem()
def _open(plan: ClipPlan, seconds: float) -> None:
    """Open the clip's own frame on Explore; `seconds`: of the drawn clip."""
    image_source.choose_upload(still.open_frame(plan, seconds), named=True)
    reopen.choose_model(catalog.spec(plan.model))
    reopen.open_explore()


MAX_CLIP = 100_000_000
"""Bytes of a slide's clip: the whole deck is sent to the browser."""


def draw_slide_button(job: ClipJob) -> None:
    """Draw the button for the clip's slide."""

    def slide(_look: object) -> View:
        summary, plan = job.summary, job.plan
        if (size := summary.clip.stat().st_size) > MAX_CLIP:
            most = megabytes(MAX_CLIP)
            raise Problem(f"This clip has {megabytes(size)}, and a slide takes {most}: draw a part of it.")
        title = headline(job)
        first = next(Clip(summary.clip).frames())
        named = [moment for moment in job.moments if moment.label][:MOMENTS]
        return new_view(
            [Picture.of(Image(first.pixels, summary.clip.name), summary.clip.name)],
            title=statement(title, title.partition(";")[0].partition(",")[0]),
            sentence=f"Where a model looked in {plan.clip.name}, frame by frame.",
            kind="clip",
            facts=tuple(f"{clock(moment.seconds)} {moment.label}" for moment in named),
            made=plan.model,
            clip=summary.clip.read_bytes(),
        )

    saving.add_to_deck("video", slide)


def downloads(job: ClipJob) -> None:
    """Draw the menu of files."""
    run, stem = job.summary, job.plan.clip.name.rpartition(".")[0] or "clip"
    with st.popover("Download", icon=":material/download:", help="The drawn clip, and the numbers"):
        offers = (
            ("The clip, .mp4", f"{stem}_heatmap.mp4", run.clip.read_bytes, "Without sound."),
            ("The timeline, .csv", "timeline.csv", (run.folder / "timeline.csv").read_bytes, "For a spreadsheet."),
        )
        for label, file, make, help in offers:
            charts.download(label, make, file, key=f"video-{file}", help=help, width="stretch", type="tertiary")
