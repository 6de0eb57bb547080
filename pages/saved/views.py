"""Search, open and delete saved views."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.components.choices import gallery_picker
from sightglass.components.saving import slides
from sightglass.components.session import history_store, page, reopen, state, url_state
from sightglass.components.session.markdown import escape, sentence
from sightglass.components.views import charts
from sightglass.explain.phrases import plural
from sightglass.pages.saved import record as record_view
from sightglass.pages.saved.record import Browsing, archive, size, untick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.history import Record, SearchResult, Storage

FILTERS = {
    "by-model": ("model", "Model", "Only this model."),
    "said": ("label", "Class", "Only records with this prediction, or a map of this class."),
    "tagged": ("tag", "Tag", "Only records with this tag."),
}
"""What a search is narrowed by, by its parameter in the address; its widget is keyed `saved-` and that."""
SPANS = {"": "any time", "day": "24 hours", "week": "7 days", "month": "30 days", "year": "a year"}
LENGTHS = {"day": 1, "week": 7, "month": 30, "year": 365}
"""In days."""
PAGE, MAX_SHOWN = 24, 1000
"""Records that are added by *Show more*, and at most: beyond that, a search helps."""
MAX_EXPORT = 250_000_000
"""Bytes of files in one archive: it is made in memory."""
UNDO = 60.0
"""Seconds for which a deletion can be undone, as in the store."""


def draw() -> None:
    """Draw all views, or the one that the address names."""
    try:
        storage = history_store.store().storage()
    except Problem as problem:
        st.markdown("## Nothing can be saved here")
        st.error(sentence(problem), icon=":material/error:")
        return
    _offer_undo()
    if id := st.query_params.get("kept"):
        _open(id)
    elif storage.count:
        _all(storage)
    else:
        _empty()


def _open(id: str) -> None:
    """Draw one record; offer to delete a damaged one."""
    with st.container(gap=None):
        icon, help = ":material/arrow_back:", "Back to all views."
        st.button("All views", icon=icon, type="tertiary", on_click=record_view.close, help=help)
        title = st.container()
    record = None
    try:
        record = history_store.store().get(id)
        record_view.show(record, title)
    except Problem as problem:
        title.markdown("## This view cannot be shown")
        st.error(sentence(problem), icon=":material/error:")
        if record is not None:
            record_view.draw_delete([id], key=f"saved-delete-{id}")


def _offer_undo() -> None:
    """Draw the button for undoing the last deletion."""
    browsing = state.of(Browsing)
    if not browsing.removed or browsing.removed_at + UNDO <= time.monotonic():
        return

    def undo() -> None:
        ids, browsing.removed = browsing.removed, ()
        try:
            history_store.store().put_back(ids)
        except Problem as problem:
            browsing.problem = str(problem)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f":material/delete: {plural(len(browsing.removed), 'view')} deleted.", width="content")
        help = "Bring back what was deleted, within a minute."
        st.button("Undo", icon=":material/undo:", key="saved-undo", on_click=undo, help=help)


def _empty() -> None:
    st.markdown("## Nothing saved yet")
    st.markdown("Press **Save** below a map: the picture, its maps, the answers and all numbers are then here.")
    st.page_link(
        page.script("explore"), label="Go to Explore", icon=":material/visibility:", help="Explain a picture there."
    )
    _where()


def _where(used: str = "") -> None:
    folder = history_store.store().folder
    seen = "Everyone who opens this dashboard can see it."
    if users.owner():
        seen = "On this dashboard only you see it; whoever runs that machine can read the folder."
    st.caption(f":material/folder: {used}Saved in {folder} on the machine that runs this page. {seen}")


def _all(storage: Storage) -> None:
    """Draw search, actions and tiles of all records."""
    st.markdown(f"## {plural(storage.count, 'saved view')}")
    browsing = state.of(Browsing)
    page.say_problem(browsing)
    chosen = _filters()
    if browsing.filters != chosen:
        browsing.filters, browsing.pages = chosen, 1
    limit, length = min(MAX_SHOWN, PAGE * browsing.pages), LENGTHS.get(chosen.pop("saved"))
    since = datetime.now(UTC) - timedelta(days=length) if length else None
    result = history_store.store().search(**chosen, since=since, limit=limit)
    with st.container(horizontal=True, vertical_alignment="center"):
        _actions(result)
    with st.container(horizontal=True, key="saved-tiles"):
        for record in result.records:
            _tile(record)
    if len(result.records) < min(result.total, MAX_SHOWN):

        def more() -> None:
            browsing.pages += 1

        left = f"Show more ({result.total - len(result.records)} left)"
        st.button(left, icon=":material/expand_more:", on_click=more, help=f"Show {PAGE} more.")
    _where(f"{size(storage.bytes)} of {size(storage.limit)} used. ")


def _filters() -> dict[str, Any]:
    """Draw search and filters; return the arguments of the search."""
    choices = history_store.store().choices()
    chosen: dict[str, Any] = {}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen["text"] = url_state.widget(
            st.text_input,
            "Find",
            None,
            "",
            key="saved-find",
            name="find",
            icon=":material/search:",
            placeholder="a class, a note, a name",
            width=230,
            help="Words that all occur in predictions, notes, tags and marks, or in names of pictures and models.",
        )
        for name, (field, label, help) in FILTERS.items():
            counts = getattr(choices, f"{field}s")
            options = {"": "any", **{word: f"{word} ({count})" for word, count in counts.items()}}
            chosen[field] = _choose(name, label, options, help) or None
        chosen["saved"] = _choose("saved", "Saved", SPANS, "Only records that were saved then.")
    return chosen


def _choose(name: str, label: str, options: dict[str, str], help: str) -> str:
    first, key = next(iter(options)), f"saved-{name}"
    return url_state.widget(st.selectbox, label, options, first, key=key, name=name, width=170, help=help)


def _clear() -> None:
    for name in ("find", "saved", *FILTERS):
        url_state.put(f"saved-{name}", "")
        st.query_params.pop(name, None)


def _actions(result: SearchResult) -> None:
    """Draw the actions for the ticked records, or for all that are shown."""
    browsing, store = state.of(Browsing), history_store.store()
    if not result.total:
        st.caption(":material/filter_alt_off: Nothing matches.", width="content")
        st.button("Show all", on_click=_clear, icon=":material/filter_alt_off:", help="Clear search and filters.")
    records = {record.id: record for record in result.records}
    ticked: list[Record] = []
    for id in [*browsing.ticked]:
        try:
            # One that the filters hide stays ticked.
            ticked.append(records.get(id) or store.get(id))
        except Problem:
            browsing.ticked.remove(id)  # deleted elsewhere
    if ticked:
        st.caption(f"{len(ticked)} selected", width="content")
        apart = len(ticked) == 2 and not any(record.pair for record in ticked) and _differ(*ticked)
        help = "Tick two views: of one picture by two models, or of two pictures."
        compare = partial(_compare, *ticked)
        st.button("Compare", icon=":material/compare:", disabled=not apart, on_click=compare, help=help)
        slides.button("saved", *(partial(record_view.make_slide, record) for record in ticked))
        record_view.draw_delete([record.id for record in ticked], key="saved-delete")
        st.button("Deselect", icon=":material/close:", type="tertiary", on_click=untick, help="Clear the selection.")
    _export(ticked or result.records, "Export" if ticked else "Export all")
    slides.draw_added_link("saved")


def _differ(one: Record, other: Record) -> bool:
    return (one.picture_sha256, one.model) != (other.picture_sha256, other.model)


def _compare(one: Record, other: Record) -> None:
    """Open two records on Compare, in a callback: the models on one picture, or the two pictures."""
    store = history_store.store()
    try:
        if one.picture_sha256 == other.picture_sha256:
            assert one.recipe is not None
            reopen.models(store.picture(one), one.recipe, one.view, [one.model, other.model])
        else:
            reopen.pictures(one.model, store.picture(one))
            gallery_picker.compare_with(store.picture(other))
    except Problem as problem:
        state.of(Browsing).problem = str(problem)


def _export(records: Sequence[Record], label: str) -> None:
    """Draw the download of records as an archive made on request."""
    if not records:
        return
    if (total := sum(record.bytes for record in records)) > MAX_EXPORT:
        st.caption(f"To export, tick at most {size(MAX_EXPORT)}: these are {size(total)}.", width="content")
        return
    help = f"A zip with a folder for each of {plural(len(records), 'view')}: picture, raw maps, numbers and notes."
    make, file = partial(archive, [record.id for record in records]), f"saved-{len(records)}.zip"
    icon, key = ":material/download:", f"saved-export-{label}"
    charts.download(f"{label}, .zip", make, file, key=key, help=help, icon=icon)


def _tile(record: Record) -> None:
    """Draw a record's picture, its answer and what was written on it."""
    browsing, key = state.of(Browsing), f"saved-tick-{record.id}"

    def tick() -> None:
        browsing.ticked = [id for id in browsing.ticked if id != record.id]
        browsing.ticked += [record.id] if st.session_state[key] else []

    with st.container(width=240, gap="xsmall", key=f"saved-tile-{record.id}"):
        try:
            st.image(history_store.store().thumbnail(record), width="stretch", alt="The saved picture under its map")
        except Problem:
            st.caption(":material/broken_image:")
        title = record_view.title(record)
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.session_state[key] = record.id in browsing.ticked
            about = escape(f"Select: {record.picture_name}, {title}")
            st.checkbox(about, key=key, on_change=tick, label_visibility="collapsed", width="content")
            st.button(
                escape(title),
                key=f"saved-open-{record.id}",
                type="tertiary",
                on_click=lambda: st.query_params.update(kept=record.id),
                help=f"{escape(record.picture_name)}, {escape(record_view.describe(record))}",
            )
        tags = " ".join(f":gray-badge[{escape(tag)}]" for tag in record.tags)
        drawn = ":material/draw:" if record.marks else ""
        st.caption(" ".join(filter(None, (record.model, history_store.when(record.created), drawn, tags))))
        if text := record.damaged or record.note:
            st.caption(f"*{escape(' '.join(text.split())[:80])}*")
