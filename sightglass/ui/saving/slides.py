"""Add to deck, its dialog, and the stage that plays slides."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.explain.phrases import plural
from sightglass.report import deck_html, views
from sightglass.ui.declare import declare, no_callback
from sightglass.ui.session import history_store, page, state
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape
from sightglass.ui.viewer import SETTINGS, ViewSettings

if TYPE_CHECKING:
    from sightglass.explain import Explanation
    from sightglass.report.view import View


def stage(html: bytes, *, key: str) -> None:
    """Draw a page of `deck_html`, 16:9 and as wide as its place."""
    with st.container(key=f"slide-stage-{key}"):
        st.iframe(html.decode(), height=HEIGHT, alt="Slides")


HEIGHT = 480
"""Pixels of the stage before its width is known."""
Draft = Callable[[ViewSettings], "View"]
"""Makes a view, given the viewer's settings."""
MOST = 24
"""Slides at once: each may be explained again."""
NEW = "new"
NEW_TITLE = "My deck"
_view_settings = declare("view_settings", __file__)


@dataclass
class Adding:
    """The dialog that is open."""

    number: int = 0
    """Counts the dialogs: each has its own fields."""
    deck: str = ""
    """Id of the deck that its slides were added to."""


def button(screen: str, *drafts: Draft) -> None:
    """Draw the button for the dialog, which shows the slide, or of several drafts says how many they are."""
    several = len(drafts) > 1
    if not drafts or history_store.off():
        return
    help = f"A slide of each, at most {MOST}, at the end of a deck." if several else "Make a slide of this view."
    label = "Add each to deck" if several else "Add to deck"
    icon, much = ":material/slideshow:", len(drafts) > MOST
    if not st.button(label, icon=icon, key=f"deck-{screen}", help=help, shortcut="d", disabled=much):
        return
    adding = state.of(Adding)
    adding.number, adding.deck = adding.number + 1, ""
    heading = f"Add {len(drafts)} slides" if several else "Present this, or add it to a deck"

    def show() -> None:
        with page.saying_problems():
            _draw_dialog(drafts)

    page.open_window(heading, show, width="large", icon=icon)


def _draw_dialog(drafts: Sequence[Draft]) -> None:
    adding = state.of(Adding)
    number = adding.number
    if len(drafts) == 1:
        look = view_settings(f"slide-look-{number}")
        key = number, tuple(sorted(look.items()))
        view = state.latest("slide", key, lambda: drafts[0](look))
        stage(deck_html.deck_html([view], view.title), key=str(number))
        drafts = [lambda _: view]
    if adding.deck:
        deck = history_store.store().decks.get(adding.deck)
        label = f"Slide {len(deck.slides)} of {escape(deck.title)}"
        query = {"deck": deck.id}
        st.page_link(page.script("saved"), label=label, icon=":material/slideshow:", query_params=query)
    else:
        _choose_deck(number)
        label = "Add the slide" if len(drafts) == 1 else f"Add {len(drafts)} slides"
        icon, place = ":material/add:", f"slide-add-{number}"
        st.button(label, icon=icon, key=place, type="primary", on_click=_add, args=(number, drafts))
        page.say_problem()


def _choose_deck(number: int) -> None:
    """Draw the choice of a deck, in the dialog of this number."""
    decks = {deck.id: deck for deck in history_store.store().decks.all()}
    names = {id: f"{deck.title} ({plural(len(deck.slides), 'slide')})" for id, deck in decks.items()}
    names[NEW] = "A new deck"
    # The first one was changed last.
    chosen = st.selectbox(
        "Deck",
        list(names),
        format_func=names.__getitem__,
        key=f"slide-deck-{number}",
        help="The slide is added at its end. Change titles and sentences on the page Saved.",
    )
    if chosen == NEW:
        help = "What the new deck is called."
        st.text_input("Name of the new deck", NEW_TITLE, key=f"slide-new-{number}", max_chars=120, help=help)


def _add(number: int, drafts: Sequence[Draft]) -> None:
    """Add the slides to the chosen deck, in a callback."""
    decks, widgets = history_store.store().decks, st.session_state
    with page.keeping_problem():
        # All are made first: what cannot be made leaves no half of a deck.
        new_views = [draft({}) for draft in drafts]
        deck = str(widgets.get(f"slide-deck-{number}", NEW))
        if deck == NEW:
            deck = decks.create(widgets.get(f"slide-new-{number}") or NEW_TITLE).id
        for view in new_views:
            decks.add(deck, view)
        state.of(Adding).deck = deck


def map_slide(explanation: Explanation, index: int) -> Draft:
    """Return the maker of a map's slide, with its proof."""
    return lambda look: views.map_view(explain_job.with_proofs(explanation), index, look)


def pair_slide(explanation: Explanation, pair: tuple[int, int] | None) -> Draft:
    """Return the maker of a slide of several answers, with the difference of two."""
    return lambda look: views.classes_view(explain_job.with_proofs(explanation), pair, look)


def view_settings(key: str) -> ViewSettings:
    """Return the settings of the page's viewer.

    The first run returns none: once the browser has sent them, the page runs again.
    """
    result = _view_settings(key=key, data={}, on_settings_change=no_callback)
    reported = json.loads(result.settings or "{}").items()
    return {name: value for name, value in reported if name in SETTINGS and isinstance(value, bool | int | float | str)}
