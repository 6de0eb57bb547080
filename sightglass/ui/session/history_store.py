"""The session's history store, what is kept in it, and the fields of a note."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import history
from sightglass.common import users
from sightglass.common.settings import settings
from sightglass.history import records
from sightglass.report.embedded_recipe import list_checks
from sightglass.ui.session import page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from sightglass.history import History, Record


def store() -> History:
    """Return the session's history, for the current environment variables."""
    return _store(settings().history, settings().history_mb, users.owner())


def off() -> bool:
    """Return whether the history is switched off."""
    return settings().history is None


@st.cache_resource(show_spinner=False, max_entries=64)
def _store(folder: Path | None, limit: float, whose: str) -> history.History:
    # It reads the environment, and for whom it works, itself: the arguments are only the cache's key.
    del folder, limit, whose
    return history.History()


def find(view: Any, index: int) -> Record | None:
    """Return the record of a pair, or of a map if it has all proofs and checks, else None."""
    record = store().find(view, index)
    if record is None or record.pair is not None:
        return record
    checked = [i for i, checks in enumerate(list_checks(view)) if checks is not None]
    proofs = [store().proof(record, i) for i in view.proofs]
    return record if all((*proofs, *map(record.checks_of, checked))) else None


def edit_note(record: Record, ids: Sequence[str], *, key: str) -> None:
    """Edit the note and tags of the records `ids`, saving each change."""
    note, tags = f"{key}-note", f"{key}-tags"

    @page.keeping_problem()
    def save(name: str, field: str) -> None:
        for id in ids:
            store().annotate(id, **{name: st.session_state[field]})

    help = "Your own words, which are searched. Saved when you leave the field."
    st.text_area(
        "Note", record.note, key=note, max_chars=records.MAX_NOTE, on_change=save, args=("note", note), help=help
    )
    known = list(dict.fromkeys([*record.tags, *store().choices()["tag"]]))
    st.multiselect(
        "Tags",
        known,
        list(record.tags),
        select_all=False,
        key=tags,
        accept_new_options=True,
        max_selections=records.MAX_TAGS,
        on_change=save,
        args=("tags", tags),
        placeholder="Choose or type one",
        help=f"Your own keywords, at most {records.MAX_TAG} characters each.",
    )
    page.say_problem()


def day(then: datetime) -> str:
    """Return a date as `20 Nov 2026`."""
    return f"{then.day} {then:%b %Y}"


def exact(then: datetime) -> str:
    """Return a time as `20 Nov 2026, 23:51 UTC`."""
    return f"{day(then)}, {then:%H:%M} UTC"
