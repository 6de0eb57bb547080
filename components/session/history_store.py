"""The history for the screens: one store a process, and the button that keeps what is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import Problem
from common.settings import settings
from explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from explain import Explanation
    from explain.history import History, Record

SCREEN = "pages/history/page.py"
NOTE, TAG = 10_000, 60
"""Letters of a note and of a tag, at most: what the store takes."""
_KEPT = "history-kept"


def store() -> History:
    """The history that this process keeps to; a line of the environment that changes is another one."""
    return _store(settings().history, settings().history_mb)


def off() -> bool:
    """Whether nothing is to be kept here at all."""
    return settings().history is None


@st.cache_resource(show_spinner=False, max_entries=4)
def _store(folder: Path | None, limit: float) -> History:
    from explain.history import History

    # It reads the environment itself: the two are what tells one from another.
    del folder, limit
    return History()


def keep(explanations: Sequence[tuple[Explanation, int]], *, screen: str, label: str = "Keep") -> None:
    """The button that keeps these explanations, each with the map at its index, and below it what came of it.

    None where the history is switched off.
    """
    if off():
        return
    state = st.session_state
    held: dict[str, tuple[str, ...]] = state.setdefault(_KEPT, {})
    name = f"keep-{screen}"
    told: dict[str, Any] = state.get(f"{name}-told", {})
    view = "|".join(_named(explanation, index) for explanation, index in explanations)
    st.button(
        label,
        icon=":material/bookmark_add:",
        key=name,
        on_click=_pressed,
        args=(tuple(explanations), screen, view, name),
        help="Keep it in History, with its map.",
    )
    if told.get("problem") and told.get("view") == view:
        st.markdown(f":material/error: {told['problem']}")
    elif ids := held.get(view):
        again = told.get("view") == view and told.get("again")
        st.page_link(
            SCREEN,
            label="It is already in History" if again else "Kept in History",
            icon=":material/bookmark_added:",
            query_params={"kept": ids[0]} if len(ids) == 1 else None,
            help="Open what was kept.",
            width="content",
        )
        _say_more(ids, name)


def _named(explanation: Explanation, index: int) -> str:
    return f"{explanation.recipe.model_dump_json()} {index} {explanation.image.name}"


def _pressed(explanations: Sequence[tuple[Explanation, int]], screen: str, view: str, name: str) -> None:
    """Before the page is drawn again; what fails is said where the button is, and the page goes on."""
    state = st.session_state
    held: dict[str, tuple[str, ...]] = state[_KEPT]
    told: dict[str, Any] = {"view": view}
    try:
        there = [_found(one, index) for one, index in explanations]
        told["again"] = all(there)
        held[view] = tuple(
            found or store().keep(one, index=index, look=look(), screen=screen).id
            for found, (one, index) in zip(there, explanations, strict=True)
        )
    except Problem as problem:
        told["problem"] = str(problem)
        held.pop(view, None)
    state[f"{name}-told"] = told


def _found(explanation: Explanation, index: int) -> str | None:
    """The record of just this view, whoever kept it."""
    recipe, found = explanation.recipe, store()
    alike = found.search(text=recipe.picture_name, model=recipe.model, method=recipe.method, limit=200).records
    same = (one.id for one in alike if one.recipe == recipe and one.index == index)
    return next(same, None)


def look() -> dict[str, Any]:
    """How the viewer was set by the link that this session came with; what was moved since the browser alone knows."""
    initial: dict[str, str] = st.session_state.get("initial_view") or {}
    return {name: value for name, value in initial.items() if name != "id"}


def _say_more(ids: Sequence[str], name: str) -> None:
    more = st.popover("Note, tags", icon=":material/edit_note:", key=f"{name}-more", on_change="rerun", help="Say why.")
    if not more.open:
        return
    with more:
        try:
            said(store().get(ids[0]), ids, key=f"{name}-{ids[0]}")
        except Problem as problem:
            st.error(str(problem), icon=":material/error:")


def said(record: Record, ids: Sequence[str], *, key: str) -> None:
    """A person's own words on a record, kept as they are written; `ids`: all that they are of."""
    state = st.session_state

    def keep_note() -> None:
        _annotate(ids, key, note=state[f"{key}-note"])

    def keep_tags() -> None:
        _annotate(ids, key, tags=state[f"{key}-tags"])

    st.text_area(
        "Note",
        record.note,
        key=f"{key}-note",
        max_chars=NOTE,
        height=100,
        on_change=keep_note,
        placeholder="What is to be seen here?",
        help="In your own words; it is searched too. Kept when you leave the field.",
    )
    known = list(dict.fromkeys([*record.tags, *store().choices().tags]))
    st.multiselect(
        "Tags",
        known,
        list(record.tags),
        key=f"{key}-tags",
        accept_new_options=True,
        max_selections=20,
        on_change=keep_tags,
        placeholder="Choose or type one",
        help=f"Words of your own to find it by, at most {TAG} letters each.",
    )
    if problem := state.pop(f"{key}-problem", None):
        st.error(problem, icon=":material/error:")


def _annotate(ids: Sequence[str], key: str, **said_now: Any) -> None:
    try:
        for one in ids:
            store().annotate(one, **said_now)
    except Problem as problem:
        st.session_state[f"{key}-problem"] = str(problem)


def when(then: datetime) -> str:
    """`just now`, `3 minutes ago`, `20 Nov 2026`."""
    seconds = (datetime.now(UTC) - then).total_seconds()
    if seconds < 45:
        return "just now"
    for unit, size, most in (("minute", 60, 60), ("hour", 3600, 24), ("day", 86_400, 14)):
        if round(seconds / size) < most:
            return f"{plural(max(1, round(seconds / size)), unit)} ago"
    return f"{then.day} {then:%b %Y}"


def exact(then: datetime) -> str:
    """`20 Nov 2026, 23:51 UTC`."""
    return f"{then.day} {then:%b %Y, %H:%M} UTC"
