"""History: search, view, annotate and compare saved explanations."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import streamlit as st

from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.components.session import history_store, page, reopen, state, url_state
from sightglass.components.session.markdown import escape, sentence
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import plural
from sightglass.pages.history import files, pair, tiles
from sightglass.pages.history import record as record_view
from sightglass.pages.history.files import AnnotatedRecord
from sightglass.pages.history.record import Browsing, size
from sightglass.pages.history.tiles import MAX_SHOWN, PAGE

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.history import SearchResult, Storage

FILTERS = {
    "by-model": ("model", "Model", "Only this model."),
    "by-method": ("method", "Method", "Only maps of this method."),
    "said": ("label", "Class", "Only records with this prediction, or a map of this class."),
    "tagged": ("tag", "Tag", "Only records with this tag."),
}
"""What a search is narrowed by, by its parameter in the address; its widget is keyed `history-` and that."""
SPANS = {"": "any time", "day": "24 hours", "week": "7 days", "month": "30 days", "days": "days of your choice"}
LENGTHS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}
ORDERS = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "surest": "Highest score first",
    "least sure": "Lowest score first",
    "largest": "Largest first",
}


@page.guard
def history() -> None:
    reopen.go("kept")
    if history_store.off():
        st.markdown("## History is switched off")
        st.markdown(
            "This dashboard was started with SIGHTGLASS_HISTORY set to `off`, so nothing is saved or shown here. Start "
            "it without that variable, or set it to a folder: **Save** is then below every map."
        )
        return
    try:
        storage = history_store.store().storage()
    except Problem as problem:
        st.markdown("## History cannot be used here")
        st.error(sentence(problem), icon=":material/error:")
        return
    record_view.offer_undo()
    id, other = st.query_params.get("kept"), st.query_params.get("against")
    if other == id:
        # A record is not compared with itself.
        other = None
    if not id or other is not None:
        state.forget(AnnotatedRecord)
    if id:
        _open(id, other)
    elif storage.count:
        _all(storage)
    else:
        _empty()
    browsing = state.of(Browsing)
    deleted, browsing.deleted = browsing.deleted, ""
    if deleted:
        st.toast(deleted, icon=":material/delete:")


def _open(id: str, other: str | None) -> None:
    """Draw one record or two; offer to delete a damaged one."""
    # No gap: a heading brings its own.
    with st.container(gap=None):
        _back()
        title = st.container()
    try:
        if other is None:
            _one(id, title)
        else:
            store = history_store.store()
            compared = store.compare(store.get(id), store.get(other))
            title.markdown(f"## {compared.heading}.")
            pair.show(compared)
    except Problem as problem:
        title.markdown("## This record cannot be shown")
        st.error(sentence(problem), icon=":material/error:")
        for record_id in filter(None, (id, other)):
            _remove_damaged(record_id)


def _back() -> None:
    def back() -> None:
        for name in ("kept", "against"):
            st.query_params.pop(name, None)
        state.of(Browsing).new_turn()

    st.button("All records", icon=":material/arrow_back:", type="tertiary", on_click=back, help="Back to all records.")


def _remove_damaged(id: str) -> None:
    """Offer to delete an unreadable record."""
    try:
        record = history_store.store().get(id)
    except Problem:
        return  # deleted already
    try:
        if not record.damaged:
            (files.pair if record.pair else files.files)(record)
            return
    except Problem:
        pass
    st.button(
        "Delete this record",
        icon=":material/delete_forever:",
        key=f"history-remove-{id}",
        on_click=record_view.delete,
        args=((id,),),
        help="It cannot be read any more; all others stay.",
    )


def _one(id: str, title: DeltaGenerator) -> None:
    record = history_store.store().get(id)
    if record.damaged:
        raise Problem(record.damaged)
    if record.pair:
        files.pair(record)
    else:
        files.files(record)
    title.markdown(f"## {escape(record.headline) if record.pair else record.headline}")
    page.say_problem(state.of(Browsing))
    (pair.show_pictures if record.pair else record_view.show)(record)


def _empty() -> None:
    if problem := history_store.store().blocked():
        st.markdown("## Nothing can be saved here")
        st.error(sentence(problem), icon=":material/error:")
        return
    st.markdown("## Nothing saved yet")
    st.markdown(
        "Press **Save** below a map on Explore, Top-k, Detect, Side by side or Similarity. The picture, its maps, "
        "the answers and all numbers are then saved here. You can search and compare them, and draw arrows and words "
        "on them."
    )
    st.page_link(
        page.script("explore"), label="Go to Explore", icon=":material/visibility:", help="Explain a picture there."
    )
    _where()


def _where() -> None:
    folder = history_store.store().folder
    seen = "Everyone who opens this dashboard can see it."
    if users.owner():
        seen = "On this dashboard only you see it; whoever runs that machine can read the folder."
    st.caption(f":material/folder: Saved in {folder} on the machine that runs this page. {seen}")


def _all(storage: Storage) -> None:
    st.markdown(f"## {plural(storage.count, 'saved explanation')}")
    page.say_problem(state.of(Browsing))
    chosen_filters = _filters()
    result = _find(_many())
    head = st.container()
    if not result.total:
        with head:
            st.info("Nothing matches.", icon=":material/filter_alt_off:")
            st.button("Show all", on_click=_clear, icon=":material/filter_alt_off:", help="Clear search and filters.")
    # Also where none is found: the selection stays.
    tiles.draw(result, head, narrowed=chosen_filters)
    _meter(storage)
    _where()


def _filters() -> bool:
    """Draw search, filters and order; return whether any is in use."""
    choices = history_store.store().choices()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = url_state.widget(
            st.text_input,
            "Find",
            None,
            "",
            key="history-find",
            name="find",
            icon=":material/search:",
            placeholder="a class, a note, a name",
            width=230,
            help="Words that all occur in predictions, notes, tags and marks, or in names of pictures and models.",
        )
        narrowed = [bool(text.strip())]
        for name, (field, label, help) in FILTERS.items():
            narrowed.append(_filter(name, label, getattr(choices, f"{field}s"), help))
        narrowed.append(_choose_time())
        url_state.widget(
            st.selectbox,
            "Order",
            ORDERS,
            "newest",
            key="history-order",
            name="sorted",
            width=170,
            help="Which records come first.",
        )
    return any(narrowed)


def _filter(name: str, label: str, counts: dict[str, int], help: str) -> bool:
    if len(counts) < 2 and not (name == "tagged" and counts):
        # Nothing to choose; an earlier choice must not hide records.
        url_state.keep(f"history-{name}", "", "", name=name)
        return False
    options = {"": "any"}
    for word, count in counts.items():
        known = METHODS[word].name if name == "by-method" and word in METHODS else word
        options[word] = f"{known} ({count})"
    key = f"history-{name}"
    return bool(url_state.widget(st.selectbox, label, options, "", key=key, name=name, width=170, help=help))


def _choose_time() -> bool:
    """Draw the choice of a time; return whether it excludes any."""
    help = "Only records that were saved then."
    span = url_state.widget(st.selectbox, "Saved", SPANS, "", key="history-saved", name="saved", width=170, help=help)
    if span == "days":
        st.date_input("Days", [], key="history-days", width=230, help="The first and the last day, in your time zone.")
    return bool(span)


def _time_span() -> tuple[datetime | None, datetime | None]:
    """Return the chosen time of saving; the end is exclusive."""
    chosen = str(url_state.recall_value("history-saved", SPANS, "", name="saved"))
    if (length := LENGTHS.get(chosen)) is not None:
        return datetime.now(UTC) - length, None
    days = st.session_state.get("history-days") or () if chosen == "days" else ()
    if not days:
        return None, None
    zone = _zone()
    first, last = (datetime.combine(day, time(), zone) for day in (days[0], days[-1]))
    return first, last + timedelta(days=1)


def _zone() -> tzinfo:
    """Return the reader's time zone."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (KeyError, ValueError, OSError):
        return UTC


