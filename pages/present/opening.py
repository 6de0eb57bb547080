"""Open a deck that was exported as one file."""

from __future__ import annotations

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.session import history_store
from sightglass.components.session.markdown import sentence
from sightglass.deck.archive import MAX_BYTES, SUFFIX, put
from sightglass.pages.present import decks


def button() -> None:
    """Draw the button that opens the dialog."""
    help = f"Open a deck that somebody exported: one file that ends in {SUFFIX}."
    if not st.button("Open a file", icon=":material/folder_open:", key="deck-file", help=help):
        return

    @st.dialog("Open a deck", icon=":material/folder_open:")
    def show() -> None:
        given = st.file_uploader(
            "A deck's file",
            type=[SUFFIX.removeprefix(".")],
            key="deck-upload",
            max_upload_size=MAX_BYTES >> 20,
            help="Its slides are added as a new deck. Nothing in it is run, and it needs no model.",
        )
        if given is None:
            return
        try:
            made = put(history_store.store().decks, given.getvalue())
        except Problem as problem:
            st.error(sentence(problem), icon=":material/error:")
            return
        decks.go(made.id)
        st.rerun()

    show()
