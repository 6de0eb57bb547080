"""Batch: a folder of pictures at once, as a gallery, by class, by confusion, and the odd ones out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from common.errors import Problem
from components.choices import sidebar
from components.session import page, url_state
from explain.phrases import plural
from models import catalog
from pages.batch.job import Job, Leg, folder_for
from pages.batch.source import Source, choose, scratch

if TYPE_CHECKING:
    from explain import Explainer

LENSES = {
    "gallery": "Gallery",
    "classes": "Classes",
    "confusions": "Confusions",
    "odd": "Odd ones out",
    "table": "Table",
}
"""Each is a function of `pages.batch.views`."""


@page.screen
def batch() -> None:
    top, main = st.container(), st.container()
    choices, explainer = sidebar.draw()
    job: Job | None = st.session_state.get("batch-job")
    with main:
        if job is None:
            top.markdown("## Many pictures at once")
            _begin(choices, explainer)
        elif not job.finished():
            top.markdown(f"## {job.legs[0].model} is looking at {plural(len(job.source.items), 'picture')}")
            _working(job)
        elif job.state.failure is not None:
            top.markdown("## Many pictures at once")
            _failed(job)
        else:
            # Its tables need torch, which a run has loaded by now.
            from pages.batch import views

            with top, st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
                st.markdown(f"## {job.state.summaries[0].words}.", width="content")
                with st.container(horizontal=True, width="content", vertical_alignment="center"):
                    views.downloads(job)
                    _again(job)
            with top, st.container(horizontal=True, vertical_alignment="center"):
                st.caption(views.made(job), width="content")
                _anew(job, choices)
            _done(job)


def _begin(choices: sidebar.Choices, explainer: Explainer) -> None:
    st.markdown(
        "Choose a folder or upload pictures; each is explained by the model, the method and the layers of the sidebar, "
        "and you get a gallery, the mean map of each class, what is confused with what, and the odd ones out."
    )
    source = None
    try:
        source = choose()
    except Problem as problem:
        st.error(str(problem), icon=":material/error:")
    second = _second(choices)
    if not explainer.resident.gradients:
        st.caption("This model only answers: every map takes minutes. Choose another one for many pictures.")
    if st.button(
        "Explain them all",
        icon=":material/play_arrow:",
        type="primary",
        disabled=source is None,
        help="Runs beside the page, and can be stopped; what is done by then is kept.",
    ):
        assert source is not None
        _start(source, choices, second)


def _second(choices: sidebar.Choices) -> str | None:
    here = sidebar.menu()[1]
    every = [
        spec.id
        for spec in catalog.catalog().values()
        if spec.id in here and spec.task == choices.model.task and spec.id != choices.model.id
    ]
    # The family's own sizes first: s against l is what most people want to see.
    every.sort(key=lambda name: catalog.spec(name).family != choices.model.family)
    # Not None: a menu takes that for a choice that is still to be made, and asks for one.
    url_state.recall("batch-second", ["", *every], "", name="second")
    second = st.selectbox(
        "A second model",
        ["", *every],
        format_func=lambda name: name or "none",
        key="batch-second",
        width=300,
        help="Runs after the first, on the same pictures: then you can sort by where the two disagree.",
    )
    url_state.keep("batch-second", second, "", name="second")
    return second or None


def _start(source: Source, choices: sidebar.Choices, second: str | None, *, resume: bool = True) -> None:
    legs, folder = [], scratch()
    for name in filter(None, (choices.model.id, second)):
        fitted = choices
        if name != choices.model.id:
            fitted = sidebar.fitting(choices, sidebar.loaded(name), choices.method)
        options = {"method": fitted.method, **fitted.options}
        legs.append(Leg(name, options, folder_for(source, name, options, folder)))
    st.session_state["batch-job"] = Job(source, tuple(legs), resume=resume)
    st.rerun()


def _working(job: Job) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        _watch()
        st.button(
            "Stop",
            icon=":material/stop_circle:",
            on_click=job.cancel.set,
            help="Stop after the pictures in hand; what is done is kept and shown.",
        )
    st.caption("You may look at other screens meanwhile; this goes on.")


@st.fragment(run_every=0.5)
def _watch() -> None:
    job: Job | None = st.session_state.get("batch-job")
    if job is None:
        return
    if job.finished():
        st.rerun()
    words = "Stopping" if job.cancel.is_set() else job.state.words
    st.progress(min(1.0, job.state.share), words)


def _failed(job: Job) -> None:
    failure = job.state.failure
    if isinstance(failure, Problem):
        st.error(str(failure), icon=":material/error:")
    else:
        page.LOGGER.error("a batch failed", exc_info=failure)
        st.error(page.SOMETHING_BROKE, icon=":material/error:")
    with st.container(horizontal=True):
        _again(job)
        if st.button(
            "Start over",
            icon=":material/restart_alt:",
            help="Forget what an earlier run of these pictures left, and do them all again.",
        ):
            st.session_state["batch-job"] = Job(job.source, job.legs, resume=False)
            st.rerun()


def _again(job: Job) -> None:
    if st.button("Other pictures", icon=":material/folder_open:", help="Choose other pictures, or another model."):
        job.cancel.set()
        del st.session_state["batch-job"]
        # A new uploader: what was given to the old one is let go.
        st.session_state["batch-uploads"] = st.session_state.get("batch-uploads", 0) + 1
        for held in ("batch-uploaded", "batch-scratch"):
            st.session_state.pop(held, None)
        st.rerun()


def _anew(job: Job, choices: sidebar.Choices) -> None:
    """The same pictures by what the sidebar has now, where that is not what they were explained by."""
    first, *more = job.legs
    if (choices.model.id, {"method": choices.method, **choices.options}) == (first.model, first.options):
        return
    if st.button(
        "Explain again with these choices",
        icon=":material/refresh:",
        type="tertiary",
        help="The same pictures by the model, the method and the layers that the sidebar has now.",
    ):
        second = next((leg.model for leg in more if leg.model != choices.model.id), None)
        # What was uploaded has one place for its results, whatever the choices.
        _start(job.source, choices, second, resume=bool(job.source.path))


def _done(job: Job) -> None:
    from pages.batch import views

    if job.stopped:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(":material/pause_circle: Stopped: this is what was done by then.")
            if st.button("Go on", icon=":material/play_arrow:", help="Explain the rest; what is done is not redone."):
                st.session_state["batch-job"] = Job(job.source, job.legs)
                st.rerun()
    failed = job.state.summaries[0].failed
    if failed:
        with st.expander(f"{plural(len(failed), 'picture')} could not be used", icon=":material/broken_image:"):
            st.dataframe(
                [{"picture": name, "why": why} for name, why in failed[:1000]], hide_index=True, width="stretch"
            )
    if not any(summary.done for summary in job.state.summaries):
        st.error("None of the pictures could be used: choose others.", icon=":material/error:")
        return
    if problem := st.session_state.get("picture_problem"):
        st.error(problem, icon=":material/error:")
    url_state.recall("batch-lens", LENSES, "gallery", name="lens")
    lens = st.segmented_control(
        "Lens",
        list(LENSES),
        format_func=LENSES.__getitem__,
        key="batch-lens",
        required=True,
        label_visibility="collapsed",
        help="Every picture; each class on average; what is confused with what; what looks unusual; the numbers.",
    )
    url_state.keep("batch-lens", lens, "gallery", name="lens")
    getattr(views, lens or "gallery")(job)


batch()
