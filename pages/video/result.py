"""Draw a finished run: the player, the timeline, the moments, the files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import Problem
from components import timeline
from components.session import image_source, page, state
from components.views import charts
from explain.picture.image import Image
from explain.video.curves import curves
from explain.video.moments import clock
from pages.video.job import Video

if TYPE_CHECKING:
    from pathlib import Path

    from explain.video.curves import Curve
    from pages.video.job import Job, Plan


def draw(job: Job, *, key: str) -> None:
    """Draw the player and what is under it."""
    made = job.summary
    st.video(str(made.clip))
    rate, seconds = _length(str(made.clip), made.clip.stat().st_mtime_ns)
    detects = any(one.object is not None for one in made.moments) or job.plan.settings.only is not None
    where = "Detect" if detects else "Explore"
    moments = [_shifted(one, job.plan.settings.start) for one in made.moments]
    shown = timeline.Timeline(
        seconds=seconds,
        rate=rate,
        curves=_curves(str(made.folder), seconds, job.plan.settings.start, made.clip.stat().st_mtime_ns),
        moments=moments,
        opens=f"Open this frame on {where}",
    )
    timeline.draw(shown, key=key, on_open=partial(_open, job.plan, key, where.lower(), moments))
    for note in made.notes:
        st.caption(note)
    if made.skipped:
        st.caption(f"{made.skipped:,} broken frames of the file were left out.")


def _shifted(moment: Any, start: float) -> Any:
    """Return a moment with its time in the drawn clip, which begins at `start` of the whole one."""
    from dataclasses import replace

    return replace(moment, seconds=max(0.0, moment.seconds - start))


@st.cache_data(show_spinner=False, max_entries=8)
def _length(path: str, changed: int) -> tuple[float, float]:
    """Return frames per second and seconds of a drawn clip; read again when the file has changed."""
    from explain.video.clip import Clip

    del changed
    about = Clip(path).about
    return float(about.rate), about.seconds


@st.cache_data(show_spinner=False, max_entries=8)
def _curves(folder: str, seconds: float, start: float, changed: int) -> tuple[Curve, ...]:
    from pathlib import Path

    del changed
    return curves(Path(folder), seconds, start)


def _open(plan: Plan, key: str, to: str, moments: list[Any]) -> None:
    """Open the frame that the player shows on another page."""
    at = st.session_state.get(key, {}).get("frame")
    if at is None:
        return
    try:
        image = frame(plan, float(at))
    except Problem as problem:
        state.of(Video).opened = str(problem)
        return
    image_source.turn_to(image)
    state.of(state.Navigation).go_to = page.script(to)


def frame(plan: Plan, seconds: float) -> Image:
    """Return the frame of the clip itself at a time of the drawn one; raise ImageProblem where it cannot be read."""
    from common.errors import ImageProblem
    from explain.video.clip import Clip

    clip = Clip(plan.source.path, plan.source.name)
    at = plan.settings.start + seconds
    found = clip.at(at)
    if found is None:
        raise ImageProblem(f"{plan.source.name} has no frame at {clock(at)} any more: choose the clip again.")
    return Image(found.pixels, f"{plan.source.name.rpartition('.')[0]} {clock(at).replace(':', '.')} s.png")


def downloads(job: Job) -> None:
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


def _film(clip: Path, kind: str) -> bytes:
    from explain.video.write import film

    made = clip.with_suffix(f".{kind}")
    if not made.exists():
        film(clip, made, kind)
    return made.read_bytes()
