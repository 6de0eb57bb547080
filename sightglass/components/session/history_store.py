"""The session's history store and its Save button."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass import explain, history
from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.common.settings import settings
from sightglass.components.session import page, state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape, sentence
from sightglass.explain.phrases import plural
from sightglass.report.embedded_recipe import list_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sightglass.common.files import Json
    from sightglass.explain import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.recipe import Recipe
    from sightglass.explain.similarity.ranking import Context
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.history import History, Record

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


def keep(
    explanations: Sequence[tuple[Explanation, int]], *, screen: str, beside: Callable[[], None] | None = None
) -> None:
    """Draw the button for saving explanations, each with its map's index; `beside` draws what follows it."""
    explanations = [(explain_job.carrying(item), index) for item, index in explanations]
    proved = ", with its proof" if any(item.proofs for item, _ in explanations) else ""
    view = "|".join(
        f"{item.recipe.model_dump_json()} {index} {item.image.name} {sorted(item.proofs)}"
        for item, index in explanations
    )
    saves = [partial(_keep, item, index, screen) for item, index in explanations]
    _draw(saves, view, screen, f"Save the picture, its maps and all numbers{proved}.", beside)


def keep_pair(match: Similarity, context: Context, *, screen: str, beside: Callable[[], None] | None = None) -> None:
    """Draw the button for saving two compared pictures."""
    view = " ".join([match.model.id, match.weights_sha256, match.method, *match.layers, match.of, match.preprocessing])
    view += "".join(f" {side.image.sha256} {side.image.name}" for side in match.sides)
    _draw(
        [partial(_keep_pair, match, context)], view, screen, "Save both pictures, their maps and all numbers.", beside
    )


def _draw(
    saves: Sequence[Callable[[], tuple[str, bool]]],
    view: str,
    screen: str,
    help: str,
    beside: Callable[[], None] | None,
) -> None:
    """Draw the button and its result for this `view`; each of `saves` returns an id, and whether it was there."""
    saved, icon = state.of(Saved), ":material/bookmark_add:"
    st.button("Save", icon=icon, key=f"keep-{screen}", on_click=_save, args=(saves, screen, view), help=help)
    if beside is not None:
        beside()
    pressed = saved.pressed.get(screen, Pressed())
    now = pressed.view == view
    if now and pressed.problem:
        st.markdown(f":material/error: {sentence(pressed.problem)}")
    elif ids := saved.ids.get(view):
        st.page_link(
            page.script("saved"),
            label="Already in Saved" if now and pressed.again else "See it in Saved",
            icon=":material/bookmark_added:",
            query_params={"kept": ids[0]} if len(ids) == 1 else None,
            help="Open what was saved.",
            width="content",
        )
        # Filled before it is opened: on a phone it would be placed as if it were empty, and stay a slit.
        more, help = f"keep-{screen}-more", "Add a note or tags."
        with st.popover("Note, tags", icon=":material/edit_note:", key=more, help=help):
            try:
                edit_note(store().get(ids[0]), ids, key=f"keep-{screen}-{ids[0]}")
            except Problem as problem:
                st.error(sentence(problem), icon=":material/error:")


def _save(saves: Sequence[Callable[[], tuple[str, bool]]], screen: str, view: str) -> None:
    """Save in a callback and show an error at the button."""
    saved = state.of(Saved)
    pressed = saved.pressed[screen] = Pressed(view)
    try:
        results = [save() for save in saves]
    except Problem as problem:
        pressed.problem = str(problem)
        saved.ids.pop(view, None)
        return
    pressed.again = all(there for _, there in results)
    saved.ids[view] = tuple(id for id, _ in results)


def _keep(explanation: Explanation, index: int, screen: str) -> tuple[str, bool]:
    """Save an explanation, or what its record lacks; return its id, and whether all was there."""
    record = store().find(explanation, index)
    if record is None:
        return store().keep(explanation, index=index, look=look(), screen=screen).id, False
    checked = [i for i, checks in enumerate(list_checks(explanation)) if checks is not None]
    if all(map(record.proof_of, explanation.proofs)) and all(map(record.checks_of, checked)):
        return record.id, True
    return store().add_proofs(record.id, explanation).id, False


def _keep_pair(match: Similarity, context: Context) -> tuple[str, bool]:
    """Save a comparison unless it is there, whoever saved it."""
    query, other = match.sides
    names = ("of", "preprocessing", "weights_sha256")
    key = (query.image.sha256, match.layers, other.image.sha256, *(getattr(match, name) for name in names))
    for record in store().search(text=query.image.name, model=match.model.id, method=match.method, limit=200).records:
        if (saved := record.pair) is not None and key == (
            record.picture_sha256, record.layers, saved.sha256, *(saved.how[name] for name in names)
        ):  # fmt: skip
            return record.id, True
    return store().keep_pair(match, context).id, False


def keep_again(picture: Callable[[], Image], recipe: Recipe, *, screen: str) -> None:
    """Explain a picture from its recipe and save it, in a callback."""
    try:
        explanation = explain.replay(recipe, picture())
        _, there = _keep(explanation, 0, screen)
    except Problem as problem:
        st.toast(sentence(problem), icon=":material/error:")
        return
    words = "was saved before" if there else "is saved"
    st.toast(f"{escape(explanation.image.name)} {words}.", icon=":material/bookmark_added:")


def look() -> Json:
    """Return the viewer's settings of the opened link."""
    settings = state.of(state.ViewerStart).settings or {}
    return {name: value for name, value in settings.items() if name != "id"}


def edit_note(record: Record, ids: Sequence[str], *, key: str) -> None:
    """Edit the note and tags of the records `ids`, saving each change."""
    note, tags = f"{key}-note", f"{key}-tags"

    def save(name: str, field: str) -> None:
        try:
            for id in ids:
                store().annotate(id, **{name: st.session_state[field]})
        except Problem as problem:
            state.of(Saved).problems[key] = str(problem)

    help = "Your own words, which are searched. Saved when you leave the field."
    st.text_area("Note", record.note, key=note, max_chars=NOTE, on_change=save, args=("note", note), help=help)
    known = list(dict.fromkeys([*record.tags, *store().choices().tags]))
    st.multiselect(
        "Tags",
        known,
        list(record.tags),
        select_all=False,
        key=tags,
        accept_new_options=True,
        max_selections=20,
        on_change=save,
        args=("tags", tags),
        placeholder="Choose or type one",
        help=f"Your own keywords, at most {TAG} characters each.",
    )
    if problem := state.of(Saved).problems.pop(key, None):
        st.error(sentence(problem), icon=":material/error:")


def when(then: datetime) -> str:
    """Return a time as `just now`, `3 minutes ago`, `20 Nov 2026`."""
    seconds = (datetime.now(UTC) - then).total_seconds()
    if abs(seconds) < 45:
        return "just now"
    if seconds < 0:
        # This clock was ahead then, or is behind now.
        return exact(then)
    for unit, size, most in (("minute", 60, 60), ("hour", 3600, 24), ("day", 86_400, 14)):
        if round(seconds / size) < most:
            return f"{plural(max(1, round(seconds / size)), unit)} ago"
    return f"{then.day} {then:%b %Y}"


def exact(then: datetime) -> str:
    """Return a time as `20 Nov 2026, 23:51 UTC`."""
    return f"{then.day} {then:%b %Y, %H:%M} UTC"
