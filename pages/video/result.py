"""Draw a finished run: the player, the timeline, the moments, the files."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import ImageProblem, Problem
from sightglass.components.choices import model_picker
from sightglass.components.saving import slides
from sightglass.components.session import page, state
from sightglass.components.session.markdown import sentence
from sightglass.components.session.pictures import image_source
from sightglass.components.views import charts
from sightglass.deck import views
from sightglass.explain.picture.image import Image
from sightglass.pages.video.job import Video, describe, headline
from sightglass.video.clips import clip as video_clip
from sightglass.video.clips import write
from sightglass.video.results import clock, curves

if TYPE_CHECKING:
    from sightglass.deck.scene import Scene
    from sightglass.pages.video.job import ClipJob, ClipPlan
    from sightglass.video.clips.clip import About
    from sightglass.video.results import AnswerCurve


MOMENTS = 3
"""On a slide, beside the player."""
TALL = 520
"""Pixels of the height of an upright clip."""
BEFORE, AFTER = 1.0, 3.0
"""Seconds around a moment that are exported."""


def draw(job: ClipJob, *, key: str) -> None:
    """Draw the player and what is under it."""
    made, start = job.summary, job.plan.settings.start
    changed = made.clip.stat().st_mtime_ns
    about = _about(str(made.clip), changed)
    where = "Detect" if job.plan.model in _ids("detect") else "Explore"
    moments = [replace(moment, seconds=max(0.0, moment.seconds - start)) for moment in made.moments]
    at = min(st.session_state.get(f"{key}-at", 0.0), about.seconds)
    player, beside = st.columns(2, gap="medium")
    with player:
        # A clip of a phone that is held upright would fill more than the window.
        upright = about.height > about.width
        width: Any = round(TALL * about.width / about.height) if upright else "stretch"
        st.video(str(made.clip), start_time=at, width=width)
        if st.toggle("Original below", key=f"{key}-original", help="Also show the clip without maps."):
            settings = job.plan.settings
            st.video(str(job.plan.source.file), start_time=settings.start + at, end_time=settings.end, width=width)
    with beside:
        charts.draw(
            _curves(str(made.folder), about.seconds, start, changed),
            moments,
            seconds=about.seconds,
            score="Share of the picture" if job.plan.model in _ids("segment") else "Score",
            key=key,
        )
        st.button(
            f"Open the frame at {clock(at)} on {where}",
            icon=":material/open_in_new:",
            key=f"{key}-open",
            on_click=_open,
            args=(job.plan, at, where.lower()),
            help="The frame of the clip itself, as the picture to explain.",
        )
    for note in made.notes:
        st.caption(sentence(note))
    if made.skipped:
        st.caption(f"{made.skipped:,} broken frames of the file were left out.")


def _ids(task: str) -> set[str]:
    return {spec.id for spec in model_picker.present(task)}


@st.cache_data(show_spinner=False, max_entries=8)
def _about(path: str, changed: int) -> About:
    """Return what a drawn clip says of itself; read again when the file has changed."""
    del changed
    return video_clip.Clip(path).about


@st.cache_data(show_spinner=False, max_entries=8)
def _curves(folder: str, seconds: float, start: float, changed: int) -> tuple[AnswerCurve, ...]:
    del changed
    return curves(Path(folder), seconds, start)


def _open(plan: ClipPlan, at: float, to: str) -> None:
    """Open the frame at a time of the drawn clip on another page."""
    try:
        image = frame(plan, at)
    except Problem as problem:
        state.of(Video).opened = str(problem)
        return
    image_source.turn_to(image)
    state.of(state.Navigation).go_to = page.script(to)


def frame(plan: ClipPlan, seconds: float) -> Image:
    """Return the frame of the clip itself at a time of the drawn one; raise ImageProblem where it cannot be read."""
    clip = video_clip.Clip(plan.source.file, plan.source.name)
    at = plan.settings.start + seconds
    found = clip.at(at)
    if found is None:
        raise ImageProblem(f"{plan.source.name} has no frame at {clock(at)} any more: choose the clip again.")
    return Image(found.pixels, f"{plan.source.name.rpartition('.')[0]} {clock(at).replace(':', '.')} s.png")


def draw_slide_button(job: ClipJob) -> None:
    """Draw the button that makes a slide of the clip."""

    def slide(_look: object) -> Scene:
        words = f"Where a model looked in {job.plan.source.name}, frame by frame."
        start, made = job.plan.settings.start, job.summary
        named = [one for one in made.moments if one.label]
        moments = [
            (max(0.0, one.seconds - start), f"{clock(one.seconds).partition('.')[0]} {one.label}") for one in named
        ]
        clip, notes = made.clip, describe(job.plan)
        return views.of_clip(
            clip, title=headline(made), sentence=words, notes=notes, made=job.plan.model, moments=moments[:MOMENTS]
        )

    slides.button("video", slide)
    slides.draw_added_link("video")


def downloads(job: ClipJob, *, key: str) -> None:
    """Draw the menu of files."""
    made, stem = job.summary, job.plan.source.name.rpartition(".")[0] or "clip"
    with st.popover("Download", icon=":material/download:", help="The drawn clip, a small film of it, and the numbers"):
        offers = (
            ("The clip, .mp4", f"{stem}_heatmap.mp4", made.clip.read_bytes, "With the sound of the clip."),
            ("A GIF", f"{stem}_heatmap.gif", partial(_film, made.clip, "gif"), "Small, the first minute, no sound."),
            ("A WebP", f"{stem}_heatmap.webp", partial(_film, made.clip, "webp"), "As the GIF, smaller and smoother."),
            ("The timeline, .csv", "timeline.csv", (made.folder / "timeline.csv").read_bytes, "For a spreadsheet."),
            ("The timeline, .json", "timeline.json", (made.folder / "timeline.json").read_bytes, "With the moments."),
        )
        for label, file, make, help in offers:
            charts.download(label, make, file, key=f"video-{file}", help=help, width="stretch", type="tertiary")
        at = st.session_state.get(f"{key}-at", 0.0)
        charts.download(
            f"Around {clock(at)}, .gif",
            partial(film_moment, made.clip, at),
            f"{stem}_{clock(at).replace(':', '-')}.gif",
            key="video-moment-gif",
            help=f"From {BEFORE:g} s before to {AFTER:g} s after the chosen moment, small, without sound.",
            width="stretch",
            type="tertiary",
        )


def film_moment(path: Path, at: float) -> bytes:
    """Return the film around a time of a drawn clip, as a GIF."""
    made = path.with_name(f"moment-{round(at * 1000)}.gif")
    if not made.exists():
        write.film(path, made, "gif", (at - BEFORE, at + AFTER))
    return made.read_bytes()


def _film(clip: Path, kind: str) -> bytes:
    made = clip.with_suffix(f".{kind}")
    if not made.exists():
        write.film(clip, made, kind)
    return made.read_bytes()
