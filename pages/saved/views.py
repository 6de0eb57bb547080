"""Search, open, compare and delete saved views."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.explain.phrases import megabytes, plural
from sightglass.history.store import UNDO
from sightglass.pages.saved import record as record_view
from sightglass.pages.saved.record import Browsing
from sightglass.ui.choices import gallery_picker
from sightglass.ui.saving import slides
from sightglass.ui.session import history_store, page, reopen, state, url_state
from sightglass.ui.session.markdown import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.history import Record, SearchResult, Storage

FILTERS = {"by-model": ("model", "Any model"), "said": ("label", "Any class"), "tagged": ("tag", "Any tag")}
"""What a search is narrowed by, by its parameter in the address; its widget is keyed `saved-` and that."""
SPANS = {"": "Any date", "day": "24 hours", "week": "7 days", "month": "30 days", "year": "A year"}
DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
PAGE = 24
BLANK = np.zeros((3, 4, 4), np.uint8)
"""The transparent picture of a tile without one."""


def draw() -> None:
    """Draw all views, or the one that the address names."""
    storage = history_store.store().storage()
    _offer_undo()
    if id := st.query_params.get("kept"):
        record_view.draw(id)
    elif storage.count:
        _draw_all(storage)
    else:
        st.markdown("## Nothing saved yet")
        st.markdown("Press **Save** below a map: the picture, its maps, the answers and all numbers are then here.")
        st.page_link(page.script("explore"), label="Go to Explore", icon=":material/visibility:")
        _draw_place(storage)


def _offer_undo() -> None:
    """Draw the button for undoing the last deletion."""
    browsing = state.of(Browsing)
    if not browsing.removed or browsing.removed_at + UNDO <= time.monotonic():
        return

    @page.keeping_problem()
    def undo() -> None:
        ids, browsing.removed = browsing.removed, ()
        history_store.store().put_back(ids)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f":material/delete: {plural(len(browsing.removed), 'view')} deleted.", width="content")
        help = "Bring back what was deleted, within a minute."
        st.button("Undo", icon=":material/undo:", key="saved-undo", on_click=undo, help=help)


def _draw_place(storage: Storage) -> None:
    folder, used = history_store.store().folder, f"{megabytes(storage.bytes)} of {megabytes(storage.limit)} used."
    seen = "Everyone who opens this dashboard can see it."
    if users.owner():
        seen = "On this dashboard only you see it; whoever runs that machine can read the folder."
    st.caption(f":material/folder: {used} Saved in {folder} on the machine that runs this page. {seen}")


def _draw_all(storage: Storage) -> None:
    """Draw search, actions and tiles of all records."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"## {plural(storage.count, 'saved view')}", width="content")
        actions = st.container(horizontal=True, width="content", vertical_alignment="center")
    page.say_problem()
    chosen = _draw_filters()
    tiles, below = grid(), st.container()
    store, number = history_store.store(), 1
    result = store.search(**chosen, limit=PAGE)
    if result.total > PAGE:
        with below:
            pages = -(-result.total // PAGE)
            number = int(st.pagination(pages, key=f"saved-page-{hash(tuple(chosen.values())) & 0xFFFFFF}"))
        result = store.search(**chosen, limit=PAGE, offset=PAGE * (number - 1)) if number > 1 else result
    with actions:
        _draw_actions(result)
    with tiles:
        for record in result.records:
            _draw_tile(record)
    _draw_place(storage)


def _draw_filters() -> dict[str, Any]:
    """Draw search and filters; return the arguments of the search."""
    choices = history_store.store().choices()
    chosen: dict[str, Any] = {}
    look: dict[str, Any] = {"label_visibility": "collapsed"}
    with st.container(horizontal=True):
        help = "Find a class, a note, a name"
        look |= {"icon": ":material/search:", "placeholder": help, "width": 280}
        chosen["text"] = url_state.widget(st.text_input, "Find", None, "", key="saved-find", name="find", **look)
        for name, (field, any_) in FILTERS.items():
            options = {"": any_, **{word: f"{word} ({count})" for word, count in choices[field].items()}}
            chosen[field] = _choose(name, options) or None
        days = DAYS.get(_choose("saved", SPANS))
    # To the hour, so that the pages of a search stay.
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return chosen | {"since": now - timedelta(days=days) if days else None}


def _choose(name: str, options: dict[str, str]) -> str:
    look: dict[str, Any] = {"label_visibility": "collapsed", "width": 170}
    return url_state.widget(st.selectbox, options[""], options, "", key=f"saved-{name}", name=name, **look)


def _draw_actions(result: SearchResult) -> None:
    """Draw the actions for the ticked records, or for all that are shown."""
    browsing, store = state.of(Browsing), history_store.store()
    if not result.total:
        st.caption("Nothing matches.", width="content")
    ticked: list[Record] = []
    for id in [*browsing.ticked]:
        try:
            # One that the filters hide stays ticked.
            ticked.append(store.get(id))
        except Problem:
            browsing.ticked.remove(id)  # deleted elsewhere
    if ticked:
        st.caption(f"{len(ticked)} selected", width="content")
        if len(ticked) == 2 and not any(record.pair for record in ticked):
            help = "One picture by two models, or two pictures."
            compare = partial(_compare, *ticked)
            st.button("Compare", icon=":material/compare:", on_click=compare, help=help)
        slides.button("saved", *(partial(record_view.make_slide, record) for record in ticked))
        record_view.draw_delete([record.id for record in ticked], key="saved-delete")
        clear = browsing.ticked.clear
        st.button("Deselect", icon=":material/close:", type="tertiary", on_click=clear, help="Clear the selection.")
    if records := ticked or result.records:
        record_view.draw_export(records, "Export" if ticked else "Export all")


def _compare(first: Record, second: Record) -> None:
    """Open two records on Compare, in a callback: the models on one picture, or the two pictures."""
    store = history_store.store()
    with page.keeping_problem():
        if first.picture_sha256 == second.picture_sha256:
            assert first.recipe is not None
            models = list(dict.fromkeys([first.model, second.model]))
            reopen.open_models(store.picture(first), first.recipe, first.view, models)
        else:
            reopen.open_pictures(first.model, store.picture(first))
            gallery_picker.compare_with(store.picture(second))


def _draw_tile(record: Record) -> None:
    """Draw a record's picture, its answer and what was written on it."""
    browsing, key, title = state.of(Browsing), f"saved-tick-{record.id}", record_view.title(record)

    def tick() -> None:
        browsing.ticked = [id for id in browsing.ticked if id != record.id]
        browsing.ticked += [record.id] if st.session_state[key] else []

    def draw_tick() -> None:
        st.session_state[key] = record.id in browsing.ticked
        about = escape(f"Select: {record.picture_name}, {title}")
        st.checkbox(about, key=key, on_change=tick, label_visibility="collapsed", width="content")

    try:
        picture = history_store.store().thumbnail(record)
    except Problem:
        picture = b""
    tags = " ".join(f":gray-badge[{escape(tag)}]" for tag in record.tags)
    drawn = ":material/draw:" if record.marks else ""
    about = " ".join(filter(None, (record.model, history_store.day(record.created), drawn, tags)))
    note = escape(" ".join((record.damaged or record.note).split())[:80])
    draw_tile(
        record.id,
        picture,
        title,
        f"{about}  \n*{note}*" if note else about,
        alt="The saved picture under its map",
        on_open=lambda: st.query_params.update(kept=record.id),
        help=f"{escape(record.picture_name)}, {escape(record_view.describe(record))}",
        beside=draw_tick,
    )


def grid() -> DeltaGenerator:
    """Return a place for tiles."""
    return st.container(horizontal=True, key="saved-tiles")


def draw_tile(
    key: str,
    picture: bytes,
    title: str,
    about: str,
    *,
    alt: str,
    on_open: Callable[[], None],
    help: str,
    beside: Callable[[], None] | None = None,
) -> None:
    """Draw a tile; `beside`: draws what stands before its title; `about`: in Markdown."""
    with st.container(width=240, gap="xsmall", key=f"saved-tile-{key}"):
        st.image(picture or BLANK, width="stretch", alt=alt)
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            if beside is not None:
                beside()
            st.button(escape(title), key=f"saved-open-{key}", type="tertiary", on_click=on_open, help=help)
        st.caption(about)
