"""Video: a clip under its maps, with its timeline."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import ModelProblem, Unreadable
from sightglass.explain.tasks import task_of
from sightglass.pages.video import job as jobs
from sightglass.pages.video.camera import draw as draw_camera
from sightglass.pages.video.job import ClipJob, ClipPlan, Video, describe, headline, open_example
from sightglass.ui import player
from sightglass.ui.choices import controls
from sightglass.ui.live import LiveVisit
from sightglass.ui.session import page, state, url_state
from sightglass.ui.session.jobs import background
from sightglass.ui.session.markdown import escape, sentence
from sightglass.ui.views import charts
from sightglass.video import Settings
from sightglass.video.clip import ACCEPTED, Clip

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explainer
    from sightglass.ui.session.state import Choices

MAX_MB = 500
"""Maximum size of an uploaded clip in MB."""

KINDS = ("mp4", "mov", "m4v", "webm", "mkv", "gif", "avi")
STEP = 0.1
"""Seconds by which a clip is cut."""


@page.show_errors
def video() -> None:
    jobs.open_frame()
    _take_recording()
    bar, top, main = st.container(key="video-bar"), st.container(key="video-top"), st.container()
    with bar:
        source, place = st.columns([1, 2], vertical_alignment="center")
    with source:
        sources = {"file": "File", "camera": "Camera"}
        look: dict[str, Any] = {"key": "video-source", "name": "source", "label_visibility": "collapsed"}
        look["help"] = "A clip, explained frame by frame into a file; or the camera, in real time."
        camera = url_state.widget(st.segmented_control, "Source", sources, "file", **look)
    if camera == "camera":
        draw_camera(place, top)
        return
    choices, explainer = controls.draw(place=place)
    video = state.of(Video)
    try:
        job = video.job = video.job or jobs.find(st.query_params.get("clip") or video.name)
    except Unreadable as problem:
        with main:
            _draw_unreadable(problem)
        return
    video.name = ""
    # For reloads.
    url_state.set_url("clip", (job.plan.name or None) if job is not None else None)
    with main:
        page.say_problem()
        if job is None:
            _draw_chooser(top, choices, explainer)
        else:
            _draw_job(top, job, choices)


def _draw_unreadable(problem: Unreadable) -> None:
    """Say which file of a clip cannot be read; the address stays."""
    st.error(sentence(problem), icon=":material/error:")
    _draw_another_button()


def _draw_job(top: DeltaGenerator, job: ClipJob, choices: Choices) -> None:
    """Draw a job's progress, failure or result."""
    if not job.finished():
        top.markdown(f"## {job.plan.model} is looking at {escape(job.plan.clip.name)}")
        background.progress(job, help="Stop; what was done is kept, and you can go on.")
        st.caption("It goes on while you use other pages, and stops soon after you close this tab.")
        jobs.draw_newest(job)
    elif job.failure is not None:
        top.markdown("## Frame by frame")
        page.show_failure(job.failure, "a clip failed")
        _draw_another_button()
    elif job.summary.cancelled:
        top.markdown(f"## {job.summary.words}")
        with st.container(horizontal=True):
            if st.button("Go on", icon=":material/play_arrow:", help="Explain the rest of the clip."):
                _start(job.plan)
            _draw_another_button()
    else:
        _draw_result(top, job, choices)


def _draw_result(top: DeltaGenerator, job: ClipJob, choices: Choices | None = None) -> None:
    """Draw a finished run, its head in `top`; without choices it is the packaged example."""
    row: dict[str, Any] = {"horizontal": True, "vertical_alignment": "center"}
    with top, st.container(horizontal_alignment="distribute", **row):
        with nullcontext() if choices else st.container(width="content", **row):
            if choices is None:
                charts.badge_example([job.plan.model])
            about = f"{escape(job.plan.clip.name)}: {escape(describe(job.plan))}."
            st.markdown(f"##{'' if choices else '#'} {headline(job)}", width="content", help=about)
        with st.container(width="content", **row):
            view = jobs.choose_shown()
            jobs.draw_slide_button(job)
            if choices is not None:
                jobs.downloads(job)
                _draw_another_button()
    if choices is not None:
        with top, st.container(**row):
            _offer_rerun(job, choices)
    jobs.draw(job, key="video-timeline" if choices else "video-example", shown=view)


def _draw_chooser(top: DeltaGenerator, choices: Choices, explainer: Explainer) -> None:
    """Draw the choice of a clip and the example until then."""
    if not task_of(explainer.model).names_classes:
        top.markdown("## Frame by frame")
        words = f"{choices.model.name} names nothing that could be followed: choose a classifier or detector."
        raise ModelProblem(words)
    head = top.container()
    left, right = st.columns(2, gap="medium")
    with left:
        upload = None
        # An unusable file leaves the example.
        with page.report_problems():
            upload = _choose_clip()
    with right, st.container(horizontal=True):
        settings, targets = _settings(choices, explainer)
    if upload is not None:
        with left:
            settings = _trim(upload, settings)
        with head, st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"## {escape(upload.name)}: press Explain", width="content")
            if st.button("Explain", icon=":material/play_arrow:", help="Runs in the background and can be stopped."):
                _start(_make_plan(upload, choices, settings, targets))
            if not state.of(Video).uploaded:
                _draw_another_button()
        return
    head.markdown("## Frame by frame")
    example = open_example()
    if background.has_ended(example, "the example of Video could not be read") and example.failure is None:
        _draw_result(st.container(), example)


