"""Errors: where a model goes wrong on labelled pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.components.session import page, reopen, state, url_state
from sightglass.components.session.jobs import background
from sightglass.components.session.markdown import escape, sentence
from sightglass.pages.errors import chart, files, hiding, lenses, runs, trial
from sightglass.pages.errors.runs import EXAMPLE, ErrorsView

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.pages.errors.runs import LabelledRun
    from sightglass.pages.errors.trial import KnownCauseJob

LENSES: dict[str, tuple[str, Callable[[LabelledRun], None]]] = {
    "types": ("Errors", lenses.draw_types),
    "missed": ("Why missed", lenses.draw_reasons),
    "slices": ("Where more often", lenses.draw_slices),
    "maps": ("Where it looked", lenses.draw_clusters),
    "labels": ("Are the labels right?", lenses.draw_labels),
}
OF_DETECTORS = ("missed",)
TITLE = "## Where a model goes wrong"


@page.guard
def errors() -> None:
    reopen.go()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        title = st.container(width="content")
        bar = st.container(horizontal=True, width="content", vertical_alignment="center")
    with bar:
        name = runs.choose()
    if name == EXAMPLE and not _is_ready(trial.example(), title):
        return
    try:
        with st.spinner("Reading the run…", show_time=False):
            run = runs.open_run(name)
    except Problem as problem:
        title.markdown(TITLE)
        st.error(sentence(problem), icon=":material/error:")
        _lead_to_batch()
        return
    _draw_run(run, title, bar)


def _is_ready(job: KnownCauseJob, title: DeltaGenerator) -> bool:
    """Draw how far the example is; return whether there is something to show."""
    if not job.finished():
        title.markdown("## Explaining 200 drawn scenes, as an example")
        stop = "" if users.owner() else "Stop after the current pictures; finished ones are shown."
        background.progress(job, label=f"{trial.MODEL}: ", help=stop, estimate=True)
        st.caption("Their errors have known causes. It goes on while you use other pages.")
        _lead_to_batch()
        return False
    failed = job.status.failure
    if failed is None and not job.stopped:
        return True
    if job.stopped and (job.folder / "evaluation.parquet").is_file():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(":material/pause_circle: Stopped: these are the finished pictures.", width="content")
            _again("Explain all")
        return True
    title.markdown(TITLE)
    if not job.stopped:
        assert failed is not None
        page.show_failure(failed, "the example of Errors failed")
    else:
        st.caption(":material/pause_circle: The example was stopped.")
    _again("Try again")
    _lead_to_batch()
    return False


def _again(label: str) -> None:
    st.button(
        label,
        icon=":material/refresh:",
        key="errors-again",
        on_click=trial.example.clear,
        help="Explain the drawn scenes again.",
    )


def _lead_to_batch() -> None:
    st.page_link(
        page.script("batch"),
        label="Evaluate your own labelled pictures on Batch",
        icon=":material/add_photo_alternate:",
        help="A run with labels can be chosen here once it is finished; class folders are labels, too.",
        width="content",
    )


def _draw_run(run: LabelledRun, title: DeltaGenerator, bar: DeltaGenerator) -> None:
    report = run.report
    title.markdown(f"## {escape(report.headline)}.")
    with bar:
        files.draw(run)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(escape(report.counts), width="content")
        if run.example:
            st.caption(":material/science: An example: drawn scenes with planted causes.", width="content")
            _lead_to_batch()
    if unknown := run.evaluation.unknown:
        names = ", ".join(unknown[:5]) + (" and others" if len(unknown) > 5 else "")
        st.caption(f":material/help: This model has no class for these labels: {escape(names)}.")
    view = state.of(ErrorsView)
    problem, view.problem = view.problem, ""
    if problem:
        st.error(sentence(problem), icon=":material/error:")
    runs.ask_for_pictures(run)
    if report.errors.empty and report.misses.empty:
        st.success("There is no error in these pictures.", icon=":material/check:")
        return
    chart.draw(run, report.types, lenses.choose_type(run))
    _draw_lens(run)
    hiding.draw(run)


def _draw_lens(run: LabelledRun) -> None:
    detects = run.evaluation.task == "detect"
    offered = {name: label for name, (label, _) in LENSES.items() if detects or name not in OF_DETECTORS}
    lens = url_state.widget(
        st.segmented_control,
        "Lens",
        offered,
        "types",
        key=chart.LENS,
        name="lens",
        label_visibility="collapsed",
        help="Errors by type, why objects were missed, where they are frequent, similar maps, likely label errors.",
    )
    LENSES[lens][1](run)


errors()
