"""History: search, view, annotate and compare what was saved, without running a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import Problem
from components.session import history_store, page, reopen, state, url_state
from explain.methods import METHODS
from explain.phrases import percent, plural
from pages.history import files, pair
from pages.history import record as record_view
from pages.history.annotations import Opened
from pages.history.grid import Tile, grid
from pages.history.record import Browsing, size

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from explain.history import Record, SearchResult, Storage

PAGE = 24
MAX_SHOWN = 1000
"""Records on one page: beyond that, a search helps."""
NEARLY_FULL = 0.9
FILTERS = {
    "by-model": ("model", "Model", "Only this model."),
    "by-method": ("method", "Method", "Only maps of this method."),
    "said": ("label", "Class", "Only records with this prediction, or a map of this class."),
    "tagged": ("tag", "Tag", "Only records with this tag."),
}
"""What a search is narrowed by, by its parameter in the address; its widget is keyed `history-` and that."""
ORDERS = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "surest": "Highest score first",
    "least sure": "Lowest score first",
    "largest": "Largest first",
}


@page.guarded
def history() -> None:
    reopen.go("kept")
    if history_store.off():
        _off()
        return
    try:
        storage = history_store.store().storage()
    except Problem as problem:
        st.markdown("## History cannot be used here")
        st.error(str(problem), icon=":material/error:")
        return
    id, other = st.query_params.get("kept"), st.query_params.get("against")
    if other == id:
        # A record is not compared with itself.
        other = None
    if not id or other is not None:
        state.forget(Opened)
    if id:
        _opened(id, other)
    elif storage.count:
        _all(storage)
    else:
        _empty()
    browsing = state.of(Browsing)
    deleted, browsing.deleted = browsing.deleted, ""
    if deleted:
        st.toast(deleted, icon=":material/delete:")


def _opened(id: str, other: str | None) -> None:
    """Draw one record, or two side by side; what cannot be shown can be deleted."""
    # No gap: a heading brings its own.
    with st.container(gap=None):
        _back()
        title = st.container()
    try:
        if other is None:
            _one(id, title)
        else:
            _pair(id, other, title)
    except Problem as problem:
        title.markdown("## This record cannot be shown")
        st.error(str(problem), icon=":material/error:")
        for one in filter(None, (id, other)):
            _remove_damaged(one)


def _problem() -> None:
    browsing = state.of(Browsing)
    problem, browsing.problem = browsing.problem, ""
    if problem:
        st.error(problem, icon=":material/error:")


def _back() -> None:
    def back() -> None:
        for name in ("kept", "against"):
            st.query_params.pop(name, None)
        state.of(Browsing).new_turn()

    st.button("All records", icon=":material/arrow_back:", type="tertiary", on_click=back, help="Back to all records.")


def _remove_damaged(id: str) -> None:
    """Offer to delete a record that cannot be read."""
    try:
        record = history_store.store().get(id)
    except Problem:
        return  # deleted already
    try:
        if not record.damaged:
            files.files(record)
            return
    except Problem:
        pass
    st.button(
        "Delete this record",
        icon=":material/delete_forever:",
        key=f"history-remove-{id}",
        on_click=record_view.delete,
        args=((id,), None),
        help="It cannot be read any more; all others stay.",
    )


def _one(id: str, title: DeltaGenerator) -> None:
    record = history_store.store().get(id)
    if record.damaged:
        raise Problem(record.damaged)
    files.files(record)
    title.markdown(f"## {record.headline}")
    _problem()
    record_view.show(record, _next(id))


def _next(id: str) -> str | None:
    """Return the record after this one in the search results, else the one before."""
    ids = [one.id for one in _found(MAX_SHOWN).records]
    if id not in ids:
        return ids[0] if ids else None
    place = ids.index(id)
    return ids[place + 1] if place + 1 < len(ids) else ids[place - 1] if place else None


def _pair(id: str, other: str, title: DeltaGenerator) -> None:
    store = history_store.store()
    found = store.compare(store.get(id), store.get(other))
    title.markdown(f"## {pair.heading(found)}")
    pair.show(found)


def _off() -> None:
    st.markdown("## History is switched off")
    st.markdown(
        "This dashboard was started with SIGHTGLASS_HISTORY set to `off`, so nothing is saved or shown here. Start it "
        "without that variable, or set it to a folder: **Save to history** is then below every map."
    )


def _empty() -> None:
    if problem := history_store.store().blocked():
        st.markdown("## Nothing can be saved here")
        st.error(problem, icon=":material/error:")
        return
    st.markdown("## Nothing saved yet")
    st.markdown(
        "Press **Save to history** below a map on Explore, Detect or Compare: the picture, its maps, the predictions "
        "and all numbers are saved here, to be searched, annotated with arrows and words, and compared."
    )
    st.page_link(
        page.script("explore"), label="Go to Explore", icon=":material/visibility:", help="Explain a picture there."
    )
    _where()


def _where() -> None:
    folder = history_store.store().folder
    st.caption(
        f":material/folder: Saved in {folder} on the machine that runs this page. Everyone who opens this dashboard "
        "can see it."
    )


def _all(storage: Storage) -> None:
    st.markdown(f"## {plural(storage.count, 'saved explanation')}")
    _problem()
    chosen_filters = _filters()
    found = _found(_many())
    head = st.container()
    if not found.total:
        with head:
            st.info("No record matches.", icon=":material/filter_alt_off:")
            st.button("Show all", on_click=_clear, icon=":material/filter_alt_off:", help="Clear search and filters.")
    # Also where none is found: the selection stays.
    _grid(found, head, narrowed=chosen_filters)
    _meter(storage)
    _where()


def _filters() -> bool:
    """Draw search, filters and order, and return whether any of them is in use."""
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


def _clear() -> None:
    for name in ("find", *FILTERS):
        st.session_state[f"history-{name}"] = ""
        url_state.keep(f"history-{name}", "", "", name=name)


def _found(limit: int) -> SearchResult:
    """Return the records that match the search and the filters, in order."""

    def chosen(name: str) -> str:
        return str(url_state.remembered(f"history-{name}", None, "", name=name))

    order: Any = url_state.remembered("history-order", ORDERS, "newest", name="sorted")
    fields: dict[str, Any] = {field: chosen(name) or None for name, (field, *_) in FILTERS.items()}
    limit = min(MAX_SHOWN, limit)
    return history_store.store().search(text=chosen("find"), order=order, limit=limit, **fields)


def _many() -> int:
    """Return how many records are shown: more on request, and one page after a change of the filters."""
    browsing = state.of(Browsing)
    filters = tuple(url_state.memory(f"history-{name}") for name in ("find", *FILTERS, "order"))
    if browsing.filters != filters:
        browsing.filters, browsing.pages = filters, 1
    return PAGE * browsing.pages


def _grid(found: SearchResult, head: Any, *, narrowed: bool) -> None:
    browsing = state.of(Browsing)
    tiles, pictures = [], []
    for record in found.records:
        tiles.append(_tile(record))
        pictures.append(_thumbnail(record))
    clicked = grid(tiles, pictures, turn=browsing.turn, key="history-grid")
    shown = {record.id: record for record in found.records}
    if clicked.opened in shown:
        st.query_params["kept"] = str(clicked.opened)
        st.rerun()
    chosen = [shown.get(one) or _hidden(one) for one in clicked.chosen[:MAX_SHOWN]]
    with head, st.container(horizontal=True, vertical_alignment="center"):
        _actions(found, [one for one in chosen if one is not None], set(shown), narrowed=narrowed)
    if len(found.records) < min(found.total, MAX_SHOWN):

        def more() -> None:
            browsing.pages += 1

        st.button(
            f"Show more ({found.total - len(found.records)} left)",
            icon=":material/expand_more:",
            on_click=more,
            help=f"Show {PAGE} more.",
        )
    elif found.total > MAX_SHOWN:
        st.caption(f"The first {MAX_SHOWN:,} of {found.total:,}: search or filter to see the others.")


def _hidden(id: str) -> Record | None:
    """Return a selected record that is not shown now; None if it was deleted."""
    try:
        return history_store.store().get(id)
    except Problem:
        return None


def _actions(found: SearchResult, chosen: list[Record], shown: set[str], *, narrowed: bool) -> None:
    """Draw the actions for the selected records."""
    if not chosen:
        if not found.total:
            return
        some = f"{found.total:,} found. " if narrowed else ""
        st.caption(f"{some}Open one, or select two to compare them.", width="content")
        return

    def compare() -> None:
        st.query_params["kept"], st.query_params["against"] = chosen[0].id, chosen[1].id

    browsing = state.of(Browsing)
    hidden = sum(record.id not in shown for record in chosen)
    beyond = f", {hidden} of them not shown now" if hidden else ""
    st.caption(f"{len(chosen)} selected{beyond}", width="content")
    st.button(
        "Compare",
        icon=":material/compare:",
        disabled=len(chosen) != 2,
        on_click=compare,
        help="Select exactly two: their maps, the difference and their numbers side by side.",
    )
    most = size(sum(record.bytes for record in chosen))
    record_view.confirm_deletion(
        [record.id for record in chosen],
        f"Delete {plural(len(chosen), 'record')}{beyond} permanently? This frees up to {most}.",
        key=f"history-delete-{browsing.turn}",
        help="Delete the selected records; asks for confirmation.",
    )
    st.button(
        "Deselect", icon=":material/close:", type="tertiary", on_click=browsing.new_turn, help="Clear the selection."
    )


def _thumbnail(record: Record) -> bytes:
    try:
        return history_store.store().thumbnail(record)
    except Problem:
        return b""


def _tile(record: Record) -> Tile:
    first = record.predictions[0] if record.predictions else None
    detects = record.task == "detect"
    label = record.label or (first.label if first else "nothing found")
    score = "" if record.score is None else percent(record.score)
    boxes = sum(prediction.box is not None for prediction in record.predictions)
    what = f"{plural(boxes, 'box')}; {record.model}" if detects and boxes else record.model
    if not detects and first is not None and record.label and first.label != record.label:
        what = f"predicted {first.label}; {record.model}"
    method = METHODS[record.method].name if record.method in METHODS else record.method
    return Tile(
        id=record.id,
        title=label,
        score=score,
        line=f"{what}, {method}",
        when=history_store.when(record.created),
        about=f"{record.picture_name}, {label} {score}, {record.model}, {history_store.exact(record.created)}",
        tags=record.tags,
        note=record.note.replace("\n", " ")[:200],
        marks=len(record.marks),
        damaged=record.damaged,
    )


def _meter(storage: Storage) -> None:
    taken = f"{size(storage.bytes)} of {size(storage.limit)} used"
    st.progress(storage.full, f":small[{taken}]", width=320)
    if storage.full >= NEARLY_FULL:
        st.warning(
            "History is nearly full: sort by size and delete some records, or raise SIGHTGLASS_HISTORY_MB.",
            icon=":material/hard_drive:",
        )


history()