def _clear() -> None:
    for name in ("find", "saved", *FILTERS):
        st.session_state[f"history-{name}"] = ""
        url_state.keep(f"history-{name}", "", "", name=name)


def _find(limit: int) -> SearchResult:
    """Return the records matching the filters, in order."""

    def chosen(name: str) -> str:
        return str(url_state.recall_value(f"history-{name}", None, "", name=name))

    order: Any = url_state.recall_value("history-order", ORDERS, "newest", name="sorted")
    fields: dict[str, Any] = {field: chosen(name) or None for name, (field, *_) in FILTERS.items()}
    limit, (since, until) = min(MAX_SHOWN, limit), _time_span()
    store = history_store.store()
    return store.search(text=chosen("find"), order=order, limit=limit, since=since, until=until, **fields)


def _many() -> int:
    """Return the number of records shown, more on request."""
    browsing = state.of(Browsing)
    filters = tuple(url_state.memory(f"history-{name}") for name in ("find", "saved", *FILTERS, "order"))
    if browsing.filters != filters:
        browsing.filters, browsing.pages = filters, 1
    return PAGE * browsing.pages


def _meter(storage: Storage) -> None:
    st.progress(storage.full, f":small[{size(storage.bytes)} of {size(storage.limit)} used]", width=320)
    if storage.full >= 0.9:
        st.warning(
            "History is nearly full: sort by size and delete some records, or raise SIGHTGLASS_HISTORY_MB.",
            icon=":material/hard_drive:",
        )


history()
