"""Errors: where a model goes wrong on labelled pictures."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.saving import slides
from sightglass.components.session import page, reopen, state, url_state
from sightglass.components.session.markdown import escape, sentence
from sightglass.components.views import charts
from sightglass.deck import rows as deck_rows
from sightglass.deck.rows import GalleryTile
from sightglass.evaluation.errors import ALL, draw_tile, list_rows, write_table
from sightglass.explain.phrases import percent, plural
from sightglass.explain.picture.image import Image
from sightglass.pages.errors import gallery
from sightglass.pages.errors.gallery import ErrorsView

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.components.viewer import Look
    from sightglass.deck.scene import Scene
    from sightglass.pages.errors.gallery import LabelledRun

TYPE, CLASS = "errors-type", "errors-class"
SIDE = 480
"""Pixels of a square tile on a slide."""


@page.guard
def errors() -> None:
    reopen.go()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        title = st.container(width="content")
        bar = st.container(horizontal=True, width="content", vertical_alignment="center")
    with bar:
        name = gallery.choose()
    try:
        with st.spinner("Reading the run…", show_time=False):
            run = gallery.open_run(name)
    except Problem as problem:
        title.markdown("## Where a model goes wrong")
        st.error(sentence(problem), icon=":material/error:")
        _lead_to_batch()
        return
    _draw_run(run, title, bar)


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
        _draw_actions(run)
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.example:
            page.draw_example_badge()
        st.caption(escape(report.counts), width="content")
        if run.example:
            _lead_to_batch()
    if words := run.evaluation.left_out:
        st.caption(f":material/help: {escape(words)}")
    page.say_problem(state.of(ErrorsView))
    gallery.say_missing(run)
    if not report.errors:
        st.success("There is no error in these pictures.", icon=":material/check:")
        return
    kind, label = _choose(run)
    rows = report.select(kind, label)
    group = next((error_type for error_type in report.types if error_type.id == kind), None)
    words = f"{len(rows):,}: {group.meaning}." if group else f"{plural(len(rows), 'error')}: {run.task.error_order}."
    if not rows:
        st.caption(f":material/check: There is no error of this kind about {escape(label)}.")
        return
    gallery.draw(run, rows, words, f"{kind}-{label}")


def _choose(run: LabelledRun) -> tuple[str, str]:
    """Draw and return the type and class; `ALL`, empty: all."""
    groups = sorted((kind for kind in run.report.types if kind.count), key=lambda kind: -kind.count)
    kinds = {ALL: f"All {len(run.report.errors):,}"} | {group.id: f"{group.name} {group.count:,}" for group in groups}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = url_state.widget(
            st.segmented_control, "Errors", kinds, ALL, key=TYPE, name="type", help="Which errors are shown below."
        )
        label = url_state.widget(
            st.selectbox,
            "Class",
            {"": "any"} | {name: name for name in run.report.labels},
            "",
            key=CLASS,
            name="about",
            width=220,
            help="Only errors about this class: by its label, or where nothing is labelled by the answer.",
        )
    return kind, label


def _draw_actions(run: LabelledRun) -> None:
    """Draw *Add to deck*, and the menu of downloads."""
    if run.items and run.report.errors:
        slides.button("errors", partial(make_slide, run))
    with st.popover("Download", icon=":material/download:", help="Every labelled object and every wrong box, as data."):
        about = run.task.error_rows
        rows = partial(list_rows, run.report.units)
        for suffix, make in (
            ("csv", lambda: write_table(rows(), "csv")),
            ("parquet", lambda: write_table(rows(), "parquet")),
            ("json", lambda: json.dumps(rows()).encode()),
        ):
            file = f"errors.{suffix}"
            charts.download(f"Table, .{suffix}", make, file, type="tertiary", key=f"errors-get-{file}", help=about)
    slides.draw_added_link("errors")


def make_slide(run: LabelledRun, _look: Look) -> Scene:
    """Return the headline's slide with errors of the chosen kind."""
    report = run.report
    rows = report.select(str(url_state.memory(TYPE) or ALL), str(url_state.memory(CLASS) or ""))
    pictures = []
    for unit in rows[: deck_rows.GALLERY]:
        try:
            pixels = run.open(unit.picture.key).pixels
        except Problem:
            continue
        pictures.append(GalleryTile(Image(draw_tile(pixels, unit, (SIDE, SIDE)), unit.picture.key), unit.words))
    if not pictures:
        raise Problem("None of the pictures can be opened: put them back where they were.")
    numbers = [
        (f"{kind.count:,}", kind.name.lower())
        for kind in sorted(report.types, key=lambda kind: -kind.count)
        if kind.count
    ]
    footer = run.evaluation.model
    if run.task.has_boxes:
        footer = f"{footer}, threshold {percent(run.evaluation.threshold)}"
    return deck_rows.of_gallery(f"{report.headline}.", report.counts, numbers, pictures, footer)


errors()
