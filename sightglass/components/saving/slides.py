"""Add to deck, its dialog, and the stage that plays slides."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.declare import declare, no_callback
from sightglass.components.session import history_store, page, state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape, sentence
from sightglass.components.viewer import SETTINGS, Look
from sightglass.deck import html_file, layouts, rows, views
from sightglass.explain.phrases import plural, without_emphasis

if TYPE_CHECKING:
    from sightglass.deck.layouts import ThemeName
    from sightglass.deck.scene import Scene
    from sightglass.explain import Explanation
    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.explain.tasks.task import Change
    from sightglass.explain.trust.scramble import Scramble


def slide_page(
    scenes: Sequence[Scene], *, title: str = "", theme: ThemeName = "dark", start: int | None = None, number: int = 1
) -> str:
    """Return the page for `stage`, from slide `start` with the keyboard.

    `number`: of the first slide.
    """
    return html_file.deck_html(scenes, title, layouts.THEMES[theme], start=start, number=number).decode()


def stage(html: str, *, key: str) -> None:
    """Draw a `slide_page`, 16:9 and as wide as its place."""
    with st.container(key=f"slide-stage-{key}"):
        st.iframe(html, height=HEIGHT, alt="Slides")


HEIGHT = 480
"""Pixels of the stage before its width is known."""
Draft = Callable[[Look], "Scene"]
"""Makes the scene of a view, given the viewer's settings."""
NEW = "new"
NEW_TITLE = "My deck"
_view_files = declare("view_files", __file__)


@dataclass
class Adding:
    """What the session remembers of its slides."""

    deck: str = ""
    """Id of the deck that was last added to."""
    added: dict[str, str] = field(default_factory=dict)
    """By screen, the id of the deck that its view was last added to, until the button is pressed again."""
    opened: int = 0
    """Counts the dialogs: each has its own fields."""
    scene: Scene | None = None
    """What the open dialog adds."""
    records: tuple[str, ...] = ()
    """The records that it is of."""
    problem: str = ""
    """Why the last one was not added."""
    news: str = ""
    """Id of the deck that something was just added to, until it was said."""


def button(
    screen: str,
    draft: Draft,
    *,
    records: Sequence[str] = (),
    labels: tuple[str, str] = ("Add to deck", "Present"),
    shortcut: str | None = "d",
) -> None:
    """Draw the button for the dialog.

    `records`: the ids of the history's records that the slide shows. `labels`: with decks, and where none can be
    changed and the dialog only presents.
    """
    help = "Make a slide of this view: choose its deck, or show it on the whole screen now."
    label, alone = labels
    if not history_store.writable():
        label, help = alone, "Make a slide of this view, and show it on the whole screen now."
    if not st.button(label, icon=":material/slideshow:", key=f"deck-{screen}", help=help, shortcut=shortcut):
        return
    _open(screen).records = tuple(records)
    heading = "Present this, or add it to a deck" if history_store.writable() else "Present this"

    @st.dialog(heading, width="large", icon=":material/slideshow:")
    def show() -> None:
        try:
            _dialog(screen, draft)
        except Problem as problem:
            st.error(sentence(problem), icon=":material/error:")

    show()


def draw_added_link(screen: str) -> None:
    """Draw a link to the deck of the added view."""
    adding = state.of(Adding)
    if (id := adding.added.get(screen)) is None:
        return
    try:
        deck = history_store.store().decks.get(id)
    except Problem:
        return  # deleted since
    news, adding.news = adding.news, ""
    if news == id:
        st.toast(f"Added to {escape(deck.title)}.", icon=":material/slideshow:")
    st.page_link(
        page.script("present"),
        label=f"Slide {len(deck.slides)} of {escape(deck.title)}",
        icon=":material/slideshow:",
        query_params={"deck": id},
        help="Open the deck.",
        width="content",
    )


def _dialog(screen: str, draft: Draft) -> None:
    adding = state.of(Adding)
    number = adding.opened
    look = view_settings(f"slide-look-{number}", quiet=True)
    adding.scene = state.latest("slide", (number, tuple(sorted(look.items()))), lambda: draft(look))
    stage(slide_page([adding.scene]), key=str(number))
    if history_store.off():
        st.caption("History is switched off here, so there are no decks to add it to.")
    if not history_store.writable():
        return
    choose_deck(number)
    st.caption("Change its title and its sentence on Present.")
    help = "Adds the slide at the end of the deck."
    _add_button("Add the slide", f"slide-add-{number}", help, partial(_add, screen))


def _open(screen: str) -> Adding:
    """Begin a dialog of a page."""
    adding = state.of(Adding)
    adding.opened += 1
    adding.added.pop(screen, None)
    return adding


def _add_button(label: str, key: str, help: str, add: Callable[[], None]) -> None:
    """Draw the button for adding and closing, or its error."""
    if st.button(label, icon=":material/add:", key=key, type="primary", on_click=_try, args=(add,), help=help):
        if not (problem := state.of(Adding).problem):
            st.rerun()
        st.error(sentence(problem), icon=":material/error:")


def _try(add: Callable[[], None]) -> None:
    adding = state.of(Adding)
    adding.problem = ""
    try:
        add()
    except Problem as problem:
        adding.problem = str(problem)


