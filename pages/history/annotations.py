"""Annotate a record's map."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import history
from sightglass.common.errors import Problem
from sightglass.common.settings import MIB
from sightglass.components.markup import markup
from sightglass.components.session import history_store, state
from sightglass.components.session.markdown import sentence
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import plural
from sightglass.history import export
from sightglass.pages.history.files import files

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.history import Mark, Record

_drawn: ByteCache[NDArray[np.uint8]] = ByteCache(60 * MIB, lambda pixels: int(pixels.nbytes))


@dataclass
class AnnotatedRecord:
    """The record that is being annotated; the browser is sent what is here, so nothing changes while it draws."""

    of: tuple[str, int, bool] | None = None
    """Record, map, and whether the page is dark; None: the record is opened afresh."""
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    marks: list[Json] = field(default_factory=list)
    """The marks when it was opened."""
    last: tuple[Mark, ...] = ()
    """The marks that this browser sent or received last."""
    step: str | None = None
    """The browser's last step that was saved."""
    problem: str = ""


def _overlay(record: Record, index: int, *, dark: bool) -> NDArray[np.uint8]:
    key = (str(history_store.store().folder), record.id, index, dark)
    if (found := _drawn.get(key)) is None:
        image, maps = files(record)
        found = export.look(image, maps[index], record.view.settings, dark=dark)
        _drawn.put(key, found)
    return found


@st.fragment
def marking(id: str, index: int) -> None:
    """Draw the map to annotate: a fragment, since marks are saved without the page around it."""
    record = history_store.store().get(id)
    dark = st.context.theme.type == "dark"
    if state.of(AnnotatedRecord).of != (id, index, dark):
        state.forget(AnnotatedRecord)
        opened = state.of(AnnotatedRecord)
        opened.of, opened.marks, opened.last = (id, index, dark), [asdict(mark) for mark in record.marks], record.marks
    opened = state.of(AnnotatedRecord)
    label = record.labels[index] if index < len(record.labels) else "the map"
    given = markup(
        _overlay(record, index, dark=dark),
        opened.marks,
        id=opened.id,
        about=f"{record.picture_name} under the map of {label}.",
        key=f"history-markup-{id}",
    )
    # A step is saved once: the browser repeats its last one in every run, and others annotate the same record.
    if given is not None and given.step != opened.step:
        opened.step, opened.problem = given.step, ""
        try:
            record = _save(record, opened, given.marks)
        except Problem as problem:
            opened.problem = str(problem)
    if opened.problem:
        st.markdown(f":material/error: {sentence(opened.problem)}")
        return
    if opened.step is not None:
        count = len(record.marks)
        st.caption(f":material/check: {plural(count, 'mark')} saved." if count else ":material/check: No marks saved.")
    if Counter(record.marks) != Counter(opened.last):
        _others()


def _save(record: Record, opened: AnnotatedRecord, given: Sequence[Any]) -> Record:
    """Save a step of this browser; raises Problem if it cannot be read."""
    try:
        marks = tuple(
            history.Mark(kind=one["kind"], points=tuple(map(tuple, one["points"])), text=one["text"], ink=one["ink"])
            for one in given
        )
    except (KeyError, TypeError, ValueError):
        raise Problem("The marks could not be read: reload the page.") from None
    if marks == opened.last:
        return record
    found = history_store.store().annotate(record.id, marks=marks, since=opened.last)
    opened.last = marks
    return found


def _others() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            ":material/group: Somebody else is annotating this record: their marks and yours are all saved.",
            width="content",
        )
        st.button(
            "Show all marks",
            icon=":material/refresh:",
            on_click=state.forget,
            args=(AnnotatedRecord,),
            help="Show their marks too.",
        )
