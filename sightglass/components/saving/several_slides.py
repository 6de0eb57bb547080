"""Add several slides to a deck at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.saving import slides
from sightglass.components.saving.slides import Adding
from sightglass.components.session import history_store, state
from sightglass.components.session.markdown import sentence
from sightglass.explain.phrases import plural

if TYPE_CHECKING:
    from sightglass.deck.scene import Scene

MOST = 24
"""Slides at once: each may be explained again."""
Maker = Callable[[], "tuple[Scene, Sequence[str]]"]
"""Makes one slide's scene, with the ids of the records that it is of."""


def button(screen: str, makers: Sequence[Maker]) -> None:
    """Draw the button that opens the dialog; nothing where no deck can be changed."""
    if not history_store.writable():
        return
    help = f"A slide of each, at most {MOST}, at the end of a deck. No copy is saved to History."
    if not st.button(
        "Add each to deck",
        icon=":material/slideshow:",
        key=f"deck-several-{screen}",
        disabled=len(makers) > MOST,
        help=help,
    ):
        return
    adding = state.of(Adding)
    adding.opened += 1
    adding.added.pop(screen, None)
    number = adding.opened
    count = plural(len(makers), "slide")

    @st.dialog(f"Add {count} to a deck", icon=":material/slideshow:")
    def show() -> None:
        slides.choose_deck(number)
        if st.button(
            f"Add {count}",
            icon=":material/add:",
            type="primary",
            key=f"slide-several-{number}",
            on_click=_add,
            args=(screen, makers, number),
            help="Each becomes a slide at the end of the deck.",
        ):
            if not adding.problem:
                st.rerun()
            st.error(sentence(adding.problem), icon=":material/error:")

    show()


def _add(screen: str, makers: Sequence[Maker], number: int) -> None:
    """Make and add the slides, in a callback: what was typed last may have come with the click."""
    adding, decks = state.of(Adding), history_store.store().decks
    adding.problem = ""
    try:
        # All are made first: what cannot be made leaves no half of a deck.
        made = [make() for make in makers]
        deck = slides.open_deck(number)
        for scene, records in made:
            decks.add(deck, scene, records=records)
        adding.deck = adding.added[screen] = adding.news = deck
    except Problem as problem:
        adding.problem = str(problem)
