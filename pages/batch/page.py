"""Batch: many pictures as gallery, accuracy, mean maps, outliers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.batch import journal
from sightglass.common.errors import Problem
from sightglass.components.choices import model_picker, sidebar
from sightglass.components.session import page, state, url_state
from sightglass.components.session.jobs import background
from sightglass.components.session.markdown import sentence
from sightglass.components.session.pictures.image_source import Pictures
from sightglass.components.session.state import Choices
from sightglass.components.views import tables
from sightglass.explain.phrases import plural
from sightglass.explain.tasks import task_of
from sightglass.models import catalog
from sightglass.pages.batch import folders, gallery, views
from sightglass.pages.batch import job as earlier
from sightglass.pages.batch import source as pictures
from sightglass.pages.batch.job import Batch, BatchJob, RunPlan, folder_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explainer
    from sightglass.pages.batch.source import Source

LENSES: dict[str, tuple[str, Callable[[BatchJob], None]]] = {
    "gallery": ("Gallery", gallery.draw),
    "accuracy": ("Accuracy", views.draw),
    "classes": ("Mean maps", views.classes),
    "odd": ("Outliers", views.odd),
    "table": ("Table", views.table),
}
COST = (
    "The model then runs some 180 times for each map. On two busy cores that is two seconds with EfficientNet-Lite0 "
    "instead of 0.03, and six to ten with YOLO11n."
)


@page.guard
def batch() -> None:
    top, main = st.container(), st.container()
    choices, explainer = sidebar.draw()
    job = state.of(Batch).job
    with main:
        if job is None:
            with top:
                _first(choices, explainer)
        elif not job.finished():
            # Which of two models is running changes without a run of the page: the progress says it.
            by = job.plans[0].model if len(job.plans) == 1 else "two models"
            top.markdown(f"## Explaining {plural(len(job.source.items), 'picture')} with {by}")
            background.progress(job, help="Stop after the current pictures; finished ones are saved and shown.")
            st.caption("It goes on while you use other pages.")
        elif job.status.failure is not None:
            top.markdown("## Many pictures at once")
            page.show_failure(job.status.failure, "a batch failed")
            with st.container(horizontal=True):
                _again(job)
                if st.button(
                    "Start over",
                    icon=":material/restart_alt:",
                    help="Discard earlier results and explain all pictures again.",
                ):
                    _run(BatchJob(job.source, job.plans, resume=False))
        else:
            with top, st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
                st.markdown(f"## {job.status.summaries[0].words}.", width="content")
                with st.container(horizontal=True, width="content", vertical_alignment="center"):
                    views.downloads(job)
                    gallery.draw_slide_button(job)
                    _again(job)
            with top, st.container(horizontal=True, vertical_alignment="center"):
                st.caption(earlier.describe_run(job), width="content")
                _anew(job, choices)
                _test_these(job)
            _draw_result(job)


def _first(choices: Choices, explainer: Explainer) -> None:
    """Draw the choice of pictures and, until there are some, the example."""
    head = st.container(horizontal=True, vertical_alignment="center")
    source = None
    left, right = st.columns([3, 2], gap="medium")
    with left:
        try:
            source = pictures.choose()
            pictures.choose_labels(task_of(choices.model))
        except Problem as problem:
            st.error(sentence(problem), icon=":material/error:")
    with right:
        second, prove = _second(choices), task_of(choices.model).provable and _prove()
        if not explainer.resident.gradients:
            st.caption(
                "This model exposes no internals, so every map takes minutes: choose another one for many pictures."
            )
    if (chosen := earlier.choose_earlier()) is not None:
        _run(chosen)
    if source is None:
        with right:
            _start_button(choices, source, second, prove=prove)
        _draw_example(head)
        return
    # Beside the heading, which asks for it.
    with head:
        count, done = plural(len(source.items), "picture"), _count_done(source, choices, prove=prove)
        status = f"{count}, {done:,} done: continue" if done else f"{count} chosen: press Explain all"
        st.markdown(f"## {status}", width="content")
        _start_button(choices, source, second, prove=prove, label="Continue" if done else "Explain all")
    folders.draw_before(source, choices, explainer, _folder_of(source, choices, prove=prove))
    pictures.preview(source)


def _count_done(source: Source, choices: Choices, *, prove: bool) -> int:
    """Return the number of pictures finished by an earlier equal run."""
    if (folder := _folder_of(source, choices, prove=prove)) is None:
        return 0
    if not (changed := state.modified(folder / journal.NAME)):
        return 0
    stamps = state.latest("batch-done", (folder, changed), lambda: journal.stamps_of(folder))
    return sum(stamps.get(item.key) == item.stamp for item in source.items)


def _folder_of(source: Source, choices: Choices, *, prove: bool) -> Path | None:
    """Return the folder of these choices' results; None for uploads."""
    if not source.path:
        return None
    return folder_for(source, choices.model.id, {"method": choices.method, **choices.options}, Path(), prove=prove)


def _start_button(
    choices: Choices, source: Source | None, second: str | None, *, prove: bool, label: str = "Explain all"
) -> None:
    if st.button(
        label,
        icon=":material/play_arrow:",
        disabled=source is None,
        help="Explains your pictures with the model, method and layers of the sidebar. Runs in the background and can "
        "be stopped; finished pictures are saved.",
    ):
        assert source is not None
        _start(source, choices, second, prove=prove)


