"""Selected pictures of a run: tag, export, add to a deck."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass import explain
from sightglass.batch import analysis, journal, labels
from sightglass.batch.records import recipe as recipe_of
from sightglass.common.errors import Problem
from sightglass.components.saving import slides
from sightglass.components.session import state
from sightglass.components.session.markdown import sentence
from sightglass.components.views import charts
from sightglass.deck import views as deck_views
from sightglass.explain.phrases import plural
from sightglass.pages.batch.job import Batch, frame_of_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.deck.scene import Scene
    from sightglass.pages.batch.job import BatchJob


def draw_tick(picture: str, where: str) -> None:
    """Draw the box that selects a picture; the same picture may be shown in several places."""
    key = f"pick-{where}-{picture}"
    st.session_state[key] = picture in state.of(Batch).selected
    st.checkbox(
        f"Select {picture}",
        key=key,
        label_visibility="collapsed",
        on_change=_toggle,
        args=(picture,),
        help="Select, to tag, export or present.",
    )


def _toggle(picture: str) -> None:
    selected = state.of(Batch).selected
    if picture in selected:
        selected.remove(picture)
    else:
        selected.append(picture)


def actions(job: BatchJob, shown: Sequence[str]) -> None:
    """Draw what can be done with the selected pictures; `shown`: those that are below."""
    batch, folder = state.of(Batch), job.plans[0].folder
    rows = frame_of_job(job).set_index("picture", drop=False)
    # Of another run they are none of these.
    selected = batch.selected = [picture for picture in batch.selected if picture in rows.index]
    with st.container(horizontal=True, vertical_alignment="center"):
        if not {*shown} <= {*selected}:
            st.button(
                f"Select these {len(shown)}" if len(shown) > 1 else "Select this one",
                icon=":material/check_box:",
                type="tertiary",
                key="batch-select",
                on_click=_select,
                args=(tuple(shown),),
                help="Select all pictures that are shown below, to tag, export or present them.",
            )
        if not selected:
            return
        st.caption(f"{len(selected):,} selected", width="content")
        if not job.example:
            _tag(job)
        charts.download(
            "Export, .zip",
            partial(analysis.pack_some, folder, tuple(selected)),
            "selected.zip",
            icon=":material/download:",
            key="batch-export",
            help=f"{plural(len(selected), 'picture')} under their maps, the raw maps, and their rows of the table.",
        )
        slides.button_for_several(
            "batch", [partial(_make_slide, job, rows.loc[picture].to_dict()) for picture in selected]
        )
        st.button(
            "Deselect",
            icon=":material/close:",
            type="tertiary",
            key="batch-deselect",
            on_click=_select,
            args=((),),
            help="Clear the selection.",
        )
        slides.draw_added_link("batch")
    problem, batch.problem = batch.problem, ""
    if problem:
        st.error(sentence(problem), icon=":material/error:")


def _select(pictures: Sequence[str]) -> None:
    batch = state.of(Batch)
    batch.selected = list(dict.fromkeys((*batch.selected, *pictures))) if pictures else []


def _tag(job: BatchJob) -> None:
    folder = job.plans[0].folder
    with st.popover("Tag", icon=":material/sell:", key="batch-tag-selected", help="Give the selected pictures a tag."):
        known = ", ".join(labels.read_tags(folder))
        st.text_input(
            "Tag",
            key="batch-tag-name",
            placeholder=known or "blurred",
            help=f"A keyword of your own, at most {labels.LONGEST_TAG} characters. It is kept beside the table.",
        )
        for label, there, icon in (("Add the tag", True, "add"), ("Remove the tag", False, "remove")):
            st.button(
                label,
                icon=f":material/{icon}:",
                key=f"batch-tag-{icon}",
                on_click=_change_tag,
                args=(job, there),
                help="To all selected pictures." if there else "From all selected pictures.",
            )


def _change_tag(job: BatchJob, there: bool) -> None:
    batch = state.of(Batch)
    try:
        labels.change_tag(
            job.plans[0].folder, str(st.session_state.get("batch-tag-name") or ""), batch.selected, there=there
        )
    except Problem as problem:
        batch.problem = str(problem)
    except OSError as error:
        batch.problem = f"The tag cannot be saved ({error.strerror or error}): free some room, then try again."


def _make_slide(job: BatchJob, row: Json) -> tuple[Scene, Sequence[str]]:
    """Return the slide of a picture, explained again from its recipe."""
    item = job.find_item(row["picture"])
    if item is None:
        raise Problem(f"{row['picture']} is not among the pictures any more: choose them again.")
    made = explain.replay(recipe_of(journal.settings_of(job.folders[0]), row), item.open())
    return deck_views.of_map(made, 0), ()
