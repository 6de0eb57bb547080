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
from sightglass.components import widgets
from sightglass.components.session import page, state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape, sentence
from sightglass.explain.phrases import plural
from sightglass.export.embedded_recipe import list_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sightglass.common.files import Json
    from sightglass.explain import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.recipe import Recipe
    from sightglass.explain.similarity.ranking import Context, Ranking
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.history import History, Record

NOTE, TAG = 10_000, 60
"""Maximum characters of a note and of a tag in the store."""


@dataclass(frozen=True, eq=False)
class ComparedPair:
    """Two compared pictures that can be saved, with their reference scores and the gallery of the second."""

    found: Similarity
    context: Context
    ranking: Ranking


@dataclass(frozen=True)
class _Entry:
    """What Save would save: `existing` returns its record if it is there already, `keep` saves it; both its id."""

    existing: Callable[[], str | None]
    keep: Callable[[], str]


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
    """What was wrong with tags, by the key of their widget."""
    notes: dict[str, widgets.NoteStatus] = field(default_factory=dict)
    """What came of the last note that was typed, by the key of its field."""


def store() -> History:
    """Return the session's history, for the current environment variables."""
    return _store(settings().history, settings().history_mb, users.owner())


def off() -> bool:
    """Return whether the history is switched off."""
    return settings().history is None


def writable() -> bool:
    """Return whether something can be saved to History."""
    return not off()


@st.cache_resource(show_spinner=False, max_entries=64)
def _store(folder: Path | None, limit: float, whose: str) -> history.History:
    # It reads the environment, and for whom it works, itself: the arguments are only the cache's key.
    del folder, limit, whose
    return history.History()


def keep(
    explanations: Sequence[tuple[Explanation, int]],
    *,
    screen: str,
    words: str = "",
    beside: Callable[[], None] | None = None,
) -> None:
    """Draw the button for saving explanations, each with its map's index.

    `words`: the note that the records begin with. `beside` draws what is between the two. Draws nothing where the
    history is switched off, and for a viewer.
    """
    explanations = [(explain_job.carrying(item), index) for item, index in explanations]
    view = _view(explanations)
    proved = ", with its proof" if any(item.proofs for item, _ in explanations) else ""
    entries = [
        _Entry(partial(_existing, item, index), partial(_keep, item, index, screen, words))
        for item, index in explanations
    ]
    _draw(entries, view, screen, f"Save the picture, its maps and all numbers to History{proved}.", beside)


def _view(explanations: Sequence[tuple[Explanation, int]]) -> str:
    return "|".join(
        f"{item.recipe.model_dump_json()} {index} {item.image.name} {sorted(item.proofs)}"
        for item, index in explanations
    )


def keep_pair(pair: ComparedPair, *, screen: str, beside: Callable[[], None] | None = None) -> None:
    """Draw the button for saving two compared pictures."""
    match = pair.found
    view = " ".join([match.model.id, match.weights_sha256, match.method, *match.layers, match.of, match.preprocessing])
    view += "".join(f" {side.image.sha256} {side.image.name}" for side in match.sides)
    entry = _Entry(
        partial(_existing_pair, match), lambda: store().keep_pair(match, pair.context, ranking=pair.ranking).id
    )
    _draw([entry], view, screen, "Save both pictures, their maps and all numbers to History.", beside)


def _draw(entries: Sequence[_Entry], view: str, screen: str, help: str, beside: Callable[[], None] | None) -> None:
    """Draw the button and its result for this `view`."""
    if not writable():
        return
    saved = state.of(Saved)
    st.button(
        "Save",
        icon=":material/bookmark_add:",
        key=f"keep-{screen}",
        on_click=_save,
        args=(tuple(entries), screen, view),
        help=help,
    )
    if beside is not None:
        beside()
    pressed = saved.pressed.get(screen, Pressed())
    now = pressed.view == view
    if now and pressed.problem:
        st.markdown(f":material/error: {sentence(pressed.problem)}")
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


def _save(entries: Sequence[_Entry], screen: str, view: str) -> None:
    """Save in a callback and show an error at the button."""
    saved = state.of(Saved)
    pressed = saved.pressed[screen] = Pressed(view)
    try:
        existing = [entry.existing() for entry in entries]
        pressed.again = all(existing)
        saved.ids[view] = tuple(id_ or entry.keep() for id_, entry in zip(existing, entries, strict=True))
    except Problem as problem:
        pressed.problem = str(problem)
        saved.ids.pop(view, None)


