"""Draw the record of two compared pictures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.common.files import file_stem, jsonable
from sightglass.components.choices import gallery_picker
from sightglass.components.session import history_store, reopen, state
from sightglass.components.session.markdown import escape
from sightglass.components.views import charts, comparisons
from sightglass.explain.phrases import plural
from sightglass.export import similarity_files
from sightglass.history import pairs
from sightglass.pages.history import record as record_view
from sightglass.pages.history.annotations import pair, render_pair

if TYPE_CHECKING:
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.history import Record

LISTED = 10
"""Pictures of the gallery that are listed."""


def show(record: Record) -> None:
    """Draw the record."""
    found, context = pair(record), pairs.context_of(record)
    left, right = st.columns([3, 1], gap="medium")
    with left:
        comparisons.similarity_maps(found, key=f"history-pair-maps-{record.id}")
        with st.container(horizontal=True, vertical_alignment="center"):
            _open_again(record, found)
            _downloads(record)
            record_view.confirm_record_deletion(record)
            _all(record, found)
        st.caption(record_view.about(record))
    with right:
        comparisons.similarity_meaning(found, context)
        _ranking(record)
        st.markdown("### Note and tags")
        history_store.edit_note(record, [record.id], key=f"history-{record.id}")
        for note in record.notes:
            st.caption(f":material/info: {note}")


def _ranking(record: Record) -> None:
    """Draw the gallery that the second picture is of, as it was ranked."""
    if (found := record.pair) is None or not found.ranking:
        return
    with st.expander(f"Rank {found.rank} of {plural(len(found.ranking), 'picture')}"):
        for place, (name, score) in enumerate(found.ranking[:LISTED], 1):
            words = f"{place}. {escape(name)} {score:.2f}"
            st.caption(f"**{words}**" if place == found.rank else words)
        if len(found.ranking) > LISTED:
            st.caption(f"The first {LISTED}; all of them are in the zip.")


def _open_again(record: Record, found: Similarity) -> None:
    def take() -> None:
        try:
            reopen.pair(found)
        except Problem as problem:
            state.of(record_view.Browsing).problem = str(problem)
        else:
            gallery_picker.take(found.gallery.image)

    st.button(
        "Open in Similarity",
        icon=":material/compare_arrows:",
        on_click=take,
        help="Open the same two pictures, model, method and layers there; the model must be on this machine.",
    )


def _downloads(record: Record) -> None:
    stem = file_stem(record.picture_name.rsplit(".", 1)[0])
    charts.download(
        "Picture, .jpg",
        partial(render_pair, record.id),
        f"{stem}-similarity.jpg",
        icon=":material/download:",
        key=f"history-drawn-{record.id}",
        help="Both pictures under their maps, with the score.",
    )
    what = "both pictures, the raw maps, the matches, all numbers, your note and tags"
    record_view.everything(record, stem, what)


def _all(record: Record, found: Similarity) -> None:
    if not st.button("All numbers", icon=":material/table_rows:", help="Every number, and the command."):
        return

    @st.dialog("All numbers", width="large", icon=":material/table_rows:")
    def window() -> None:
        st.code(pairs.command(record), language="shell", wrap_lines=True)
        st.json(jsonable(similarity_files.summary(found, pairs.context_of(record))))

    window()
