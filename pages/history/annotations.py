"""Marks drawn on one record: each step is kept at once, and what others draw on it meanwhile stays."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import Problem
from common.settings import cache_bytes
from components.markup import markup
from components.session import history_store
from explain.evidence.cache import ByteCache
from explain.phrases import plural
from pages.history.files import files

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from explain.history import Record

OPENED = "history-opened"
"""What the browser that draws began with, in the session's state; without it a record is opened anew."""
_drawn: ByteCache[NDArray[np.uint8]] = ByteCache(lambda: cache_bytes("annotations"), lambda pixels: int(pixels.nbytes))


def _overlaid(record: Record, index: int, *, dark: bool) -> NDArray[np.uint8]:
    key = (str(history_store.store().folder), record.id, index, dark)
    if (found := _drawn.get(key)) is None:
        from explain.history.export import looked

        image, maps = files(record)
        found = looked(image, maps[index], record.view.settings, dark=dark)
        _drawn.put(key, found)
    return found


@st.fragment
def marking(id: str, index: int) -> None:
    """The map to draw on: a fragment, as what is drawn is kept without the page around it."""
    state, record = st.session_state, history_store.store().get(id)
    dark = st.context.theme.type == "dark"
    # What the browser begins with; the same until the record is opened anew, so that nothing is drawn under a hand.
    begun: dict[str, Any] = state.get(OPENED, {})
    if begun.get("of") != (id, index, dark):
        state[OPENED] = begun = {
            "of": (id, index, dark),
            "id": secrets.token_hex(8),
            "marks": [asdict(mark) for mark in record.marks],
            "told": record.marks,
            "step": None,
        }
    label = record.labels[index] if index < len(record.labels) else "the map"
    given = markup(
        _overlaid(record, index, dark=dark),
        begun["marks"],
        id=begun["id"],
        about=f"{record.picture_name} under the map of {label}.",
        key=f"history-markup-{id}",
    )
    # A step is kept once: what the browser said last is said in every run, and others draw on the same record.
    if given is not None and given.step != begun["step"]:
        begun["step"], begun["problem"] = given.step, ""
        try:
            record = _drawn_on(record, begun, given.marks)
        except Problem as problem:
            begun["problem"] = str(problem)
    if begun.get("problem"):
        st.markdown(f":material/error: {begun['problem']}")
    elif begun["step"] is not None:
        marks = record.marks
        st.caption(
            f":material/check: {plural(len(marks), 'mark')} kept." if marks else ":material/check: No marks kept."
        )
    if Counter(record.marks) != Counter(begun["told"]) and not begun.get("problem"):
        _others()


def _drawn_on(record: Record, begun: dict[str, Any], given: Sequence[Any]) -> Record:
    """Keep a step of this browser's; raises Problem, one sentence, for what makes no sense."""
    from explain.history import Mark

    try:
        marks = tuple(
            Mark(kind=one["kind"], points=tuple(map(tuple, one["points"])), text=one["text"], ink=one["ink"])
            for one in given
        )
    except (KeyError, TypeError, ValueError):
        raise Problem("What was drawn could not be understood: reload the page.") from None
    if marks == begun["told"]:
        return record
    found = history_store.store().annotate(record.id, marks=marks, since=begun["told"])
    begun["told"] = marks
    return found


def _others() -> None:
    def anew() -> None:
        st.session_state.pop(OPENED, None)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            ":material/group: Somebody else drew here meanwhile: their marks and yours are all kept.", width="content"
        )
        st.button("Show all marks", icon=":material/refresh:", on_click=anew, help="Draw on with theirs in sight.")
