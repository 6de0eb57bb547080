"""Scorecard: which of two to six models can be shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Cancelled, Problem
from sightglass.components.session import page, reopen, state
from sightglass.components.session.jobs import background
from sightglass.components.session.markdown import sentence
from sightglass.explain.phrases import listing, plural
from sightglass.pages.scorecard import job as jobs
from sightglass.pages.scorecard import result, source
from sightglass.pages.scorecard.chosen import ScorecardPage
from sightglass.pages.scorecard.job import ScoreJob

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.pages.scorecard.job import ScorePlan


@page.guard
def scorecard() -> None:
    reopen.go()
    title = st.container(gap="xsmall")
    job = state.of(ScorecardPage).job
    if job is not None:
        _draw(job, title)
        return
    with st.expander("Your own pictures and models", icon=":material/add_chart:", expanded=False):
        _choose()
    example = jobs.example()
    if example.finished() and example.status.failure is not None:
        # Tried again at the next visit.
        jobs.example.clear()
    _draw(example, title)


def _choose() -> None:
    plan = None
    try:
        plan = source.choose()
    except Problem as problem:
        st.error(sentence(problem), icon=":material/error:")
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Score the models",
            icon=":material/play_arrow:",
            disabled=plan is None,
            help="Runs each model on each picture, one at a time, in the background. It can be stopped.",
        ):
            assert plan is not None
            _start(plan)
        if plan is None:
            st.caption("Choose at least two models with labelled pictures, or two runs.")


def _start(plan: ScorePlan) -> None:
    state.forget(ScorecardPage)
    state.of(ScorecardPage).job = ScoreJob(plan)
    st.rerun()


def _draw(job: ScoreJob, title: DeltaGenerator) -> None:
    """Draw a job: how far it is, why it failed, or its scorecard."""
    models = job.plan.models if job.plan is not None else jobs.EXAMPLE
    if not job.finished():
        title.markdown(f"## Which can be shipped: {listing([*models])}?")
        help = "" if job.shared else "Nothing is shown of a scorecard that was stopped."
        background.progress(job, label="An example: " if job.shared else "", help=help, estimate=True)
        st.caption("Each model takes one picture at a time, so that times can be compared. It goes on if you leave.")
        return
    if job.status.failure is not None or job.status.card is None:
        title.markdown("## Which model can be shipped?")
        if isinstance(job.status.failure, Cancelled):
            st.info("Stopped before all models were done.", icon=":material/pause_circle:")
        elif job.status.failure is not None:
            page.show_failure(job.status.failure, "a scorecard failed")
        _again(job)
        return
    with title:
        head = st.container(gap="xsmall")
    result.draw(job, head)
    source.list_problems(job.status.left_out)
    _describe(job)


def _describe(job: ScoreJob) -> None:
    """Draw what was scored, and the way to other pictures."""
    card = job.status.card
    assert card is not None
    count = plural(len(card.rows[0].evaluation.pictures), "labelled picture")
    with st.container(horizontal=True, vertical_alignment="center"):
        if job.shared:
            st.caption(
                f":material/science: **An example**: {count}. Some have tiny things, a mark that the small model "
                "does not see, or wrong labels.",
                width="content",
            )
        else:
            how = "from runs with labels" if job.plan and job.plan.runs else "measured on this machine, one at a time"
            st.caption(f"{count}, {how}.", width="content")
        _again(job)


def _again(job: ScoreJob) -> None:
    if job.shared:
        return
    if st.button("Other pictures or models", icon=":material/folder_open:", help="Choose others; this one is dropped."):
        job.cancel.set()
        state.forget(ScorecardPage)
        st.rerun()


scorecard()