def _keep(explanation: Explanation, index: int, screen: str, words: str) -> str:
    if (record := store().find(explanation, index)) is not None:
        return store().add_proofs(record.id, explanation).id
    return store().keep(explanation, index=index, look=look(), screen=screen, note=words).id


def keep_again(picture: Callable[[], Image], recipe: Recipe, *, screen: str) -> None:
    """Explain a picture from its recipe and save it, in a callback."""
    try:
        explanation = explain.replay(recipe, picture())
        existing = _existing(explanation, 0)
        if existing is None:
            store().keep(explanation, look=look(), screen=screen)
    except Problem as problem:
        st.toast(sentence(problem), icon=":material/error:")
        return
    words = "is already in" if existing else "saved to"
    st.toast(f"{escape(explanation.image.name)} {words} History.", icon=":material/bookmark_added:")


def _existing(explanation: Explanation, index: int) -> str | None:
    """Return the record of this view with its proofs and checks."""
    if (record := store().find(explanation, index)) is None:
        return None
    sealed = [i for i, seal in enumerate(list_checks(explanation)) if seal is not None]
    whole = all(record.proof_of(i) for i in explanation.proofs) and all(record.checks_of(i) for i in sealed)
    return record.id if whole else None


def _existing_pair(match: Similarity) -> str | None:
    """Return the record of this comparison, whoever saved it."""
    query, other = match.sides
    name = query.image.name
    alike = store().search(text=name, model=match.model.id, method=match.method, limit=200).records
    names = ("of", "preprocessing", "weights_sha256")
    key = (query.image.sha256, match.layers, other.image.sha256, *(getattr(match, name) for name in names))
    for record in alike:
        if (pair := record.pair) is not None:
            saved = (record.picture_sha256, record.layers, pair.sha256, *(pair.how[name] for name in names))
            if saved == key:
                return record.id
    return None


def look() -> Json:
    """Return the viewer's settings of the opened link."""
    settings = state.of(state.ViewerStart).settings or {}
    return {name: value for name, value in settings.items() if name != "id"}


def _details(ids: Sequence[str], name: str) -> None:
    # Filled before it is opened: on a phone it would be placed as if it were empty, and stay a slit.
    with st.popover("Note, tags", icon=":material/edit_note:", key=f"{name}-more", help="Add a note or tags."):
        try:
            edit_note(store().get(ids[0]), ids, key=f"{name}-{ids[0]}")
        except Problem as problem:
            st.error(sentence(problem), icon=":material/error:")


def edit_note(record: Record, ids: Sequence[str], *, key: str) -> None:
    """Edit the note and tags of the records `ids`, saving each change."""
    place = f"{key}-note"
    # Also here: where the field was drawn anew meanwhile, its callback did not run.
    _save_note(ids, place)
    record = store().get(record.id)
    widgets.note(
        record.note,
        id=record.id,
        status=state.of(Saved).notes.get(place, widgets.NoteStatus()),
        most=NOTE,
        key=place,
        on_change=partial(_save_note, ids, place),
    )
    known = list(dict.fromkeys([*record.tags, *store().choices().tags]))
    st.multiselect(
        "Tags",
        known,
        list(record.tags),
        select_all=False,
        key=f"{key}-tags",
        accept_new_options=True,
        max_selections=20,
        on_change=_annotate,
        args=(ids, key),
        placeholder="Choose or type one",
        help=f"Your own keywords, at most {TAG} characters each.",
    )
    if problem := state.of(Saved).problems.pop(key, None):
        st.error(sentence(problem), icon=":material/error:")


def _save_note(ids: Sequence[str], place: str) -> None:
    """Save the newly typed note once."""
    notes, typed = state.of(Saved).notes, widgets.typed(st.session_state.get(place))
    if typed is None or typed.id != ids[0] or notes.get(place, widgets.NoteStatus()).step == typed.step:
        return
    try:
        for id_ in ids:
            store().annotate(id_, note=typed.text)
        notes[place] = widgets.NoteStatus(typed.step)
    except Problem as problem:
        notes[place] = widgets.NoteStatus(typed.step, str(problem))


def _annotate(ids: Sequence[str], key: str) -> None:
    try:
        for id_ in ids:
            store().annotate(id_, tags=st.session_state[f"{key}-tags"])
    except Problem as problem:
        state.of(Saved).problems[key] = str(problem)


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
