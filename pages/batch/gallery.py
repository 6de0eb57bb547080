"""Gallery of a run's pictures, sorted and filtered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.batch import analysis, journal, labels
from sightglass.batch.table import read_scores
from sightglass.common.errors import Problem
from sightglass.components.saving import slides
from sightglass.components.session import state, url_state
from sightglass.deck import rows as deck_rows
from sightglass.explain.phrases import plural
from sightglass.pages.batch import views
from sightglass.pages.batch.job import Batch, frame_of_job
from sightglass.pages.batch.tiles import actions, tiles

if TYPE_CHECKING:
    from sightglass.components.viewer import Look
    from sightglass.deck.scene import Scene
    from sightglass.explain.picture.image import Image
    from sightglass.pages.batch.job import BatchJob

    Frame = Any

PAGE = 24
ORDERS = {
    "iou": "Lowest mean IoU",
    "unsure": "Lowest confidence",
    "error": "Largest error",
    "smallest": "Smallest number",
    "largest": "Largest number",
    "border": "Most evidence at the edges",
    "apart": "Largest disagreement between the models",
    "random": "Weakest against random places",
    "seal": "Fewest tests passed",
    "close": "Smallest margin",
    "scattered": "Most scattered evidence",
    "pointed": "Most concentrated evidence",
    "sure": "Highest confidence",
    "source": "Original order",
}
ONLY = {
    "wrong": "Prediction differs from the label",
    "right": "Prediction matches the label",
    "unsure": "Score below 50 %",
    "apart": "The two models disagree",
    "unproved": "Maps not to trust",
    "unsealed": "Maps that fail a test",
}
NEEDED = {
    "iou": "mean_iou",
    "error": "error",
    "apart": "disagreement",
    "random": "over_random",
    "unproved": "verdict",
    "seal": "seal",
    "unsealed": "seal",
}
"""The column without which an order, or a filter, is not offered."""


def draw(job: BatchJob) -> None:
    """Draw the pictures under their maps, filtered and sorted, a page at a time."""
    found = frame_of_job(job)
    orders, only = _list_orders(job, found), {"all": "All"}
    for name, label in ONLY.items():
        if NEEDED.get(name, "picture") in found and not analysis.filter_rows(found, only=name).empty:
            only[name] = label
    if not read_scores(job.plans[0].folder).sure:
        only.pop("unsure", None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = url_state.widget(
            st.selectbox,
            "Sort",
            orders,
            first_order(job, found),
            key="batch-order",
            name="order",
            width=250,
            help="Which pictures come first.",
        )
        shown = url_state.widget(
            st.selectbox,
            "Show",
            only,
            "all",
            key="batch-only",
            name="only",
            width=210,
            help="Show only some. Without other labels a folder's name is the correct class, where the model knows it. "
            "Maps not to trust: hiding what they show changes no more than hiding other places.",
        )
        predicted = st.selectbox(
            "Prediction",
            [None, *sorted(found["predicted"].dropna().unique())],
            format_func=lambda name: name or "any",
            key="batch-class",
            width=190,
            help="Only pictures with this prediction.",
        )
        tag = _choose_tag(job)
        text = st.text_input(
            "Name",
            key="batch-text",
            width=150,
            placeholder="part of it",
            help="Only pictures with this in their name or folder.",
        )
    chosen = analysis.filter_rows(found, only=shown, predicted=predicted, text=text.strip(), tag=tag)
    chosen = analysis.order(chosen, order)
    many = len(chosen)
    if not many:
        st.info("No picture matches: show all, or clear the name.", icon=":material/filter_alt_off:")
        return
    pages = -(-many // PAGE)
    page = 1
    if pages > 1:
        page = int(st.pagination(pages, key=f"batch-page-{order}-{shown}-{predicted}-{text}-{tag}"))
    rows = chosen.iloc[PAGE * (page - 1) : PAGE * page]
    st.caption(f"{many:,} of {plural(len(found), 'picture')}; {PAGE * (page - 1) + 1} to {min(PAGE * page, many)}.")
    batch = state.of(Batch)
    batch.shown, batch.sorted_by = list(rows["picture"]), ORDERS[order] if order != "source" else ""
    actions(job, batch.shown)
    tiles(job, rows, "gallery", order, found)


def first_order(job: BatchJob, found: Frame) -> str:
    """Return the order in which a run's pictures are shown at first."""
    orders = _list_orders(job, found)
    return next(name for name in ("unsure", "iou", "error", "smallest", "source") if name in orders)


def _list_orders(job: BatchJob, found: Frame) -> dict[str, str]:
    scores = read_scores(job.plans[0].folder)
    left_out = (
        *(() if scores.sure else ("unsure", "sure", "close")),
        *(() if scores.numbers else ("smallest", "largest")),
    )
    return {
        name: label for name, label in ORDERS.items() if NEEDED.get(name, "picture") in found and name not in left_out
    }


def _choose_tag(job: BatchJob) -> str | None:
    """Draw the choice of a tag, where there are any."""
    counts = {name: len(every) for name, every in labels.read_tags(job.plans[0].folder).items()}
    if not counts:
        return None
    return st.selectbox(
        "Tag",
        [None, *counts],
        format_func=lambda name: f"{name} ({counts[name]})" if name else "any",
        key="batch-tag",
        width=150,
        help="Only pictures with this tag.",
    )


def draw_slide_button(job: BatchJob) -> None:
    """Draw *Add to deck* for the run: its numbers with the ticked pictures, else with the first ones of the gallery."""

    def draft(_look: Look) -> Scene:
        return _make_slide(job)

    slides.button("batch-run", draft)
    slides.draw_added_link("batch-run")


def _make_slide(job: BatchJob) -> Scene:
    every, batch = frame_of_job(job), state.of(Batch)
    table = every.set_index("picture", drop=False)
    chosen = [picture for picture in batch.selected if picture in table.index]
    which = "Pictures chosen by hand." if chosen else ""
    if not chosen:
        # What the gallery showed last; before it was ever open, its own beginning.
        chosen = [picture for picture in batch.shown if picture in table.index]
        which = f"Shown: {batch.sorted_by.lower()} first." if chosen and batch.sorted_by else ""
    if not chosen:
        order = first_order(job, every)
        chosen = list(analysis.order(every, order)["picture"])
        which = "" if order == "source" else f"Shown: {ORDERS[order].lower()} first."
    items = {item.key: item for item in job.source.items}

    def open_picture(picture: str) -> Image:
        if picture not in items:
            raise Problem(f"{picture} is not among the pictures any more: choose them again.")
        return items[picture].open()

    rows = table.loc[chosen].to_dict("records")
    about = f"{views.describe_run(job)}."
    return deck_rows.of_run(every, rows, open_picture, journal.settings_of(job.folders[0]), which=which, about=about)
