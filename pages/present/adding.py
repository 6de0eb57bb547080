"""Add slides of words and of own pictures to a deck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.session import history_store, state
from sightglass.components.session.markdown import sentence
from sightglass.deck import making, rows
from sightglass.deck.scene import Scene
from sightglass.explain.picture.image import Image
from sightglass.pages.present import decks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.deck.deck import Deck
    from sightglass.deck.scene import Kind

MOST = 4
"""Pictures side by side."""
WORDS: dict[Kind, tuple[str, str, str, str]] = {
    "words": ("Title", "A title", "What the next slides are about.", "A large title, to begin a part."),
    "text": ("Text", "A headline", "Write here.", "A headline above a text. A new line begins a new point."),
    "columns": (
        "Two columns",
        "A headline",
        "The left column\n\nThe right column",
        "A headline above two texts. An empty line begins the second.",
    ),
}
"""Labels, titles and texts to begin with, and helps of the slides of words."""


def button(deck: Deck) -> None:
    """Draw the menu that adds a slide at the end."""
    with st.popover("Add a slide", icon=":material/add:", key="deck-add", help="A slide of words or of your pictures."):
        with st.container(horizontal=True):
            for kind, (label, _, _, help) in WORDS.items():
                st.button(label, key=f"deck-add-{kind}", on_click=_add_words, args=(deck.id, kind), help=help)
        given = st.file_uploader(
            "Your pictures",
            type=["png", "jpg", "jpeg", "webp"],
            accept_multiple_files=True,
            key=f"deck-pictures-{deck.id}-{len(deck.slides)}",
            help=f"One picture fills the slide; two to {MOST} stand side by side.",
        )
        if given and st.button("Add the pictures", key="deck-add-pictures", help="Make one slide of them."):
            try:
                history_store.store().decks.add(deck.id, _of_pictures([(one.name, one.getvalue()) for one in given]))
            except Problem as problem:
                st.error(sentence(problem), icon=":material/error:")
                return
            st.rerun()
        st.caption("Slides of maps come from **Add to deck** on the other pages.")


def _add_words(deck: str, kind: Kind) -> None:
    _, title, text, _ = WORDS[kind]
    try:
        history_store.store().decks.add(deck, Scene(kind, title, text))
    except Problem as problem:
        state.of(decks.Talk).problem = str(problem)


def _of_pictures(files: Sequence[tuple[str, bytes]]) -> Scene:
    """Return a slide of a picture, or of several side by side; raise a Problem for a file that is none."""
    images = [Image.open(data, name=name) for name, data in files[:MOST]]
    if len(images) == 1:
        return making.scene(images[0], (), title=images[0].name, sentence="")
    panels = [rows.picture(image, image.name) for image in images]
    return making.scene(images[0], panels, title="Side by side", sentence="", kind="row", question="What differs?")
