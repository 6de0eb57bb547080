"""Give pages the history: one store per process, and the button that saves what is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import Problem
from common.settings import settings
from components.session import page, state
from explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from explain import Explanation
    from explain.history import History, Record

NOTE, TAG = 10_000, 60
"""Maximum characters of a note and of a tag in the store."""


@dataclass
class Pressed:
    """What came of the last click on a page's button."""

    view: str = ""
    problem: str = ""
    again: bool = False
    """Whether everything was in the history before."""


@dataclass
class Saved:
    """What this session saved."""

    ids: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The records of each view."""
    pressed: dict[str, Pressed] = field(default_factory=dict)
    """By page."""
    problems: dict[str, str] = field(default_factory=dict)
    """What was wrong with a note or tags, by the key of their widgets."""


def store() -> History:
    """Return this process's history; another one once its environment variables change."""
    return _store(settings().history, settings().history_mb)


def off() -> bool:
    """Return whether the history is switched off."""
    return settings().history is None


@st.cache_resource(show_spinner=False, max_entries=4)
def _store(folder: Path | None, limit: float) -> History:
    from explain.history import History

    # It reads the environment itself: the arguments are only the cache's key.
    del folder, limit
    return History()


def keep(explanations: Sequence[tuple[Explanation, int]], *, screen: str, label: str = "Save to history") -> None:
    """Draw the button that saves these explanations, each with the map at its index, and the result below it.

    Draws nothing where the history is switched off.
    """
    if off():
        return
    saved = state.of(Saved)
    view = "|".join(f"{one.recipe.model_dump_json()} {index} {one.image.name}" for one, index in explanations)
    st.button(
        label,
        icon=":material/bookmark_add:",
        key=f"keep-{screen}",
        on_click=_save,
        args=(tuple(explanations), screen, view),
        help="Save the picture, its maps and all numbers to History.",
    )
    pressed = saved.pressed.get(screen, Pressed())
    now = pressed.view == view
    if now and pressed.problem:
        st.markdown(f":material/error: {pressed.problem}")
    elif ids := saved.ids.get(view):
        st.page_link(
            page.script("history"),
            label="Already in History" if now and pressed.again else "Saved to History",
            icon=":material/bookmark_added:",
            query_params={"kept": ids[0]} if len(ids) == 1 else None,
            help="Open the saved record." if len(ids) == 1 else "Open History.",
            width="content",
        )
        _details(ids, f"keep-{screen}")


def _save(explanations: Sequence[tuple[Explanation, int]], screen: str, view: str) -> None:
    """Save in a callback; an error is shown at the button; the page is drawn all the same."""
    saved = state.of(Saved)
    pressed = saved.pressed[screen] = Pressed(view)
    try:
        there = [_existing(one, index) for one, index in explanations]
        pressed.again = all(there)
        saved.ids[view] = tuple(
            found or store().keep(one, index=index, look=look(), screen=screen).id
            for found, (one, index) in zip(there, explanations, strict=True)
        )
    except Problem as problem:
        pressed.problem = str(problem)
        saved.ids.pop(view, None)


def _existing(explanation: Explanation, index: int) -> str | None:
    """Return the record of this view, whoever saved it."""
    recipe = explanation.recipe
    alike = store().search(text=recipe.picture_name, model=recipe.model, method=recipe.method, limit=200).records
    return next((one.id for one in alike if one.recipe == recipe and one.index == index), None)


def look() -> dict[str, Any]:
    """Return the viewer's settings as a link gave them; what was changed since, only the browser knows."""
    settings = state.of(state.ViewerStart).settings or {}
    return {name: value for name, value in settings.items() if name != "id"}


def _details(ids: Sequence[str], name: str) -> None:
    more = st.popover(
        "Note, tags", icon=":material/edit_note:", key=f"{name}-more", on_change="rerun", help="Add a note or tags."
    )
    if not more.open:
        return
    with more:
        try:
            words(store().get(ids[0]), ids, key=f"{name}-{ids[0]}")
        except Problem as problem:
            st.error(str(problem), icon=":material/error:")


def words(record: Record, ids: Sequence[str], *, key: str) -> None:
    """Edit a record's note and tags, saved as they are written; `ids`: all records they belong to."""
    st.text_area(
        "Note",
        record.note,
        key=f"{key}-note",
        max_chars=NOTE,
        height=100,
        on_change=_annotate,
        args=(ids, key, "note"),
        placeholder="What do you see here?",
        help="In your own words; the search finds it. Saved when you leave the field.",
    )
    known = list(dict.fromkeys([*record.tags, *store().choices().tags]))
    st.multiselect(
        "Tags",
        known,
        list(record.tags),
        key=f"{key}-tags",
        accept_new_options=True,
        max_selections=20,
        on_change=_annotate,
        args=(ids, key, "tags"),
        placeholder="Choose or type one",
        help=f"Your own keywords, at most {TAG} characters each.",
    )
    if problem := state.of(Saved).problems.pop(key, None):
        st.error(problem, icon=":material/error:")


def _annotate(ids: Sequence[str], key: str, field: str) -> None:
    changed: dict[str, Any] = {field: st.session_state[f"{key}-{field}"]}
    try:
        for one in ids:
            store().annotate(one, **changed)
    except Problem as problem:
        state.of(Saved).problems[key] = str(problem)


def when(then: datetime) -> str:
    """Return a time as `just now`, `3 minutes ago` or `20 Nov 2026`."""
    seconds = (datetime.now(UTC) - then).total_seconds()
    if seconds < 45:
        return "just now"
    for unit, size, most in (("minute", 60, 60), ("hour", 3600, 24), ("day", 86_400, 14)):
        if round(seconds / size) < most:
            return f"{plural(max(1, round(seconds / size)), unit)} ago"
    return f"{then.day} {then:%b %Y}"


def exact(then: datetime) -> str:
    """Return a time as `20 Nov 2026, 23:51 UTC`."""
    return f"{then.day} {then:%b %Y, %H:%M} UTC"
