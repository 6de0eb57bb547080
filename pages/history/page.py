"""History: what was kept, to be found, looked at, marked and compared again, without running any model."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import Problem
from components.session import history_store, page, reopen, url_state
from explain.methods import METHODS
from explain.phrases import percent, plural
from pages.history import annotations as board
from pages.history import files, pair
from pages.history import record as record_view
from pages.history.grid import Tile, grid
from pages.history.record import size

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from explain.history import Record, SearchResult, Storage

PAGE = 24
MOST = 1000
"""Records on one page, at most: then a search is what helps."""
NEARLY = 0.9
ORDERS = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "surest": "Most sure first",
    "least sure": "Least sure first",
    "largest": "Largest first",
}


@page.screen
def kept() -> None:
    reopen.go("kept")
    state = st.session_state
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
        # A record against itself says nothing: it is shown alone.
        other = None
    if not id or other is not None:
        state.pop(board.OPENED, None)
    if id:
        # No gap: a heading brings its own.
        with st.container(gap=None):
            _back()
            title = st.container()
        try:
            (_one(id, title) if other is None else _pair(id, other, title))
        except Problem as problem:
            title.markdown("## This cannot be shown")
            st.error(str(problem), icon=":material/error:")
            for one in filter(None, (id, other)):
                _remove_damaged(one)
    elif storage.count:
        _all(storage)
    else:
        _empty()
    if told := state.pop("history-told", None):
        st.toast(told, icon=":material/delete:")


def _problem() -> None:
    if problem := st.session_state.pop("history-problem", None):
        st.error(problem, icon=":material/error:")


def _back() -> None:
    def back() -> None:
        for name in ("kept", "against"):
            st.query_params.pop(name, None)
        st.session_state["history-turn"] = secrets.token_hex(4)

    st.button(
        "All that was kept", icon=":material/arrow_back:", type="tertiary", on_click=back, help="Back to the pictures."
    )


def _remove_damaged(id: str) -> None:
    """What cannot be shown can still be taken out."""
    try:
        record = history_store.store().get(id)
    except Problem:
        return  # gone already
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
        help="It cannot be read any more; the others stay.",
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
    """The record that comes after this one where it was found, else the one before."""
    ids = [one.id for one in _found(MOST).records]
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
        "SIGHTGLASS_HISTORY is `off` where this dashboard was started, so nothing is kept and nothing kept is shown. "
        "Start it without that line, or with the name of a folder there, and **Keep** stands under every map."
    )


def _empty() -> None:
    if problem := history_store.store().blocked():
        st.markdown("## Nothing can be kept here")
        st.error(problem, icon=":material/error:")
        return
    st.markdown("## Nothing is kept yet")
    st.markdown(
        "Press **Keep** under a map, in Explore, Detect or Compare: the picture, its maps, what the model said and all "
        "numbers stay here just as they were, to be found again, marked with arrows and words, and held against others."
    )
    st.page_link(
        "pages/explore.py", label="Go to Explore", icon=":material/visibility:", help="A picture is explained there."
    )
    _where()


def _where() -> None:
    folder = history_store.store().folder
    st.caption(
        f":material/folder: Kept in {folder} on the machine that runs this page. Everyone who opens this dashboard "
        "sees it."
    )


def _all(storage: Storage) -> None:
    st.markdown(f"## {plural(storage.count, 'explanation')} kept")
    _problem()
    chosen_filters = _filters()
    found = _found(_many())
    head = st.container()
    if not found.total:
        with head:
            st.info("Nothing that was kept is like that.", icon=":material/filter_alt_off:")
            st.button("Show all", on_click=_clear, icon=":material/filter_alt_off:", help="Clear search and filters.")
    # Where none is found too: what is ticked stays so.
    _grid(found, head, narrowed=chosen_filters)
    _meter(storage)
    _where()


def _filters() -> bool:
    """Search, filters and order; whether anything is narrowed."""
    choices = history_store.store().choices()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        url_state.recall("history-find", None, "", name="find")
        text = st.text_input(
            "Find",
            key="history-find",
            icon=":material/search:",
            placeholder="a class, a note, a name",
            width=230,
            help="Words that all occur in what was said, in notes, tags and marks, or in names of pictures and models.",
        )
        url_state.keep("history-find", text, "", name="find")
        narrowed = [bool(text.strip())]
        filters: tuple[tuple[str, str, dict[str, int], str], ...] = (
            ("by-model", "Model", choices.models, "Only what this model said."),
            ("by-method", "Method", choices.methods, "Only maps of this method."),
            ("said", "Class", choices.labels, "Only where the model said this, or the map is of it."),
            ("tagged", "Tag", choices.tags, "Only what carries this tag of yours."),
        )
        for name, label, counts, help in filters:
            narrowed.append(_filter(name, label, counts, help))
        url_state.recall("history-order", ORDERS, "newest", name="sorted")
        order = st.selectbox(
            "Order",
            list(ORDERS),
            format_func=ORDERS.__getitem__,
            key="history-order",
            width=170,
            help="Which ones come first.",
        )
        url_state.keep("history-order", order, "newest", name="sorted")
    return any(narrowed)


def _filter(name: str, label: str, counts: dict[str, int], help: str) -> bool:
    if len(counts) < 2 and not (name == "tagged" and counts):
        # Nothing to choose; nor does a choice that was made before hide what is there.
        url_state.keep(f"history-{name}", "", "", name=name)
        return False
    options = ["", *counts]

    def called(word: str) -> str:
        if not word:
            return "any"
        known = METHODS[word].name if name == "by-method" and word in METHODS else word
        return f"{known} ({counts[word]})"

    url_state.recall(f"history-{name}", options, "", name=name)
    value = st.selectbox(label, options, format_func=called, key=f"history-{name}", width=170, help=help)
    url_state.keep(f"history-{name}", value, "", name=name)
    return bool(value)


def _clear() -> None:
    for name in ("find", "by-model", "by-method", "said", "tagged"):
        st.session_state[f"history-{name}"] = ""
        url_state.keep(f"history-{name}", "", "", name=name)


def _found(limit: int) -> SearchResult:
    """What the search and the filters leave, in order."""

    def chosen(key: str, name: str, default: str = "") -> str:
        return str(url_state.remembered(f"history-{key}", None, default, name=name))

    order: Any = chosen("order", "sorted", "newest")
    return history_store.store().search(
        text=chosen("find", "find"),
        model=chosen("by-model", "by-model") or None,
        method=chosen("by-method", "by-method") or None,
        label=chosen("said", "said") or None,
        tag=chosen("tagged", "tagged") or None,
        order=order if order in ORDERS else "newest",
        limit=min(MOST, limit),
    )


def _many() -> int:
    """How many are shown: more on request, and anew from one page where something else is looked for."""
    state = st.session_state
    memory = state.get("memory", {})
    asked = tuple(
        memory.get(f"history-{name}") for name in ("find", "by-model", "by-method", "said", "tagged", "order")
    )
    if state.get("history-asked") != asked:
        state["history-asked"], state["history-pages"] = asked, 1
    return PAGE * int(state["history-pages"])


def _grid(found: SearchResult, head: Any, *, narrowed: bool) -> None:
    state = st.session_state
    turn = state.setdefault("history-turn", secrets.token_hex(4))
    tiles, pictures = [], []
    for record in found.records:
        tiles.append(_tile(record))
        pictures.append(_thumbnail(record))
    asked = grid(tiles, pictures, turn=turn, key="history-grid")
    if asked.opened in {record.id for record in found.records}:
        st.query_params["kept"] = str(asked.opened)
        st.rerun()
    shown = {record.id: record for record in found.records}
    chosen = [shown.get(one) or _hidden(one) for one in asked.chosen[:MOST]]
    with head, st.container(horizontal=True, vertical_alignment="center"):
        _actions(found, [one for one in chosen if one is not None], set(shown), narrowed=narrowed)
    if len(found.records) < min(found.total, MOST):

        def more() -> None:
            state["history-pages"] += 1

        st.button(
            f"Show more ({found.total - len(found.records)} left)",
            icon=":material/expand_more:",
            on_click=more,
            help=f"{PAGE} more.",
        )
    elif found.total > MOST:
        st.caption(f"The first {MOST:,} of {found.total:,}: search or filter to see the others.")


def _hidden(id: str) -> Record | None:
    """One that is ticked and not shown now; None where it is gone."""
    try:
        return history_store.store().get(id)
    except Problem:
        return None


def _actions(found: SearchResult, chosen: list[Record], shown: set[str], *, narrowed: bool) -> None:
    """What can be done with those that are ticked."""
    if not chosen:
        if not found.total:
            return
        some = f"{found.total:,} found. " if narrowed else ""
        st.caption(f"{some}Open one, or tick two to compare them.", width="content")
        return

    def compare() -> None:
        st.query_params["kept"], st.query_params["against"] = chosen[0].id, chosen[1].id

    def clear() -> None:
        st.session_state["history-turn"] = secrets.token_hex(4)

    hidden = sum(record.id not in shown for record in chosen)
    beyond = f", {hidden} of them not shown now" if hidden else ""
    st.caption(f"{len(chosen)} ticked{beyond}", width="content")
    st.button(
        "Compare",
        icon=":material/compare:",
        disabled=len(chosen) != 2,
        on_click=compare,
        help="Tick just two: their maps, their difference and their numbers side by side.",
    )
    key = f"history-delete-{st.session_state['history-turn']}"
    with st.popover("Delete", icon=":material/delete:", key=key, help="Take out what is ticked; asks once more."):
        most = size(sum(record.bytes for record in chosen))
        st.markdown(f"Delete {plural(len(chosen), 'record')}{beyond}, for good? This frees up to {most}.")
        st.button(
            "Delete for good",
            icon=":material/delete_forever:",
            on_click=record_view.delete,
            args=([record.id for record in chosen], None),
            help="Cannot be undone.",
        )
    st.button("Untick", icon=":material/close:", type="tertiary", on_click=clear, help="Nothing is ticked any more.")


def _thumbnail(record: Record) -> bytes:
    try:
        return history_store.store().thumbnail(record)
    except Problem:
        return b""


def _tile(record: Record) -> Tile:
    first = record.predictions[0] if record.predictions else None
    detects = record.task == "detect"
    said = record.label or (first.label if first else "nothing found")
    score = "" if record.score is None else percent(record.score)
    boxes = sum(prediction.box is not None for prediction in record.predictions)
    what = f"{plural(boxes, 'box')}; {record.model}" if detects and boxes else record.model
    if not detects and first is not None and record.label and first.label != record.label:
        what = f"said {first.label}; {record.model}"
    method = METHODS[record.method].name if record.method in METHODS else record.method
    return Tile(
        id=record.id,
        title=said,
        score=score,
        line=f"{what}, {method}",
        when=history_store.when(record.created),
        about=f"{record.picture_name}, {said} {score}, {record.model}, {history_store.exact(record.created)}",
        tags=record.tags,
        note=record.note.replace("\n", " ")[:200],
        marks=len(record.marks),
        damaged=record.damaged,
    )


def _meter(storage: Storage) -> None:
    taken = f"{size(storage.bytes)} of {size(storage.limit)} taken"
    st.progress(storage.full, f":small[{taken}]", width=320)
    if storage.full >= NEARLY:
        st.warning(
            "History is nearly full: put the largest first and delete some, or allow more in SIGHTGLASS_HISTORY_MB.",
            icon=":material/hard_drive:",
        )


kept()