def _take_recording() -> None:
    """Go on with a clip from the camera as with an uploaded one."""
    visit = state.of(LiveVisit)
    recording = visit.recording
    if recording is None:
        return
    visit.recording = None
    video = state.of(Video)
    video.job = None
    video.generation += 1
    with page.keeping_problem():
        name = f"camera_{datetime.now():%Y%m%d_%H%M%S}{recording.ending}"
        video.clip = jobs.add_clip(recording.data), name
        video.uploaded, video.recorded = False, True
    url_state.set_url("clip", None)
    url_state.link(source="file")


def _choose_clip() -> Clip | None:
    video = state.of(Video)
    if state.of(state.Navigation).arrived:
        # The uploader of a page that was left is empty.
        video.uploaded = False
    file = st.file_uploader(
        "A clip",
        type=list(KINDS),
        max_upload_size=MAX_MB,
        key=f"video-file-{video.generation}",
        help=f"{ACCEPTED}. It stays on this machine, and is deleted after {jobs.DAYS} days.",
    )
    if file is None:
        return video.choose(None, "")
    return video.choose(state.latest("video", file.file_id, lambda: jobs.add_clip(file.getbuffer())), file.name)


def _settings(choices: Choices, explainer: Explainer) -> tuple[Settings, tuple[str, ...]]:
    """Choose the followed class and the explained frames."""
    target = url_state.widget(
        st.selectbox,
        "Follow",
        # Not None: a menu would show that as no choice yet.
        {"": "Whatever it says"} | {label: label for label in sorted(set(explainer.labels))},
        "",
        key=f"video-class-{choices.model.id}",
        help="One class throughout, or the model's best answer in each frame. Of a detector: the objects of a class.",
    )
    every = url_state.widget(
        st.selectbox,
        "Look at",
        {1: "Every frame", 2: "Every 2nd frame", 3: "Every 3rd frame", 5: "Every 5th frame", 10: "Every 10th frame"},
        1,
        key="video-every",
        name="every",
        read=int,
        help="The model looks at these frames; between them the map is mixed from those around. Fewer are faster.",
    )
    return Settings(every=every), (target,) if target else ()


def _trim(clip: Clip, settings: Settings) -> Settings:
    """Choose a part of the clip on its timeline; return the settings."""
    start, end, seconds = settings.start, settings.end, clip.about.seconds
    if seconds > STEP:
        ends = round(math.ceil(seconds / STEP) * STEP, 1)
        key = f"video-part-{clip.path.parent.name}"
        start, last = st.slider(
            "Part of the clip",
            0.0,
            ends,
            state.latest("video-part", key, lambda: url_state.memory(key) or (0.0, ends)),
            STEP,
            format="%.1f s",
            key=key,
            help="Drag an end: only this part is explained, and played here.",
        )
        url_state.remember(key, (start, last))
        # Equal ends leave the shortest part.
        start = min(start, ends - STEP)
        end = None if last >= ends else max(last, start + STEP)
    with st.container(key="video-cut"):
        st.video(str(clip.path), width=480)
        player.cut("video-cut", start, end)
    if state.of(Video).recorded:
        help = "The recording, without maps."
        charts.download("Download the recording", clip.path.read_bytes, clip.name, key="video-recorded", help=help)
    return replace(settings, start=start, end=end)


def _make_plan(clip: Clip, choices: Choices, settings: Settings, targets: tuple[str, ...]) -> ClipPlan:
    options = {"method": choices.method, **choices.options} | ({"targets": targets} if targets else {})
    return ClipPlan(clip, choices.model.id, options, settings, jobs.results_of(clip))


def _start(plan: ClipPlan) -> None:
    plan.save()
    video = state.of(Video)
    video.job, video.clip, video.uploaded = ClipJob(plan), None, False
    st.rerun()


def _draw_another_button() -> None:
    if st.button("Another clip", icon=":material/folder_open:", help="Choose another clip, or other settings."):
        # A job that no session has is stopped.
        video = state.of(Video)
        video.job = video.clip = None
        video.name = ""
        video.uploaded = False
        video.generation += 1
        url_state.set_url("clip", None)
        st.rerun()


def _offer_rerun(job: ClipJob, choices: Choices) -> None:
    """Offer to explain the clip again after changed choices."""
    before = {name: value for name, value in job.plan.options.items() if name != "targets"}
    if (choices.model.id, {"method": choices.method, **choices.options}) == (job.plan.model, before):
        return
    help, icon = "Explain the same clip with the model, method and layers that are chosen now.", ":material/refresh:"
    if st.button("Explain again with these choices", icon=icon, type="tertiary", help=help):
        targets = tuple(job.plan.options.get("targets") or ()) if choices.model.id == job.plan.model else ()
        _start(_make_plan(job.plan.clip, choices, job.plan.settings, targets))


video()