def _draw_example(head: DeltaGenerator) -> None:
    """Draw the packaged run, and the page's title in `head`."""
    head.markdown("## Many pictures at once")
    job = state.latest("batch-example", "", earlier.open_example)
    if not background.has_come(job, "the example of Batch could not be read"):
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            page.draw_example_badge()
            st.markdown(f"### {plural(len(job.source.items), 'drawn scene')} explained", width="content")
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            gallery.draw_slide_button(job)
    st.caption(f"{earlier.describe_run(job)}.")
    _draw_result(job)


def _second(choices: Choices) -> str | None:
    others = [spec for spec in model_picker.present(choices.model.task) if spec.id != choices.model.id]
    # Sizes of the same family first: most people want to compare those.
    others.sort(key=lambda spec: spec.family != choices.model.family)
    # Not None: a menu would show that as no choice yet.
    second = url_state.widget(
        st.selectbox,
        "Second model",
        {"": "none"} | {spec.id: spec.id for spec in others},
        "",
        key="batch-second",
        name="second",
        width=300,
        help="Runs after the first, on the same pictures, so that you can sort by disagreement.",
    )
    return second or None


def _prove() -> bool:
    return url_state.widget(
        st.checkbox,
        "Prove every map",
        None,
        False,
        key="batch-prove",
        name="prove-all",
        help="Hide the hottest parts of each map, and keep nothing else, beside random maps: is the map better than "
        f"those? The table, the report and this page then say which maps not to trust. {COST}",
    )


def _start(source: Source, choices: Choices, second: str | None, *, prove: bool = False, resume: bool = True) -> None:
    plans, folder, truth = [], pictures.scratch(), state.of(pictures.ChosenLabels).truth
    for name in filter(None, (choices.model.id, second)):
        fitted = choices
        if name != choices.model.id:
            fitted = sidebar.fitting(choices, sidebar.load(name), choices.method)
        options = {"method": fitted.method, **fitted.options}
        plans.append(
            RunPlan(name, options, folder_for(source, name, options, folder, prove=prove), prove, labels=truth)
        )
    folders.keep(choices, sidebar.load(choices.model.id), plans[0].folder)
    _run(BatchJob(source, tuple(plans), resume=resume))


def _run(job: BatchJob) -> None:
    state.of(Batch).job = job
    st.rerun()


def _again(job: BatchJob) -> None:
    if st.button("Other pictures", icon=":material/folder_open:", help="Choose other pictures, or another model."):
        job.cancel.set()
        state.forget(Batch)
        pictures.clear()
        st.rerun()


def _anew(job: BatchJob, choices: Choices) -> None:
    """Offer to explain the pictures again after changed choices."""
    first, *more = job.plans
    if (choices.model.id, {"method": choices.method, **choices.options}) == (first.model, first.options):
        return
    if st.button(
        "Explain again with these choices",
        icon=":material/refresh:",
        type="tertiary",
        help="Explain the same pictures with the model, method and layers that the sidebar has now.",
    ):
        second = next((plan.model for plan in more if plan.model != choices.model.id), None)
        # Results of uploads go to one place, whatever the choices: they cannot be resumed.
        _start(job.source, choices, second, prove=first.prove, resume=bool(job.source.path))


def _test_these(job: BatchJob) -> None:
    """Offer to test the maps of a run made without tests."""
    first, spec = job.plans[0], catalog.catalog().get(job.plans[0].model)
    help = f"Explain the same pictures again in the same way, and prove each map. {COST}"
    if (
        not first.prove
        and (spec is None or task_of(spec).provable)
        and st.button("Prove every map", icon=":material/fact_check:", type="tertiary", help=help)
    ):
        scratch = pictures.scratch()
        plans = tuple(
            replace(plan, folder=folder_for(job.source, plan.model, plan.options, scratch, prove=True), prove=True)
            for plan in job.plans
        )
        _run(BatchJob(job.source, plans, resume=bool(job.source.path)))
    help = "Test whether each map depends on the model, matters to the answer and holds still: about 60 passes."
    if not first.seal and st.button("Check every map", icon=":material/verified:", type="tertiary", help=help):
        _run(BatchJob(job.source, tuple(replace(plan, seal=True) for plan in job.plans)))


def _draw_result(job: BatchJob) -> None:
    if job.stopped:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(":material/pause_circle: Stopped: these are the finished pictures.")
            if st.button("Continue", icon=":material/play_arrow:", help="Explain the remaining pictures."):
                _run(BatchJob(job.source, job.plans))
    failed = job.status.summaries[0].failed
    if failed:
        with st.expander(f"{plural(len(failed), 'picture')} could not be used", icon=":material/broken_image:"):
            tables.table([{"picture": name, "why": why} for name, why in failed[:1000]])
    if not any(summary.done for summary in job.status.summaries):
        st.error("None of the pictures could be used: choose others.", icon=":material/error:")
        return
    if problem := state.of(Pictures).problem:
        st.error(sentence(problem), icon=":material/error:")
    if not views.draw_fit(job):
        views.line(job)
    if words := folders.describe_left_out(job):
        st.caption(words)
    folders.draw(job)
    lens = url_state.widget(
        st.segmented_control,
        "Lens",
        {name: label for name, (label, _) in LENSES.items()},
        "gallery",
        key="batch-lens",
        name="lens",
        label_visibility="collapsed",
        help="Every picture, right and wrong, each class's mean map, unusual maps, numbers.",
    )
    LENSES[lens][1](job)


batch()
