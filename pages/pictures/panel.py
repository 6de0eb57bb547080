"""One picture of a run with the maps of all models; it opens on another page, is saved, or becomes a slide."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import explain
from sightglass.batch import journal, table
from sightglass.batch.records import recipe as recipe_of
from sightglass.common.errors import Problem
from sightglass.components.saving import slides
from sightglass.components.session import history_store, page, reopen, state
from sightglass.components.session.markdown import escape, shorten
from sightglass.components.views.detections import Lookup, MissedPlace
from sightglass.deck import views as deck_views
from sightglass.explain.recipe import Recipe
from sightglass.explain.tasks import task_of
from sightglass.export import embedded_recipe
from sightglass.models import catalog
from sightglass.pages.pictures import results
from sightglass.pages.pictures.job import PicturesPage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.components.viewer import Look
    from sightglass.deck.scene import Scene
    from sightglass.evaluation.kinds import ErrorUnit
    from sightglass.explain.picture.image import Image
    from sightglass.pages.pictures.job import PicturesJob, RunPlan
    from sightglass.pages.pictures.results import Result

WIDE = 320
"""Pixels of the panel."""


def show(picture: str, unit: str = "") -> None:
    """Open the panel of a picture, or of an error in it, in a callback; close it without a name."""
    remembered = state.of(PicturesPage)
    remembered.opened, remembered.unit = picture, unit


def draw(job: PicturesJob, result: Result, place: int) -> None:
    """Draw the opened picture under the map of each model, and what can be done with it."""
    remembered = state.of(PicturesPage)
    key = remembered.opened
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"**{escape(shorten(PurePosixPath(key).name, 28))}**", width="content")
        st.button(
            "", icon=":material/close:", type="tertiary", key="pictures-close", help="Close", on_click=show, args=("",)
        )
    plan = result.plans[place]
    unit = results.find_unit(result.reports[place], remembered.unit)
    if unit is not None:
        st.markdown(escape(unit.words))
    row = _find_row(result.frames[place], key)
    if row is None:
        return
    with st.container(horizontal=True):
        act, about = (_open, row) if unit is None else (_open_unit, unit)
        st.button("Open in Explore", key="pictures-explore", on_click=act, args=(job, plan, about))
        if not history_store.off():
            icon = ":material/bookmark_add:"
            st.button("Save", icon=icon, key="pictures-save", on_click=_save, args=(job, plan, row))
    page.say_problem(remembered)
    wide = WIDE if len(result.plans) == 1 else (WIDE - 16) // 2
    with st.container(horizontal=True):
        for by, frame, name in zip(result.plans, result.frames, result.names, strict=True):
            if (row := _find_row(frame, key)) is not None:
                with st.container(width=wide, gap="xxsmall"):
                    _draw_map(by, row, name)


def _find_row(frame: Any, key: str) -> Json | None:
    return next(iter(frame[frame["picture"].eq(key)].to_dict("records")), None)


def _draw_map(plan: RunPlan, row: Json, name: str) -> None:
    scores = table.read_scores(plan.folder)
    words = results.describe_row(row, scores, task_of(scores.task).no_answer)
    try:
        st.image((plan.folder / row["file"]).read_bytes(), width="stretch", alt=f"Its map by {name}")
    except OSError:
        st.caption("The map's image was deleted: run it again.")
    st.markdown(f":small[{escape(name)}  \n{words}]")


def _open(job: PicturesJob, plan: RunPlan, row: Json) -> None:
    """Open the picture on Explore as it was explained in the run."""
    label = row.get("label")
    view = embedded_recipe.Look(
        label=label[:200] if isinstance(label, str) else None, automatic=not plan.options.get("layers")
    )
    try:
        reopen.result(job.find_item(row["picture"]).open(), recipe_of(journal.settings_of(plan.folder), row), view)
    except Problem as problem:
        state.of(PicturesPage).problem = str(problem)


def _open_unit(job: PicturesJob, plan: RunPlan, unit: ErrorUnit) -> None:
    """Open an error of a detector where its map is; an object that was missed is asked about there."""
    task = task_of(catalog.spec(plan.model))
    answer = unit.answer
    try:
        image = job.find_item(unit.picture.key).open()
        index, anchor = (None, None) if answer is None else (answer.index, answer.anchor)
        recipe = Recipe.model_validate(
            {
                **journal.settings_of(plan.folder)["recipe"],
                "picture_sha256": image.sha256,
                "picture_name": PurePosixPath(unit.picture.key).name,
                **task.recipe_of(index, anchor),
            }
        )
        label = answer.label[:200] if answer is not None else None
        reopen.result(image, recipe, embedded_recipe.Look(label=label, screen=task.screen))
    except Problem as problem:
        state.of(PicturesPage).problem = str(problem)
        return
    if answer is None and unit.truth is not None:
        _ask_about(plan, unit, image)


def _ask_about(plan: RunPlan, unit: ErrorUnit, image: Image) -> None:
    """Let the page of boxes say why an object has none."""
    assert unit.truth is not None
    x0, y0, x1, y1 = (float(round(edge)) for edge in unit.truth.box)
    known = unit.truth.label in table.classes(plan.folder)
    lookup = state.of(Lookup)
    # Else what the address asks about would come instead.
    lookup.read = True
    model = catalog.spec(plan.model).id
    lookup.place = MissedPlace((image.sha256, model), (x0, y0, x1, y1), unit.truth.label if known else None)


def _save(job: PicturesJob, plan: RunPlan, row: Json) -> None:
    """Explain a picture from its recipe and save it, in a callback."""
    try:
        item = job.find_item(row["picture"])
    except Problem as problem:
        state.of(PicturesPage).problem = str(problem)
        return
    history_store.keep_again(item.open, recipe_of(journal.settings_of(plan.folder), row))


def draw_slides_button(job: PicturesJob, result: Result, place: int, selected: Sequence[str]) -> None:
    """Draw the button that makes a slide of each selected picture."""
    rows = result.frames[place].set_index("picture", drop=False)
    plan = result.plans[place]

    def make(row: Json, _look: Look) -> Scene:
        recipe = recipe_of(journal.settings_of(plan.folder), row)
        return deck_views.of_map(explain.replay(recipe, job.find_item(row["picture"]).open()), 0)

    slides.button("pictures", *(partial(make, rows.loc[picture].to_dict()) for picture in selected))
