"""One record as it was kept: its picture under its maps, what was said of it, marks on it, and what to do with it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import Problem
from components.answer_list import Row, rows
from components.session import history_store, reopen
from components.viewer import Box, Map, Options, Panel, Scene, View, send_texts, viewer
from components.views import charts
from explain.methods import METHODS
from explain.phrases import NBSP, listing, megabytes, percent, pixels, plural
from pages.history import annotations as board
from pages.history.files import archive, files, marked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explain.history import Record, SavedMap
    from explain.maps.statistics import Statistics
    from explain.picture.image import Image

LOOK, MARK = "look", "mark"
ICONS = {"serious": "error", "caution": "warning", "note": "info"}


def show(record: Record, after: str | None) -> None:
    """The whole view; `after`: the record to turn to when this one is deleted."""
    image, maps = files(record)
    left, right = st.columns([3, 1], gap="medium")
    index = record.index if record.index < len(maps) else 0
    with right:
        if maps:
            st.markdown("##### What it said")
            items = [
                Row(item.label, item.score or 0.0, "" if item.score is None else percent(item.score)) for item in maps
            ]
            index = rows(items, key=f"history-rows-{record.id}", chosen=index)
            st.markdown("##### What the map says")
            numbers(maps[index])
        st.markdown("##### Your words")
        history_store.said(record, [record.id], key=f"history-{record.id}")
    with left:
        way = _way(record, maps)
        if way == MARK:
            board.marking(record.id, index)
        else:
            view = _viewer(record, image, maps, index)
            send_texts(view, [item.looks for item in maps], [None] * len(maps), key=f"history-words-{record.id}")
        _below(record, image, maps, index, after)


def _way(record: Record, maps: Sequence[SavedMap]) -> str:
    if not maps:
        return LOOK
    key = f"history-way-{record.id}"
    state = st.session_state
    begun = state.get(board.OPENED, {})
    if key not in state or (state[key] == LOOK and begun and begun["told"] != record.marks):
        # Come from elsewhere, or others drew while nobody looked here: it begins with what is kept now.
        state.pop(board.OPENED, None)
    # What was drawn is what is to be seen first.
    state.setdefault(key, MARK if record.marks else LOOK)
    return str(
        st.segmented_control(
            "Way",
            [LOOK, MARK],
            format_func={LOOK: ":material/visibility: Look", MARK: ":material/draw: Mark"}.__getitem__,
            key=key,
            required=True,
            label_visibility="collapsed",
            help="Look: the maps in the viewer, as they were. Mark: arrows, circles and words on the chosen one.",
        )
    )


def panel_map(item: SavedMap, record: Record, *, title: str | None = None, note: str | None = None) -> Map:
    """A kept map for the viewer, just as it was there."""
    return Map(
        title=title or item.label,
        note=note if note is not None else "" if item.score is None else percent(item.score),
        values=item.values,
        extent=item.extent,
        seen=item.seen,
        raw=item.raw,
        shared=item.shared,
        cells=item.cells,
        recipe=None if record.recipe is None else (record.recipe, record.view),
    )


def boxes(maps: Sequence[SavedMap], index: int) -> tuple[Box, ...]:
    return tuple(
        Box(p.box, f"{p.label} {percent(p.score)}", place, place == index)
        for place, item in enumerate(maps)
        for p in item.boxes
        if p.box is not None
    )


def _viewer(record: Record, image: Image, maps: Sequence[SavedMap], index: int) -> View:
    shown = [Panel(maps=tuple(_own(item, record, place) for place, item in enumerate(maps)))]
    if not maps:
        shown = [Panel(title="Picture", note=pixels(image.width, image.height))]
    scene = Scene(image.pixels, image.sha256, shown, boxes(maps, index), image.jpeg, record.picture_name)
    return viewer(scene, Options(beside=True), key=f"history-viewer-{record.id}")


def _own(item: SavedMap, record: Record, place: int) -> Map:
    found = panel_map(item, record)
    if found.recipe is None:
        return found
    how = record.view.model_copy(update={"index": place, "label": item.label[:200]})
    return replace(found, recipe=(found.recipe[0], how))


def numbers(item: SavedMap) -> None:
    """The numbers that say most about a map."""
    from explain.maps.statistics import MEANING

    if item.state != "ok":
        st.caption("There is nothing to measure on this map.")
        return
    found = item.statistics
    charts.metric(
        "Half of the heat is on", percent(found.half_heat_area), "of the visible area", MEANING["half_heat_area"]
    )
    charts.metric(
        "Heat near the edges",
        percent(found.border_share),
        f"on {percent(found.border_area)} of the area",
        MEANING["border_share"],
    )


def _below(record: Record, image: Image, maps: Sequence[SavedMap], index: int, after: str | None) -> None:
    # The sentence over the page is not said again.
    findings = [finding for finding in record.findings if finding.text != record.headline]
    if findings and index == record.index:
        lines = [f":material/{ICONS[finding.level]}: {finding.text}" for finding in findings]
        st.markdown("  \n".join(lines))
    with st.container(horizontal=True, vertical_alignment="center"):
        _open_again(record, image)
        _downloads(record, maps, index)
        _delete(record, after)
        _all(record, maps, index)
    st.caption(about(record))


def about(record: Record) -> str:
    """`demo-cls-m, GradCAM at layer4; kept 20 Nov 2026, 23:51 UTC; 1.2 MB.`"""
    return f"{asked(record)}; kept {history_store.exact(record.created)}; {size(record.bytes)}."


def asked(record: Record) -> str:
    """`demo-cls-m, GradCAM at layer4`."""
    found = METHODS.get(record.method)
    at = f" at {listing(list(record.layers))}" if record.layers and (found is None or found.family != "mask") else ""
    return f"{record.model}, {found.name if found else record.method}{at}"


def size(nbytes: int) -> str:
    """Of 1,000,000 bytes a MB, as the limit is given."""
    if nbytes < 1e5:
        return f"{nbytes / 1e3:,.0f}{NBSP}kB"
    return f"{nbytes / 1e6:,.1f}{NBSP}MB" if nbytes < 1e7 else megabytes(nbytes)


def _open_again(record: Record, image: Image) -> None:
    def take() -> None:
        assert record.recipe is not None
        try:
            reopen.result(image, record.recipe, record.view)
        except Problem as problem:
            st.session_state["history-problem"] = str(problem)

    st.button(
        "Open in Detect" if record.view.screen == "detect" else "Open in Explore",
        icon=":material/visibility:",
        on_click=take,
        disabled=record.recipe is None,
        help="The same picture, model, method, layers and class, where all can be changed; needs the model here.",
    )


def _downloads(record: Record, maps: Sequence[SavedMap], index: int) -> None:
    """Each file is made when it is asked for."""
    stem = record.picture_name.rsplit(".", 1)[0] or "record"
    if maps:
        st.download_button(
            "With marks, .png" if record.marks else "Picture, .png",
            partial(marked, record.id, index),
            file_name=f"{stem}-marked.png",
            mime="image/png",
            on_click="ignore",
            icon=":material/download:",
            key=f"history-marked-{record.id}",
            help="A PNG of the map with its marks, at the picture's own size; dropped on Explore, it opens this view "
            "again.",
        )
    st.download_button(
        "Everything, .zip",
        partial(archive, [record.id]),
        file_name=f"{stem}-{record.id}.zip",
        mime="application/zip",
        on_click="ignore",
        icon=":material/download:",
        key=f"history-everything-{record.id}",
        help="A zip with the picture, every map as numbers, the recipe, what was said, your note, tags and marks.",
    )


def _delete(record: Record, after: str | None) -> None:
    # A name of its own: what was opened for one record must not lie open under the pointer for the next.
    key = f"history-delete-{record.id}"
    with st.popover("Delete", icon=":material/delete:", key=key, help="Take it out of History; asks once more."):
        st.markdown(
            f"Delete it for good, with its note, tags and marks? This frees up to {size(record.bytes)}: what other "
            "records share stays."
        )
        st.button(
            "Delete for good",
            icon=":material/delete_forever:",
            on_click=delete,
            args=((record.id,), after),
            help="Cannot be undone.",
        )


def delete(ids: Sequence[str], after: str | None) -> None:
    """In a widget's callback: take them out, say what was freed, and turn to the next one."""
    state = st.session_state
    try:
        freed = history_store.store().delete(ids)
    except Problem as problem:
        state["history-problem"] = str(problem)
        return
    state["history-told"] = f"{plural(len(ids), 'record')} deleted, {size(freed)} freed."
    state["history-turn"] = secrets.token_hex(4)
    if after is None:
        st.query_params.pop("kept", None)
    else:
        st.query_params["kept"] = after


def _all(record: Record, maps: Sequence[SavedMap], index: int) -> None:
    if not st.button("All numbers", icon=":material/table_rows:", help="Every statistic, and the recipe."):
        return

    @st.dialog("All numbers", width="large", icon=":material/table_rows:")
    def window() -> None:
        if maps:
            st.markdown(f"##### {maps[index].label}")
            st.dataframe(side_by_side([("value", maps[index].statistics)]), hide_index=True, height=360)
        st.markdown("##### Recipe")
        if record.recipe is None:
            st.caption("The recipe of this record is damaged.")
            return
        from explain.export import command

        st.code(command.line(record.recipe), language="shell", wrap_lines=True)
        st.json(record.recipe.model_dump(mode="json"), expanded=False)

    window()


def side_by_side(found: Sequence[tuple[str, Statistics]]) -> Any:
    """Every number of one map or more in a table: its name, its value of each, its meaning."""
    import pandas as pd

    from explain.export.table import listed

    every = [(name, listed(statistics)) for name, statistics in found]
    return pd.DataFrame(
        [
            {"number": number, **{name: each[place][1] for name, each in every}, "meaning": meaning}
            for place, (number, _, meaning) in enumerate(every[0][1])
        ]
    )
