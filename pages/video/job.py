"""Explain a clip in a thread, with progress and stop, and draw its result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import examples, video
from sightglass.common.errors import ImageProblem
from sightglass.explain.phrases import capital, listing, plural
from sightglass.explain.picture.image import Image
from sightglass.explain.tasks import task_of
from sightglass.models import catalog
from sightglass.models.demo import pictures
from sightglass.ui.saving import slides
from sightglass.ui.session import page, reopen
from sightglass.ui.session.jobs import background
from sightglass.ui.session.jobs.background import Job
from sightglass.ui.session.markdown import sentence
from sightglass.ui.session.pictures import image_source
from sightglass.ui.views import charts
from sightglass.video import clip as video_clip
from sightglass.video.kept import ClipPlan, ClipSource, read_plan
from sightglass.video.results import clip_view, clock, curves, read_facts, read_result

if TYPE_CHECKING:
    from sightglass.report.view import View
    from sightglass.video import Summary
    from sightglass.video.clip import ClipInfo
    from sightglass.video.results import AnswerCurve

MOMENTS = 3
"""On a slide, beside the player."""
NAMED = 2
"""Answers in a headline."""


class ClipJob(Job["Summary"]):
    """One run over a clip, or the reading of a finished one."""

    def __init__(self, plan: ClipPlan) -> None:
        self.plan = plan
        call, words = partial(_run, plan), "Reading the clip"
        if plan.done:
            call, words = partial(_read, plan), "Reading the result"
        super().__init__(call, words=words, name=plan.name, reads=plan.done)

    @property
    def summary(self) -> Summary:
        assert self.result is not None
        return self.result


def _read(plan: ClipPlan, **_: Any) -> Summary:
    return read_result(plan.folder)


def _run(plan: ClipPlan, *, progress: Any, cancel: Any, **_: Any) -> Summary:
    return video.run(
        video_clip.Clip(plan.source.path, plan.source.name),
        plan.model,
        plan.folder,
        options=plan.options,
        settings=plan.settings,
        progress=progress,
        cancel=cancel,
    )


def find(name: str) -> ClipJob | None:
    """Return the person's job of a clip, which goes on with what is left; None without its plan."""
    if (job := background.find_shared(name)) is not None:
        running: ClipJob = job
        return running
    plan = read_plan(name) if name else None
    return ClipJob(plan) if plan is not None else None


@st.cache_resource(show_spinner=False, max_entries=1)
def open_example() -> ClipJob:
    """Return the packaged result."""
    folder = examples.find(examples.CLIP)
    facts = read_facts(folder)
    settings = video.Settings(**{name: facts[name] for name in ("every", "smooth", "end", "side")})
    return ClipJob(ClipPlan(ClipSource(pictures.CLIP, facts["clip"]["name"]), facts["model"], {}, settings, folder))


@dataclass
class Video:
    """The session's clip."""

    job: ClipJob | None = None
    generation: int = 0
    """Counts uploaders: a new one is empty."""


def describe(plan: ClipPlan) -> str:
    """Return `efficientnet-lite0, every frame; smoothed over 0.1 s`."""
    chosen = plan.settings
    frames = "every frame" if chosen.every == 1 else f"one frame in {chosen.every}"
    smooth = f"smoothed over {chosen.smooth:g} s" if chosen.smooth else "not smoothed"
    targets = plan.options.get("targets") or ()
    only = f"; {', '.join(map(str, targets))} only" if targets else ""
    return f"{plan.model}, {frames}; {smooth}{only}"


def headline(summary: Summary) -> str:
    """Return the page's sentence on a finished run."""
    if not summary.moments:
        return f"{plural(summary.frames, 'frame')}, and nothing changes for longer than an instant"
    # A moment of an unsure model has no label.
    named = [moment for moment in summary.moments if moment.kind in ("answer", "object") and moment.label]
    if not named:
        return f"{plural(len(summary.moments), 'moment')} in {plural(summary.frames, 'frame')}"
    times: dict[str, list[str]] = {}
    for moment in named[:NAMED]:
        times.setdefault(moment.label, []).append(clock(moment.seconds).partition(".")[0])
    parts = [f"{label} {'at' if starts[1:] else 'from'} {listing(starts)}" for label, starts in times.items()]
    more = [f"{len(named) - NAMED} more"] if len(named) > NAMED else []
    return capital(listing([*parts, *more]))


MAX_HEIGHT = 560
"""Pixels of the height of a clip, so that it fits into the window."""
PAGE_WIDTH = 1392
"""Pixels of a page's content in a window of 1440."""


def draw(job: ClipJob, *, key: str) -> None:
    """Draw the player and its timeline."""
    summary, start = job.summary, job.plan.settings.start
    changed = summary.clip.stat().st_mtime_ns
    about = _about(str(summary.clip), changed)
    task = task_of(catalog.catalog().get(job.plan.model) or "")
    moments = [replace(moment, seconds=max(0.0, moment.seconds - start)) for moment in summary.moments]
    at = min(st.session_state.get(f"{key}-at", 0.0), about.seconds)
    width = round(MAX_HEIGHT * about.width / about.height)
    share = min(width / PAGE_WIDTH, 2 / 3)
    player, beside = st.columns([share, 1 - share], gap="medium")
    with player:
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
def _about(path: str, changed: int) -> ClipInfo:
    """Return a drawn clip's properties, read again after changes."""
    del changed
    return video_clip.Clip(path).about


@st.cache_data(show_spinner=False, max_entries=8)
def _curves(folder: str, seconds: float, start: float, changed: int) -> tuple[AnswerCurve, ...]:
    del changed
    return curves(Path(folder), seconds, start)


@page.keeping_problem()
def _open(plan: ClipPlan, at: float) -> None:
    """Open the drawn clip's frame on Explore."""
    image_source.choose_upload(frame(plan, at))
    reopen.open_explore("map")


def frame(plan: ClipPlan, seconds: float) -> Image:
    """Return the original frame at a time; raise ImageProblem if unreadable."""
    clip = video_clip.Clip(plan.source.path, plan.source.name)
    at = plan.settings.start + seconds
    picture = clip.frame_at(at)
    if picture is None:
        raise ImageProblem(f"{plan.source.name} has no frame at {clock(at)} any more: choose the clip again.")
    return Image(picture.pixels, f"{plan.source.name.rpartition('.')[0]} {clock(at).replace(':', '.')} s.png")


def draw_slide_button(job: ClipJob) -> None:
    """Draw the button for the clip's slide."""

    def slide(_look: object) -> View:
        words = f"Where a model looked in {job.plan.source.name}, frame by frame."
        summary = job.summary
        named = [moment for moment in summary.moments if moment.label][:MOMENTS]
        moments = [f"{clock(each.seconds).partition('.')[0]} {each.label}" for each in named]
        clip, notes = summary.clip, describe(job.plan)
        return clip_view(
            clip, title=headline(summary), sentence=words, notes=notes, made=job.plan.model, moments=moments
        )

    slides.button("video", slide)


def downloads(job: ClipJob) -> None:
    """Draw the menu of files."""
    run, stem = job.summary, job.plan.source.name.rpartition(".")[0] or "clip"
    with st.popover("Download", icon=":material/download:", help="The drawn clip, and the numbers"):
        offers = (
            ("The clip, .mp4", f"{stem}_heatmap.mp4", run.clip.read_bytes, "Without sound."),
            ("The timeline, .csv", "timeline.csv", (run.folder / "timeline.csv").read_bytes, "For a spreadsheet."),
        )
        for label, file, make, help in offers:
            charts.download(label, make, file, key=f"video-{file}", help=help, width="stretch", type="tertiary")