def choose_deck(number: int) -> None:
    """Draw the choice of a deck, in the dialog of this number."""
    decks = {deck.id: deck for deck in history_store.store().decks.all()}
    names = {id: f"{deck.title} ({plural(len(deck.slides), 'slide')})" for id, deck in decks.items()}
    names[NEW] = "A new deck"
    # The one that was last added to, else the one that was changed last; the ready ones are not for that.
    last = state.of(Adding).deck
    first = last if last in decks else next((id for id, deck in decks.items() if not deck.ready), NEW)
    chosen = st.selectbox(
        "Deck",
        list(names),
        index=list(names).index(first),
        format_func=names.__getitem__,
        key=f"slide-deck-{number}",
        help="The slide is added at its end. Present, in the menu Show, has all decks.",
    )
    if chosen == NEW:
        help = "What the new deck is called."
        st.text_input("Name of the new deck", NEW_TITLE, key=f"slide-new-{number}", max_chars=120, help=help)


def _add(screen: str) -> None:
    """Add the slide, in a callback."""
    adding = state.of(Adding)
    assert adding.scene is not None
    deck = open_deck(adding.opened)
    history_store.store().decks.add(deck, adding.scene, records=adding.records)
    adding.deck = adding.added[screen] = adding.news = deck


def open_deck(number: int) -> str:
    """Return the dialog's chosen deck; create a new one if chosen."""
    widgets = st.session_state
    deck = str(widgets.get(f"slide-deck-{number}", NEW))
    if deck != NEW:
        return deck
    return history_store.store().decks.create(widgets.get(f"slide-new-{number}") or NEW_TITLE).id


def of_map(explanation: Explanation, index: int) -> Draft:
    """Return the maker of a map's slide, with its proof."""
    return lambda look: views.of_map(explain_job.carrying(explanation), index, look)


def of_scramble(explanation: Explanation, index: int, scramble: Scramble, title: str) -> Draft:
    """Return the maker of a randomisation slide; `title`: the page's own."""
    return lambda _look: rows.of_scramble(explanation, index, scramble, without_emphasis(title))


def of_change(before: Explanation, after: Explanation, changes: Sequence[Change], title: str, more: str) -> Draft:
    """Return the maker of an edit's slide; `title`, `more`: the page's sentences."""
    return lambda _look: rows.of_change(before, after, changes, without_emphasis(title), more)


def of_classes(explanation: Explanation, pair: tuple[int, int] | None = None) -> Draft:
    """Return the maker of a slide of classes; `pair`: only these two."""
    return lambda look: views.of_classes(explain_job.carrying(explanation), pair, look)


def of_models(comparison: Comparison, names: Sequence[str]) -> Draft:
    """Return the maker of a slide of several models."""

    def draft(look: Look) -> Scene:
        carrying = tuple(map(explain_job.carrying, comparison.explanations))
        return views.of_models(replace(comparison, explanations=carrying), names, look)

    return draft


def of_pair(similarity: Similarity, verdict: str) -> Draft:
    """Return the maker of a comparison's slide; `verdict`: the score's meaning."""
    return lambda _look: rows.of_pair(similarity, verdict)


def view_settings(key: str, *, quiet: bool = False) -> Look:
    """Draw the view's files and return the browser's settings.

    `quiet`: draw nothing. The first run returns none: once the browser has told them, there is another one.
    """
    result = _view_files(key=key, data={"quiet": quiet}, on_settings_change=no_callback)
    try:
        reported = json.loads(result.settings or "{}")
    except (TypeError, ValueError):
        return {}
    known = reported.items() if isinstance(reported, dict) else ()
    return {name: value for name, value in known if name in SETTINGS and isinstance(value, bool | int | float | str)}


MOST = 24
"""Slides at once: each may be explained again."""
Maker = Callable[[], "tuple[Scene, Sequence[str]]"]
"""Makes one slide's scene, with the ids of the records that it is of."""


def button_for_several(screen: str, makers: Sequence[Maker]) -> None:
    """Draw the button for the dialog if decks can be changed."""
    if not history_store.writable():
        return
    help = f"A slide of each, at most {MOST}, at the end of a deck."
    if not st.button(
        "Add each to deck",
        icon=":material/slideshow:",
        key=f"deck-several-{screen}",
        disabled=len(makers) > MOST,
        help=help,
    ):
        return
    number = _open(screen).opened
    count = plural(len(makers), "slide")

    @st.dialog(f"Add {count} to a deck", icon=":material/slideshow:")
    def show() -> None:
        choose_deck(number)
        help = "Each becomes a slide at the end of the deck."
        _add_button(f"Add {count}", f"slide-several-{number}", help, partial(_add_each, screen, makers, number))

    show()


def _add_each(screen: str, makers: Sequence[Maker], number: int) -> None:
    """Make and add the slides, in a callback with the latest text."""
    adding = state.of(Adding)
    # All are made first: what cannot be made leaves no half of a deck.
    drafts = [make() for make in makers]
    deck = open_deck(number)
    for scene, records in drafts:
        history_store.store().decks.add(deck, scene, records=records)
    adding.deck = adding.added[screen] = adding.news = deck
